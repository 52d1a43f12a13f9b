#include "cp/domain/agent_state.h"

#include <fmt/format.h>

#include <vector>

namespace ee::cp {
namespace {

using S = AgentStatus;
using E = AgentEvent;
using G = AgentGuard;
using F = AgentEffect;
using Q = QuarantineReason;

constexpr F kFreed = F::clear_deployment | F::set_idle_since;
constexpr F kAttestationLost = F::notify_attestation_lost | F::remove_tunnel | F::clear_deployment;
constexpr F kReset = F::notify_agent_removed | F::clear_streaks | F::retry_tunnel | F::request_attestation;
constexpr F kDelete =
    F::revoke_credentials | F::notify_agent_removed | F::release_reservations | F::clear_deployment | F::queue_cleanup;
constexpr F kRegistered = F::clear_streaks | F::retry_tunnel;

/// The rows that hold in every state but `deleting` and `deleted`.
void add_rows_of_every_live_state(std::vector<AgentRule>& rules) {
  for (const S from : {S::undeployed, S::deploying, S::deployed, S::undeploying, S::quarantined}) {
    rules.push_back({from, E::attestation_failed, G::none, S::quarantined, Q::attestation_failed, kAttestationLost});
    // Reset never makes a bad attestation good.
    if (from == S::quarantined)
      rules.push_back({from, E::reset, G::attestation, S::quarantined, Q::attestation_failed, kReset});
    rules.push_back({from, E::reset, G::has_workload, S::undeploying, {}, kReset});
    rules.push_back({from, E::reset, G::none, S::undeployed, {}, kReset | kFreed});
    rules.push_back({from, E::delete_requested, G::no_active_deployment, S::deleting, {}, kDelete});
    rules.push_back({from, E::delete_forced, G::none, S::deleting, {}, kDelete});
  }
}

void add_rows_of_quarantine(std::vector<AgentRule>& rules) {
  struct Lost {
    E event;
    Q reason;
  };
  for (const Lost lost : {Lost{E::agent_lost, Q::agent_lost}, Lost{E::stop_unconfirmed, Q::stop_unconfirmed},
                          Lost{E::dispatch_refused, Q::dispatch_refused}})
    for (const S from : {S::deploying, S::deployed, S::undeploying})
      rules.push_back({from, lost.event, G::none, S::quarantined, lost.reason, F::clear_deployment});
  rules.push_back({S::quarantined, E::clean_heartbeat, G::not_attestation, S::undeployed, {}, kFreed});
  rules.push_back({S::quarantined, E::registered_idle, G::none, S::undeployed, {}, kRegistered | kFreed});
  rules.push_back({S::quarantined, E::registered_busy, G::none, S::quarantined, Q::agent_lost, kRegistered});
}

std::vector<AgentRule> make_rules() {
  std::vector<AgentRule> rules = {
      {S::undeployed, E::claim, G::placeable, S::deploying, {}, F::set_deployment},
      {S::deploying, E::report_running, G::none, S::deployed, {}, F::set_deployed_app},
      {S::deploying, E::push_refused, G::none, S::undeployed, {}, kFreed},
      {S::deployed, E::redispatch, G::none, S::deploying, {}, F::none},
      {S::deploying, E::stop_requested, G::none, S::undeploying, {}, F::none},
      {S::deployed, E::stop_requested, G::none, S::undeploying, {}, F::none},
      {S::undeploying, E::workload_stopped, G::none, S::undeployed, {}, kFreed},
      // Deleting twice is answered like once.
      {S::deleting, E::delete_requested, G::none, S::deleting, {}, F::none},
      {S::deleting, E::delete_forced, G::none, S::deleting, {}, F::none},
      {S::deleting, E::cleanup_done, G::none, S::deleted, {}, F::clear_identity},
  };
  // A registration leaves a known life cycle as it is; what should run is the deployment service's decision.
  for (const S from : {S::undeployed, S::deploying, S::deployed, S::undeploying})
    for (const E event : {E::registered_idle, E::registered_busy})
      rules.push_back({from, event, G::none, from, {}, kRegistered});
  add_rows_of_every_live_state(rules);
  add_rows_of_quarantine(rules);
  return rules;
}

}  // namespace

AgentFacts facts_of(const AgentRow& agent, bool workload_reported) {
  return {.status = agent.status,
          .quarantine_reason = agent.quarantine_reason,
          .health = agent.health_status,
          .attestation = agent.attestation_state,
          .draining = agent.draining,
          .has_deployment = agent.current_deployment_id.has_value(),
          .workload_reported = workload_reported};
}

std::span<const AgentRule> agent_rules() {
  static const std::vector<AgentRule> rules = make_rules();
  return rules;
}

bool holds(AgentGuard guard, const AgentFacts& facts) {
  switch (guard) {
    case AgentGuard::none: return true;
    case AgentGuard::placeable:
      return facts.attestation == AttestationState::verified && facts.health == HealthStatus::healthy &&
             !facts.draining && !facts.has_deployment;
    case AgentGuard::not_attestation:
      return facts.quarantine_reason != QuarantineReason::attestation_failed &&
             facts.attestation != AttestationState::failed;
    case AgentGuard::attestation:
      return facts.quarantine_reason == QuarantineReason::attestation_failed ||
             facts.attestation == AttestationState::failed;
    case AgentGuard::has_workload: return facts.has_deployment || facts.workload_reported;
    case AgentGuard::no_active_deployment: return !facts.has_deployment;
  }
  return false;
}

Result<AgentTransition> next_state(const AgentFacts& facts, AgentEvent event) {
  for (const AgentRule& rule : agent_rules())
    if (rule.from == facts.status && rule.event == event && holds(rule.guard, facts))
      return AgentTransition{.next = rule.next, .quarantine_reason = rule.reason, .effects = rule.effects};
  const auto detail = fmt::format("agent is {}: {} is not possible", name_of(facts.status), name_of(event));
  if (event == AgentEvent::delete_requested && facts.has_deployment)
    return fail(ErrorCode::agent_has_deployment, "the agent has an active deployment; delete needs force");
  if (event == AgentEvent::reset && facts.status == AgentStatus::deleting)
    return fail(ErrorCode::agent_deleting, detail);
  return fail(ErrorCode::invalid_agent_state, detail);
}

}  // namespace ee::cp
