// The state table of deployments, written down a second time from the specification, and every pair beside it.
#include "cp/domain/deployment_state.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace ee::cp {
namespace {

using E = DeploymentEvent;
using F = DeploymentEffect;
using Q = QuarantineReason;
using S = DeploymentState;

constexpr S kStates[] = {S::pending,  S::assigned, S::deploying, S::running,   S::updating,
                         S::stopping, S::stopped,  S::failed,    S::terminated};
constexpr S kActive[] = {S::assigned, S::deploying, S::running, S::updating};

template <class Do>
void for_each_event(const Do& act) {
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto event) { act(event.value); });
}

DeploymentFacts in(S state) { return {.state = state}; }

struct Expected {
  DeploymentFacts facts;
  E event;
  S next;
  std::optional<S> final_state = {};
  std::string reason = {};
  std::optional<Q> quarantine = {};
  std::vector<F> effects = {};
  std::vector<F> never = {};
};

std::vector<Expected> rows() {
  const auto left = [](S state) { return DeploymentFacts{.state = state, .may_place_again = true}; };
  std::vector<Expected> out = {
      {in(S::pending), E::capacity_found, S::assigned, {}, "", {}, {F::take_slot}},
      {in(S::pending), E::wait_over, S::failed, S::failed, "no_capacity"},
      {in(S::assigned), E::push_accepted, S::deploying, {}, "", {}, {F::deploy_deadline}},
      {in(S::assigned), E::report_progress, S::deploying, {}, "", {}, {F::deploy_deadline}},
      {in(S::assigned), E::push_invalid, S::failed, S::failed, "agent_rejected", {}, {F::free_agent}},
      {left(S::assigned),
       E::push_refused,
       S::assigned,
       {},
       "dispatch_failed",
       Q::dispatch_refused,
       {F::quarantine, F::place_again}},
      {left(S::assigned),
       E::dispatch_deadline,
       S::assigned,
       {},
       "dispatch_failed",
       Q::agent_lost,
       {F::quarantine, F::place_again}},
      {in(S::assigned), E::push_refused, S::stopping, S::failed, "dispatch_failed", {}, {F::agent_undeploying}},
      {in(S::assigned), E::dispatch_deadline, S::stopping, S::failed, "dispatch_failed"},
      {in(S::deploying), E::report_progress, S::deploying},
      {in(S::deploying),
       E::report_running,
       S::running,
       {},
       "",
       {},
       {F::open_segment, F::agent_deployed, F::reroute, F::finish_update}},
      {in(S::assigned), E::report_running, S::running, {}, "", {}, {F::open_segment, F::agent_deployed}},
      {in(S::deploying), E::report_failed, S::stopping, S::failed, "agent_error"},
      {in(S::assigned), E::report_failed, S::stopping, S::failed, "agent_error"},
      {in(S::deploying), E::deploy_deadline, S::stopping, S::failed, "deploy_timeout"},
      {in(S::running), E::health_reported, S::running, {}, "", {}, {F::reroute}, {F::close_segment}},
      {in(S::running), E::report_failed, S::stopping, S::failed, "workload_exited", {}, {F::close_segment}},
      {in(S::running), E::report_exited, S::stopping, S::failed, "workload_exited", {}, {F::close_segment}},
      {in(S::running), E::change_requested, S::updating, {}, "", {}, {F::begin_update}, {F::close_segment}},
      {in(S::updating), E::report_running, S::running, {}, "", {}, {F::finish_update}, {F::open_segment}},
      {in(S::updating), E::report_failed, S::updating, {}, "", {}, {F::roll_back}},
      {in(S::updating), E::deploy_deadline, S::updating, {}, "", {}, {F::roll_back}},
      {{.state = S::updating, .rolling_back = true}, E::report_failed, S::stopping, S::failed, "rollback_failed"},
      {{.state = S::updating, .rolling_back = true}, E::deploy_deadline, S::stopping, S::failed, "rollback_failed"},
      {in(S::stopping), E::stop_requested, S::stopping, {}, "", {}, {}, {F::close_segment, F::stop_deadline}},
      {in(S::stopping), E::stop_confirmed, S::stopped, {}, "", {}, {F::free_agent, F::drop_secrets}},
      {in(S::stopping), E::stop_timeout, S::stopped, {}, "", Q::stop_unconfirmed, {F::quarantine, F::drop_secrets}},
      {in(S::stopping), E::agent_lost, S::stopped, {}, "", Q::stop_unconfirmed, {F::quarantine}},
      {in(S::stopping), E::stop_forced, S::stopped, {}, "", Q::stop_unconfirmed, {F::quarantine}},
      {in(S::stopping), E::agent_removed, S::stopped, {}, "", {}, {F::drop_slot}, {F::quarantine}},
      {in(S::pending), E::stop_requested, S::stopped, {}, "", {}, {}, {F::agent_undeploying}},
  };
  for (const S state : {S::running, S::updating}) {
    out.push_back(
        {in(state), E::workload_gone, S::deploying, {}, "", {}, {F::close_segment, F::agent_deploying, F::reroute}});
    out.push_back({{.state = state, .reboots_left = false}, E::workload_gone, S::stopping, S::failed, "workload_lost"});
  }
  for (const S state : kActive) {
    for (const auto& [event, reason] : std::map<E, std::string>{{E::agent_lost, "agent_lost"},
                                                                {E::attestation_lost, "attestation_lost"},
                                                                {E::agent_removed, "agent_removed"}}) {
      const auto quarantine = event == E::agent_lost ? std::optional(Q::agent_lost) : std::nullopt;
      out.push_back(
          {in(state), event, S::terminated, S::terminated, reason, quarantine, {F::close_segment, F::reroute}});
      out.push_back(
          {{.state = state, .may_place_again = true}, event, S::terminated, S::terminated, reason, quarantine});
      out.push_back(
          {{.state = state, .redeploys_on_loss = true}, event, S::terminated, S::terminated, reason, quarantine});
      out.push_back({{.state = state, .may_place_again = true, .redeploys_on_loss = true},
                     event,
                     S::assigned,
                     {},
                     reason,
                     quarantine,
                     {F::close_segment, F::place_again, F::reroute}});
    }
    out.push_back({in(state),
                   E::stop_requested,
                   S::stopping,
                   {},
                   "",
                   {},
                   {F::close_segment, F::agent_undeploying, F::stop_deadline, F::reroute}});
    out.push_back({in(state), E::digests_differ, S::stopping, S::failed, "digest_mismatch"});
  }
  for (const S state : {S::assigned, S::deploying})
    out.push_back({{.state = state, .may_place_again = true, .retryable_failure = true},
                   E::report_failed,
                   S::assigned,
                   {},
                   "agent_error",
                   Q::dispatch_refused,
                   {F::place_again}});
  return out;
}

