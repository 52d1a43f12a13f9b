#include "cp/domain/agent_changes.h"

namespace ee::cp {
namespace {

void remove_tunnel(AgentRow& row, UtcTime now) {
  if (row.tunnel_state == TunnelState::none || row.tunnel_state == TunnelState::placeholder) return;
  row.tunnel_attempts = 0;
  row.tunnel_error.reset();
  if (may_have_tunnel(row)) {
    row.tunnel_state = TunnelState::deleting;
    row.tunnel_next_attempt_at = now;
  } else {  // asked for, never begun
    row.tunnel_state = TunnelState::none;
    row.tunnel_next_attempt_at.reset();
  }
}

void retry_tunnel(AgentRow& row, UtcTime now) {
  if (row.tunnel_state != TunnelState::failed && row.tunnel_state != TunnelState::pending) return;
  row.tunnel_state = TunnelState::pending;
  row.tunnel_attempts = 0;
  row.tunnel_next_attempt_at = now;
}

void queue_cleanup(AgentRow& row, UtcTime now, std::optional<DeleteReason> reason) {
  row.delete_reason = reason;
  row.deleted_at = now;
  row.cleanup_attempts = 0;
  row.cleanup_next_attempt_at = now;
  row.tunnel_next_attempt_at.reset();  // from now on the clean-up owns what the tunnel has
}

void clear_identity(AgentRow& row, UtcTime now) {
  row.tunnel_state = TunnelState::none;
  row.hostname.reset();
  row.tunnel_name.reset();
  row.tunnel_id.reset();
  row.dns_record_id.reset();
  row.tunnel_token.reset();
  row.tunnel_attempts = 0;
  row.tunnel_next_attempt_at.reset();
  row.tunnel_error.reset();
  row.tunnel_reachable.reset();
  row.direct_url.reset();
  row.signing_key.clear();
  row.sealing_key.clear();
  row.cleanup_next_attempt_at.reset();
  row.deleted_at = now;
}

}  // namespace

bool may_have_tunnel(const AgentRow& row) { return row.tunnel_name || row.tunnel_id || row.dns_record_id; }

Result<AgentEffect> change_state(AgentRow& row, AgentEvent event, const AgentFacts& facts, UtcTime now,
                                 const ChangeInputs& inputs) {
  const auto transition = next_state(facts, event);
  if (!transition) return std::unexpected(transition.error());
  const AgentEffect effects = transition->effects;
  row.status = transition->next;
  row.quarantine_reason = transition->quarantine_reason;
  if (event == AgentEvent::attestation_failed) {
    row.attestation_state = AttestationState::failed;
    row.attestation_error = inputs.reason_code;
  }
  if (has(effects, AgentEffect::set_deployment)) {
    row.current_deployment_id = inputs.deployment;
    ++row.assignment_epoch;
    row.idle_since_at.reset();
  }
  if (has(effects, AgentEffect::set_deployed_app)) row.deployed_app = inputs.deployed_app;
  if (has(effects, AgentEffect::clear_deployment)) {
    row.current_deployment_id.reset();
    row.deployed_app.reset();
  }
  if (has(effects, AgentEffect::set_idle_since)) row.idle_since_at = now;
  if (has(effects, AgentEffect::remove_tunnel)) remove_tunnel(row, now);
  if (has(effects, AgentEffect::retry_tunnel)) retry_tunnel(row, now);
  if (has(effects, AgentEffect::request_attestation)) row.attest_requested_at = now;
  if (has(effects, AgentEffect::queue_cleanup)) queue_cleanup(row, now, inputs.delete_reason);
  if (has(effects, AgentEffect::clear_identity)) clear_identity(row, now);
  return effects;
}

}  // namespace ee::cp
