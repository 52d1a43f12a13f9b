#pragma once
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "cp/domain/agent.h"

namespace ee::cp {

/// An agent as its owner sees it (02 section 8). No key's private part, no token, no credential.
struct AgentObject {
  std::string id = {};
  std::string vm_name = {};
  AgentStatus status = AgentStatus::undeployed;
  std::optional<QuarantineReason> quarantine_reason = {};
  HealthStatus health_status = HealthStatus::unknown;
  std::optional<std::string> health_reason = {};
  AttestationState attestation_state = AttestationState::verified;
  bool verified = false;  ///< `attestation_state` is `verified`
  bool draining = false;
  std::string node_size = {};
  std::string datacenter = {};
  std::string cloud = {};
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t disk_mib = 0;
  std::int64_t gpu_count = 0;
  std::string agent_version = {};
  std::optional<std::string> hostname = {};
  TunnelState tunnel_state = TunnelState::none;
  std::optional<bool> tunnel_reachable = {};
  std::optional<std::string> account_id = {};
  std::optional<std::int64_t> github_owner_id = {};
  std::optional<std::string> github_owner = {};
  PlacementScope placement_scope = PlacementScope::public_;
  std::optional<std::string> current_deployment_id = {};
  std::int64_t assignment_epoch = 0;
  std::optional<std::string> deployed_app = {};
  std::string mrtd = {};
  std::string tcb_status = {};
  UtcTime attested_at = {};
  UtcTime attestation_due_at = {};
  std::optional<UtcTime> last_heartbeat_at = {};
  UtcTime registered_at = {};
  UtcTime created_at = {};
  std::int64_t row_version = 0;
};
BOOST_DESCRIBE_STRUCT(AgentObject, (),
                      (id, vm_name, status, quarantine_reason, health_status, health_reason, attestation_state,
                       verified, draining, node_size, datacenter, cloud, vcpus, memory_mib, disk_mib, gpu_count,
                       agent_version, hostname, tunnel_state, tunnel_reachable, account_id, github_owner_id,
                       github_owner, placement_scope, current_deployment_id, assignment_epoch, deployed_app, mrtd,
                       tcb_status, attested_at, attestation_due_at, last_heartbeat_at, registered_at, created_at,
                       row_version))
constexpr std::string_view json_name(json::For<AgentObject>) { return "Agent"; }

/// The same with what only admins see.
struct AdminAgentObject : AgentObject {
  std::vector<std::string> rtmrs = {};
  std::optional<std::string> tunnel_id = {};
  std::optional<std::string> tunnel_error = {};
  std::optional<std::string> attestation_error = {};
  std::string boot_id = {};
  std::optional<std::string> launch_order_id = {};
};
BOOST_DESCRIBE_STRUCT(AdminAgentObject, (),
                      (id, vm_name, status, quarantine_reason, health_status, health_reason, attestation_state,
                       verified, draining, node_size, datacenter, cloud, vcpus, memory_mib, disk_mib, gpu_count,
                       agent_version, hostname, tunnel_state, tunnel_reachable, account_id, github_owner_id,
                       github_owner, placement_scope, current_deployment_id, assignment_epoch, deployed_app, mrtd,
                       tcb_status, attested_at, attestation_due_at, last_heartbeat_at, registered_at, created_at,
                       row_version, rtmrs, tunnel_id, tunnel_error, attestation_error, boot_id, launch_order_id))
constexpr std::string_view json_name(json::For<AdminAgentObject>) { return "AdminAgent"; }

/// `last_heartbeat_at` is what memory and table know.
AdminAgentObject agent_object(const AgentRow& row, std::optional<UtcTime> last_heartbeat_at);

}  // namespace ee::cp
