#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/agent.h"
#include "cp/domain/deployment.h"
#include "db/database.h"

namespace ee::cp {

/// A service as the proxy needs it.
struct RoutedServiceRow {
  std::string id = {};
  std::string name = {};
  AccountId account_id = {};
  ServiceAccess access = ServiceAccess::account;
  std::string settings = "{}";
};
BOOST_DESCRIBE_STRUCT(RoutedServiceRow, (), (id, name, account_id, access, settings))

/// A deployment that runs, with the agent that holds it and the ingress of its present revision. Whether traffic may go
/// there is judged by who reads this.
struct RoutedBackendRow {
  std::string service_id = {};
  DeploymentId deployment_id = {};
  AgentId agent_id = {};
  std::int64_t assignment_epoch = 0;
  DeploymentHealth health = DeploymentHealth::unknown;
  AgentStatus agent_status = AgentStatus::undeployed;
  AttestationState attestation_state = AttestationState::failed;
  TunnelState tunnel_state = TunnelState::none;
  std::optional<std::string> hostname = {};
  std::optional<std::string> direct_url = {};
  std::string ingress = "[]";
};
BOOST_DESCRIBE_STRUCT(RoutedBackendRow, (),
                      (service_id, deployment_id, agent_id, assignment_epoch, health, agent_status, attestation_state,
                       tunnel_state, hostname, direct_url, ingress))

/// What traffic is routed by. Stateless.
class RouteStore {
 public:
  /// Raised by every transaction that changes routing.
  Result<std::int64_t> epoch(db::Transaction& tx) const;
  Result<std::vector<RoutedServiceRow>> services(db::Transaction& tx) const;
  /// Of deployments in `running` or `updating` whose agent is held by this very assignment.
  Result<std::vector<RoutedBackendRow>> backends(db::Transaction& tx) const;
};

}  // namespace ee::cp
