#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "common/error.h"
#include "cp/domain/agent.h"

namespace ee::cp {

/// What may happen to an agent's `status`. "D" events come from the deployment service.
enum class AgentEvent : std::uint8_t {
  claim,               ///< D: a deployment is assigned
  report_running,      ///< D: the workload runs, ids and epoch equal
  push_refused,        ///< D: the push was refused with 400, 413 or 422; nothing was started
  redispatch,          ///< D: the workload is gone, the same deployment is dispatched again, same epoch
  stop_requested,      ///< D: a stop, or the report `failed`
  workload_stopped,    ///< D: report `stopped`, or a heartbeat without workload, of the current epoch
  agent_lost,          ///< D
  stop_unconfirmed,    ///< D
  dispatch_refused,    ///< D
  attestation_failed,  ///< `attestation_state` becomes `failed`
  clean_heartbeat,     ///< a heartbeat says that nothing runs
  registered_idle,     ///< a new registration was accepted, nothing runs in the VM
  registered_busy,     ///< a new registration was accepted, something runs in the VM
  reset,               ///< by owner or admin
  delete_requested,    ///< by owner, admin or a job, without force
  delete_forced,       ///< the same with force
  cleanup_done,        ///< no outside resource is left
};
BOOST_DESCRIBE_ENUM(AgentEvent, claim, report_running, push_refused, redispatch, stop_requested, workload_stopped,
                    agent_lost, stop_unconfirmed, dispatch_refused, attestation_failed, clean_heartbeat,
                    registered_idle, registered_busy, reset, delete_requested, delete_forced, cleanup_done)

/// What else belongs to a change of status, as data: the caller does it in the same transaction.
enum class AgentEffect : std::uint32_t {
  none = 0,
  set_deployment = 1U << 0,  ///< `current_deployment_id`; `assignment_epoch` + 1
  set_deployed_app = 1U << 1,
  clear_deployment = 1U << 2,         ///< `current_deployment_id` and `deployed_app` become NULL
  set_idle_since = 1U << 3,           ///< `idle_since_at` = now
  notify_attestation_lost = 1U << 4,  ///< event to the deployment service
  notify_agent_removed = 1U << 5,     ///< event to the deployment service
  release_reservations = 1U << 6,
  revoke_credentials = 1U << 7,
  queue_cleanup = 1U << 8,  ///< `cleanup_next_attempt_at` = now, worker woken
  remove_tunnel = 1U << 9,  ///< `tunnel_state` = `deleting` if a tunnel exists
  retry_tunnel = 1U << 10,  ///< back-off forgotten; a removed tunnel is provisioned again
  clear_streaks = 1U << 11,
  request_attestation = 1U << 12,  ///< `attest_requested_at` = now
  clear_identity = 1U << 13,       ///< tunnel columns nulled, keys emptied, hostname freed, `deleted_at` = now
};
constexpr AgentEffect operator|(AgentEffect a, AgentEffect b) {
  return static_cast<AgentEffect>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
constexpr bool has(AgentEffect all, AgentEffect one) {
  return (static_cast<std::uint32_t>(all) & static_cast<std::uint32_t>(one)) != 0;
}

/// What the table's guards look at.
struct AgentFacts {
  AgentStatus status = AgentStatus::undeployed;
  std::optional<QuarantineReason> quarantine_reason = {};
  HealthStatus health = HealthStatus::unknown;
  AttestationState attestation = AttestationState::verified;
  bool draining = false;
  bool has_deployment = false;     ///< `current_deployment_id` is set
  bool workload_reported = false;  ///< the VM last said that something runs
};
AgentFacts facts_of(const AgentRow& agent, bool workload_reported = false);

struct AgentTransition {
  AgentStatus next = AgentStatus::undeployed;
  std::optional<QuarantineReason> quarantine_reason = {};  ///< set exactly when `next` is `quarantined`
  AgentEffect effects = AgentEffect::none;
  bool operator==(const AgentTransition&) const = default;
};

/// Further conditions of a row, beyond its state.
enum class AgentGuard : std::uint8_t {
  none,
  placeable,        ///< verified, healthy, not draining, nothing current
  not_attestation,  ///< quarantined for another reason than attestation, and attestation is not `failed`
  attestation,      ///< quarantined because of attestation
  has_workload,     ///< a current deployment, or something reported running
  no_active_deployment,
};

/// One row of the state table.
struct AgentRule {
  AgentStatus from;
  AgentEvent event;
  AgentGuard guard;
  AgentStatus next;
  std::optional<QuarantineReason> reason = {};
  AgentEffect effects;
};
/// The table; of the rows with a given state and event the first whose guard holds decides.
std::span<const AgentRule> agent_rules();
bool holds(AgentGuard guard, const AgentFacts& facts);

/// What `event` does to an agent with these facts. Pure.
/// Errors: `agent_has_deployment` (delete without force), `agent_deleting` (reset of one that is being deleted),
/// `invalid_agent_state` with a detail that names state and event.
Result<AgentTransition> next_state(const AgentFacts& facts, AgentEvent event);

}  // namespace ee::cp