// covers: S03_FSM_001
TEST(DeploymentStateTable, TakesEveryStepOfTheSpecification) {
  for (const Expected& row : rows()) {
    SCOPED_TRACE(std::string(name_of(row.facts.state)) + " + " + std::string(name_of(row.event)));
    const DeploymentRule* rule = find_rule(row.facts, row.event);
    ASSERT_NE(rule, nullptr);
    EXPECT_EQ(rule->next, row.next) << name_of(rule->next);
    EXPECT_EQ(rule->final_state, row.final_state);
    EXPECT_EQ(rule->failure ? std::string(slug(*rule->failure)) : "", row.reason);
    EXPECT_EQ(rule->quarantine, row.quarantine);
    for (const F effect : row.effects) EXPECT_TRUE(has(rule->effects, effect));
    for (const F effect : row.never) EXPECT_FALSE(has(rule->effects, effect));
  }
}

TEST(DeploymentStateTable, WhatHasEndedStaysAsItIs) {
  for (const S state : {S::stopped, S::failed, S::terminated})
    for_each_event([&](E event) {
      EXPECT_EQ(find_rule({.state = state, .may_place_again = true, .redeploys_on_loss = true}, event), nullptr);
      EXPECT_EQ(transition_refused(state, event).code, ErrorCode::deployment_final);
    });
}

