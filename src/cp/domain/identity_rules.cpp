#include "cp/domain/identity_rules.h"

namespace ee::cp {
namespace {

constexpr std::chrono::seconds kDeletingRetryAfter{10};

bool same_owner(const AgentRow& existing, const AgentOwner& owner) {
  return existing.account_id == owner.account_id && existing.github_owner_id == owner.github_owner_id;
}

bool same_order(const AgentRow& existing, const AgentOwner& owner) {
  return !existing.launch_order_id || existing.launch_order_id == owner.launch_order_id;
}

bool is_unowned(const AgentRow& existing) { return !existing.account_id && !existing.github_owner_id; }

/// R4's third condition: nobody answers for this agent any more.
bool is_abandoned(const AgentRow& existing, std::optional<UtcTime> last_heartbeat_at, Seconds takeover_after,
                  UtcTime now) {
  if (existing.attestation_state == AttestationState::failed) return true;
  if (existing.quarantine_reason == QuarantineReason::attestation_failed) return true;
  // A registration dated ahead is from before the clock went back: no heartbeat can be dated after it.
  const bool registered_ahead = existing.registered_at > now;
  const bool beaten_since_registration =
      last_heartbeat_at && (registered_ahead || *last_heartbeat_at >= existing.registered_at);
  return !beaten_since_registration || now - *last_heartbeat_at > takeover_after;
}

Result<IdentityRule> rule_for_new(const IdentityClaim& claim, const IdentitySettings& settings) {
  switch (claim.token.kind) {
    case TokenOutcome::Kind::redeemed: return IdentityRule::new_agent;
    case TokenOutcome::Kind::refused: return fail(ErrorCode::invalid_bootstrap_token);
    case TokenOutcome::Kind::absent: break;
  }
  if (settings.require_bootstrap_token) return fail(ErrorCode::bootstrap_token_required);
  return IdentityRule::new_agent;
}

Result<IdentityRule> rule_for_existing(const AgentRow& existing, std::optional<UtcTime> last_heartbeat_at,
                                       const IdentityClaim& claim, const IdentitySettings& settings, UtcTime now) {
  if (existing.status == AgentStatus::deleting)
    return fail(Error{.code = ErrorCode::vm_name_in_use,
                      .detail = "an agent of this name is being deleted",
                      .retry_after = kDeletingRetryAfter});
  if (claim.previous_credential_valid) return IdentityRule::previous_credential;
  if (claim.token.kind == TokenOutcome::Kind::refused) return fail(ErrorCode::invalid_bootstrap_token);
  if (claim.token.kind == TokenOutcome::Kind::redeemed) {
    if (!same_owner(existing, claim.token.owner))
      return fail(ErrorCode::agent_identity_mismatch, "the name belongs to another owner");
    if (same_order(existing, claim.token.owner)) return IdentityRule::same_owner_token;
    return fail(ErrorCode::vm_name_in_use, "another live agent holds the name");
  }
  if (!settings.require_bootstrap_token && is_unowned(existing) &&
      is_abandoned(existing, last_heartbeat_at, settings.takeover_after, now))
    return IdentityRule::takeover;
  return fail(ErrorCode::vm_name_in_use, "another live agent holds the name");
}

}  // namespace

Result<IdentityRule> decide_identity(const AgentRow* existing, std::optional<UtcTime> last_heartbeat_at,
                                     const IdentityClaim& claim, const IdentitySettings& settings, UtcTime now) {
  if (existing == nullptr) return rule_for_new(claim, settings);
  const auto rule = rule_for_existing(*existing, last_heartbeat_at, claim, settings, now);
  if (!rule) return rule;
  if (existing->node_size != claim.node_size)
    return fail(ErrorCode::agent_identity_mismatch, "the node size differs from the registered one");
  if (existing->datacenter != claim.datacenter)
    return fail(ErrorCode::agent_identity_mismatch, "the datacenter differs from the registered one");
  if (existing->mrtd != claim.mrtd && existing->attestation_state != AttestationState::failed)
    return fail(ErrorCode::mrtd_changed);
  return rule;
}

}  // namespace ee::cp
