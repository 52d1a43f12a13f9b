#pragma once
#include "cp/service/deployment_reports.h"
#include "cp/service/directory.h"

namespace ee::cp {

/// What a registered agent says and asks about its deployment beside the heartbeat (02 sections 6.1 and 6.3).
/// Thread-safe; calls block on the database.
///
/// Errors of all: `agent_not_found`, `agent_deleted`, `agent_attestation_failed`, those of the database.
class DeploymentChannel {
 public:
  DeploymentChannel(DeploymentReports& reports, Directory& directory) : reports_(reports), directory_(directory) {}

  /// Errors: also `stale_assignment`, `invalid_phase`.
  Result<agent_api::StatusAnswer> status(const AgentId& agent, const agent_api::StatusRequest& request);
  /// Errors: also `stale_assignment`, `invalid_phase`, `digest_mismatch`.
  Result<agent_api::StatusAnswer> deployed(const AgentId& agent, const agent_api::DeployedRequest& request);
  Result<DeploymentReports::Pulled> desired(const AgentId& agent, std::optional<std::int64_t> epoch,
                                            std::optional<std::int64_t> revision);
  /// What the agent should run: part of a refusal too.
  agent_api::Desired desired_now(const AgentId& agent, const std::optional<agent_api::WorkloadReport>& reported);

 private:
  Result<DirectoryEntryPtr> admit(const AgentId& agent);
  Result<agent_api::StatusAnswer> answer(const Result<AgentRow>& row,
                                         const std::optional<agent_api::WorkloadReport>& reported);

  DeploymentReports& reports_;
  Directory& directory_;
};

}  // namespace ee::cp