TEST(DeploymentStateTable, EveryPairThatIsNotListedHasNoRule) {
  std::set<std::pair<S, E>> listed;
  for (const Expected& row : rows()) listed.insert({row.facts.state, row.event});
  // Rows of the code beyond those above: a workload that is lost while it starts, ends while it is updated, and force.
  for (const auto& [state, event] : std::vector<std::pair<S, E>>{{S::deploying, E::workload_gone},
                                                                 {S::deploying, E::report_exited},
                                                                 {S::assigned, E::report_exited},
                                                                 {S::updating, E::report_exited},
                                                                 {S::updating, E::report_progress},
                                                                 {S::updating, E::health_reported},
                                                                 {S::stopping, E::attestation_lost},
                                                                 {S::pending, E::stop_forced},
                                                                 {S::assigned, E::stop_forced},
                                                                 {S::deploying, E::stop_forced},
                                                                 {S::running, E::stop_forced},
                                                                 {S::updating, E::stop_forced}})
    listed.insert({state, event});
  for (const S state : kStates)
    for_each_event([&](E event) {
      if (listed.contains({state, event})) return;
      EXPECT_EQ(find_rule({.state = state, .may_place_again = true, .redeploys_on_loss = true}, event), nullptr)
          << name_of(state) << " + " << name_of(event);
    });
}

TEST(DeploymentStateTable, ARuleThatLeavesTheAgentGivesTheSlotBack) {
  for (const DeploymentRule& rule : deployment_rules()) {
    SCOPED_TRACE(std::string(name_of(rule.from)) + " + " + std::string(name_of(rule.event)));
    const bool gives_back =
        has(rule.effects, F::free_agent) || has(rule.effects, F::quarantine) || has(rule.effects, F::drop_slot);
    const bool leaves = holds_slot(rule.from) && (!holds_slot(rule.next) || has(rule.effects, F::place_again));
    EXPECT_EQ(gives_back, leaves);
    EXPECT_EQ(has(rule.effects, F::quarantine), rule.quarantine.has_value());
    const bool billed = rule.from == S::running || rule.from == S::updating;
    const bool stays_billed = rule.next == S::running || rule.next == S::updating;
    if (billed && !stays_billed) EXPECT_TRUE(has(rule.effects, F::close_segment));
    if (!billed && stays_billed) EXPECT_TRUE(has(rule.effects, F::open_segment));
    if (is_final(rule.next)) EXPECT_TRUE(has(rule.effects, F::drop_secrets));
  }
}

TEST(DeploymentStateTable, TheReasonOfAStopSaysHowItEnds) {
  for (const char* reason : {"user", "replaced"}) EXPECT_EQ(final_state_of(reason), S::stopped);
  for (const char* reason : {"insufficient_funds", "expired", "admin", "agent_owner", "account_closed"})
    EXPECT_EQ(final_state_of(reason), S::terminated);
}

TEST(DeploymentStateTable, AUsersEventThatDoesNotFitIsNamed) {
  EXPECT_EQ(transition_refused(S::updating, E::change_requested).code, ErrorCode::update_in_progress);
  EXPECT_EQ(transition_refused(S::deploying, E::change_requested).code, ErrorCode::not_running);
  EXPECT_EQ(transition_refused(S::pending, E::stop_timeout).code, ErrorCode::invalid_transition);
  for_each_event([&](E event) {
    const bool agents = event >= E::push_accepted && event <= E::workload_gone;
    EXPECT_EQ(is_of_agent(event), agents);
  });
}

}  // namespace
}  // namespace ee::cp
