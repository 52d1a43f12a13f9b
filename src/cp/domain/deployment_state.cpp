#include "cp/domain/deployment_state.h"

#include <fmt/format.h>

#include <vector>

namespace ee::cp {
namespace {

using S = DeploymentState;
using E = DeploymentEvent;
using G = DeploymentGuard;
using F = DeploymentEffect;
using Q = QuarantineReason;
using C = ErrorCode;

constexpr F kEnded = F::drop_secrets | F::reroute;
constexpr F kStop = F::close_segment | F::agent_undeploying | F::stop_deadline | F::reroute;

void add_dispatch(std::vector<DeploymentRule>& rules) {
  rules.push_back({S::pending, E::capacity_found, G::none, S::assigned, {}, {}, {}, F::take_slot});
  rules.push_back({S::pending, E::wait_over, G::none, S::failed, S::failed, C::no_capacity, {}, F::drop_secrets});
  rules.push_back({S::assigned, E::push_accepted, G::none, S::deploying, {}, {}, {}, F::deploy_deadline});
  rules.push_back(
      {S::assigned, E::push_invalid, G::none, S::failed, S::failed, C::agent_rejected, {}, F::free_agent | kEnded});
  rules.push_back({S::assigned,
                   E::push_refused,
                   G::may_place_again,
                   S::assigned,
                   {},
                   C::dispatch_failed,
                   Q::dispatch_refused,
                   F::quarantine | F::place_again});
  rules.push_back({S::assigned,
                   E::dispatch_deadline,
                   G::may_place_again,
                   S::assigned,
                   {},
                   C::dispatch_failed,
                   Q::agent_lost,
                   F::quarantine | F::place_again});
  for (const E event : {E::push_refused, E::dispatch_deadline})
    rules.push_back({S::assigned, event, G::none, S::stopping, S::failed, C::dispatch_failed, {}, kStop});
}

void add_reports(std::vector<DeploymentRule>& rules) {
  rules.push_back({S::assigned, E::report_progress, G::none, S::deploying, {}, {}, {}, F::deploy_deadline});
  rules.push_back({S::deploying, E::report_progress, G::none, S::deploying, {}, {}, {}, F::none});
  for (const S from : {S::assigned, S::deploying}) {
    rules.push_back({from,
                     E::report_running,
                     G::none,
                     S::running,
                     {},
                     {},
                     {},
                     F::open_segment | F::agent_deployed | F::finish_update | F::reroute});
    rules.push_back({from,
                     E::report_failed,
                     G::retryable,
                     S::assigned,
                     {},
                     C::agent_error,
                     Q::dispatch_refused,
                     F::quarantine | F::place_again});
    for (const E event : {E::report_failed, E::report_exited})
      rules.push_back({from, event, G::none, S::stopping, S::failed, C::agent_error, {}, kStop});
  }
  rules.push_back({S::deploying, E::deploy_deadline, G::none, S::stopping, S::failed, C::deploy_timeout, {}, kStop});
  for (const S from : {S::assigned, S::deploying, S::running, S::updating})
    rules.push_back({from, E::digests_differ, G::none, S::stopping, S::failed, C::digest_mismatch, {}, kStop});
  for (const S from : {S::running, S::updating})
    rules.push_back({from, E::health_reported, G::none, from, {}, {}, {}, F::reroute});
  for (const E event : {E::report_failed, E::report_exited})
    rules.push_back({S::running, event, G::none, S::stopping, S::failed, C::workload_exited, {}, kStop});
  for (const S from : {S::running, S::updating}) {
    rules.push_back({from,
                     E::workload_gone,
                     G::reboots_left,
                     S::deploying,
                     {},
                     {},
                     {},
                     F::close_segment | F::agent_deploying | F::deploy_deadline | F::reroute});
    rules.push_back({from, E::workload_gone, G::none, S::stopping, S::failed, C::workload_lost, {}, kStop});
  }
  // A workload that went away while it was being started is sent again, as after a reboot.
  rules.push_back({S::deploying, E::workload_gone, G::reboots_left, S::deploying, {}, {}, {}, F::none});
  rules.push_back({S::deploying, E::workload_gone, G::none, S::stopping, S::failed, C::workload_lost, {}, kStop});
}

void add_updates(std::vector<DeploymentRule>& rules) {
  rules.push_back(
      {S::running, E::change_requested, G::none, S::updating, {}, {}, {}, F::begin_update | F::deploy_deadline});
  rules.push_back(
      {S::updating, E::report_running, G::of_target, S::running, {}, {}, {}, F::finish_update | F::reroute});
  rules.push_back({S::updating, E::report_progress, G::of_target, S::updating, {}, {}, {}, F::none});
  for (const E event : {E::report_failed, E::report_exited, E::deploy_deadline}) {
    rules.push_back({S::updating, event, G::rolling_back, S::stopping, S::failed, C::rollback_failed, {}, kStop});
    rules.push_back({S::updating, event, G::of_target, S::updating, {}, {}, {}, F::roll_back | F::deploy_deadline});
  }
}

void add_losses(std::vector<DeploymentRule>& rules) {
  struct Loss {
    E event;
    C code;
    std::optional<Q> quarantine;
  };
  // Attestation and removal are told by whoever writes the agent's row at the same time.
  for (const Loss& loss :
       {Loss{E::agent_lost, C::agent_lost, Q::agent_lost}, Loss{E::attestation_lost, C::attestation_lost, {}},
        Loss{E::agent_removed, C::agent_removed, {}}}) {
    const F leave = (loss.quarantine ? F::quarantine : F::drop_slot) | F::close_segment | F::reroute;
    for (const S from : {S::assigned, S::deploying, S::running, S::updating}) {
      rules.push_back({from,
                       loss.event,
                       G::redeploys_on_loss,
                       S::assigned,
                       {},
                       loss.code,
                       loss.quarantine,
                       leave | F::place_again});
      rules.push_back({from, loss.event, G::none, S::terminated, S::terminated, loss.code, loss.quarantine,
                       leave | F::drop_secrets});
    }
  }
}

void add_stops(std::vector<DeploymentRule>& rules) {
  rules.push_back({S::pending, E::stop_requested, G::none, S::stopped, {}, {}, {}, F::drop_secrets});
  rules.push_back({S::pending, E::stop_forced, G::none, S::stopped, {}, {}, {}, F::drop_secrets});
  for (const S from : {S::assigned, S::deploying, S::running, S::updating}) {
    rules.push_back({from, E::stop_requested, G::none, S::stopping, {}, {}, {}, kStop});
    rules.push_back({from,
                     E::stop_forced,
                     G::none,
                     S::stopped,
                     {},
                     {},
                     Q::stop_unconfirmed,
                     F::quarantine | F::close_segment | kEnded});
  }
  rules.push_back({S::stopping, E::stop_requested, G::none, S::stopping, {}, {}, {}, F::none});
  rules.push_back({S::stopping, E::stop_confirmed, G::none, S::stopped, {}, {}, {}, F::free_agent | kEnded});
  for (const E event : {E::stop_timeout, E::agent_lost, E::stop_forced})
    rules.push_back({S::stopping, event, G::none, S::stopped, {}, {}, Q::stop_unconfirmed, F::quarantine | kEnded});
  for (const E event : {E::attestation_lost, E::agent_removed})
    rules.push_back({S::stopping, event, G::none, S::stopped, {}, {}, {}, F::drop_slot | kEnded});
}

std::vector<DeploymentRule> make_rules() {
  std::vector<DeploymentRule> rules;
  add_dispatch(rules);
  add_reports(rules);
  add_updates(rules);
  add_losses(rules);
  add_stops(rules);
  return rules;
}

}  // namespace

std::span<const DeploymentRule> deployment_rules() {
  static const std::vector<DeploymentRule> rules = make_rules();
  return rules;
}

bool holds(DeploymentGuard guard, const DeploymentFacts& facts) {
  switch (guard) {
    case G::none: return true;
    case G::may_place_again: return facts.may_place_again;
    case G::redeploys_on_loss: return facts.redeploys_on_loss && facts.may_place_again;
    case G::retryable: return facts.retryable_failure && facts.may_place_again;
    case G::rolling_back: return facts.rolling_back && facts.of_target;
    case G::reboots_left: return facts.reboots_left;
    case G::of_target: return facts.of_target;
  }
  return false;
}

const DeploymentRule* find_rule(const DeploymentFacts& facts, DeploymentEvent event) {
  for (const DeploymentRule& rule : deployment_rules())
    if (rule.from == facts.state && rule.event == event && holds(rule.guard, facts)) return &rule;
  return nullptr;
}

Error transition_refused(DeploymentState state, DeploymentEvent event) {
  if (is_final(state)) return Error{.code = C::deployment_final};
  if (event == E::change_requested && state == S::updating) return Error{.code = C::update_in_progress};
  if (event == E::change_requested) return Error{.code = C::not_running};
  return Error{.code = C::invalid_transition,
               .detail = fmt::format("deployment is {}: {} is not possible", name_of(state), name_of(event))};
}

DeploymentState final_state_of(std::string_view reason) {
  return reason == "user" || reason == "replaced" ? S::stopped : S::terminated;
}

}  // namespace ee::cp
