#pragma once
#include "cp/service/deployments.h"

namespace ee::cp {

/// A deploy request with everything that could be found out before the writing transaction.
struct Deployments::Order {
  AccountId account = {};
  PlacementCaller caller = {};
  DeployAuth auth_method = DeployAuth::api_key;
  std::optional<std::string> auth_context = {};
  DeployRequest request = {};
  WorkloadWanted wanted = {};
  std::int64_t replicas = 1;
  std::string service = {};
  std::optional<PlannedVersion> version = {};
  std::vector<std::string> sizes = {};                    ///< in the order of preference
  std::map<std::string, PlannedWorkload> workloads = {};  ///< by node size
  PlacementQuestion question = {};
  std::vector<AgentRow> claimed = {};  ///< what the last try claimed
  bool wait_only = false;              ///< agents for a part of the replicas are no use: all of them wait
};

/// One replica on its way into the database.
struct Deployments::Placed {
  DeploymentId id = {};
  std::string size = {};
  std::optional<AgentRow> agent = {};
  UsdMicros hourly = {};
  DeploymentRow row = {};
};

}  // namespace ee::cp
