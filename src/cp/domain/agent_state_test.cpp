#include "cp/domain/agent_state.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace ee::cp {
namespace {

using S = AgentStatus;
using E = AgentEvent;
using F = AgentEffect;
using Q = QuarantineReason;

constexpr S kAllStates[] = {S::undeployed,  S::deploying, S::deployed, S::undeploying,
                            S::quarantined, S::deleting,  S::deleted};
constexpr E kAllEvents[] = {E::claim,
                            E::report_running,
                            E::push_refused,
                            E::redispatch,
                            E::stop_requested,
                            E::workload_stopped,
                            E::agent_lost,
                            E::stop_unconfirmed,
                            E::dispatch_refused,
                            E::attestation_failed,
                            E::clean_heartbeat,
                            E::registered_idle,
                            E::registered_busy,
                            E::reset,
                            E::delete_requested,
                            E::delete_forced,
                            E::cleanup_done};

AgentFacts idle(S status) { return {.status = status, .health = HealthStatus::healthy}; }
AgentFacts busy(S status) {
  AgentFacts facts = idle(status);
  facts.has_deployment = true;
  return facts;
}
AgentFacts quarantined(Q reason) {
  AgentFacts facts = idle(S::quarantined);
  facts.quarantine_reason = reason;
  if (reason == Q::attestation_failed) facts.attestation = AttestationState::failed;
  return facts;
}

struct Row {
  const char* what;
  AgentFacts facts;
  E event;
  S next;
  std::optional<Q> reason;
  std::vector<F> effects;  // all that must be there
};

// covers: S02_AGT_ST_001
// The rows of the state table in the agent contract, section 3.1, written down again by hand.
TEST(AgentState, TakesEveryLegalStep) {
  const Row rows[] = {
      {"claim", idle(S::undeployed), E::claim, S::deploying, {}, {F::set_deployment}},
      {"running", busy(S::deploying), E::report_running, S::deployed, {}, {F::set_deployed_app}},
      {"push refused",
       busy(S::deploying),
       E::push_refused,
       S::undeployed,
       {},
       {F::clear_deployment, F::set_idle_since}},
      {"gone", busy(S::deployed), E::redispatch, S::deploying, {}, {}},
      {"stop", busy(S::deploying), E::stop_requested, S::undeploying, {}, {}},
      {"stop", busy(S::deployed), E::stop_requested, S::undeploying, {}, {}},
      {"stopped",
       busy(S::undeploying),
       E::workload_stopped,
       S::undeployed,
       {},
       {F::clear_deployment, F::set_idle_since}},
      {"lost", busy(S::deploying), E::agent_lost, S::quarantined, Q::agent_lost, {F::clear_deployment}},
      {"lost", busy(S::deployed), E::agent_lost, S::quarantined, Q::agent_lost, {F::clear_deployment}},
      {"lost", busy(S::undeploying), E::agent_lost, S::quarantined, Q::agent_lost, {F::clear_deployment}},
      {"unconfirmed", busy(S::undeploying), E::stop_unconfirmed, S::quarantined, Q::stop_unconfirmed, {}},
      {"refused", busy(S::deploying), E::dispatch_refused, S::quarantined, Q::dispatch_refused, {}},
      {"attestation",
       idle(S::undeployed),
       E::attestation_failed,
       S::quarantined,
       Q::attestation_failed,
       {F::notify_attestation_lost, F::remove_tunnel}},
      {"attestation",
       busy(S::deployed),
       E::attestation_failed,
       S::quarantined,
       Q::attestation_failed,
       {F::notify_attestation_lost, F::remove_tunnel}},
      {"attestation beats another reason",
       quarantined(Q::agent_lost),
       E::attestation_failed,
       S::quarantined,
       Q::attestation_failed,
       {F::remove_tunnel}},
      {"clean", quarantined(Q::agent_lost), E::clean_heartbeat, S::undeployed, {}, {F::set_idle_since}},
      {"clean", quarantined(Q::stop_unconfirmed), E::clean_heartbeat, S::undeployed, {}, {F::set_idle_since}},
      {"registered idle", quarantined(Q::attestation_failed), E::registered_idle, S::undeployed, {}, {F::retry_tunnel}},
      {"registered busy", quarantined(Q::attestation_failed), E::registered_busy, S::quarantined, Q::agent_lost, {}},
      {"registered, status stays", busy(S::deployed), E::registered_busy, S::deployed, {}, {F::retry_tunnel}},
      {"registered, status stays", busy(S::deploying), E::registered_idle, S::deploying, {}, {}},
      {"reset idle",
       idle(S::undeployed),
       E::reset,
       S::undeployed,
       {},
       {F::clear_streaks, F::retry_tunnel, F::request_attestation}},
      {"reset busy", busy(S::deployed), E::reset, S::undeploying, {}, {F::notify_agent_removed}},
      {"reset lost", quarantined(Q::agent_lost), E::reset, S::undeployed, {}, {F::set_idle_since}},
      {"delete", idle(S::undeployed), E::delete_requested, S::deleting, {}, {F::revoke_credentials, F::queue_cleanup}},
      {"delete by force",
       busy(S::deployed),
       E::delete_forced,
       S::deleting,
       {},
       {F::revoke_credentials, F::notify_agent_removed, F::release_reservations, F::queue_cleanup}},
      {"delete again", idle(S::deleting), E::delete_requested, S::deleting, {}, {}},
      {"cleaned", idle(S::deleting), E::cleanup_done, S::deleted, {}, {F::clear_identity}},
  };
  for (const Row& row : rows) {
    const auto result = next_state(row.facts, row.event);
    ASSERT_TRUE(result) << row.what << ": " << result.error().detail;
    EXPECT_EQ(result->next, row.next) << row.what;
    EXPECT_EQ(result->quarantine_reason, row.reason) << row.what;
    for (const F effect : row.effects) EXPECT_TRUE(has(result->effects, effect)) << row.what;
  }
}

// covers: S02_AGT_ST_004
TEST(AgentState, ResetNeverLeavesAnAttestationQuarantine) {
  const auto result = next_state(quarantined(Q::attestation_failed), E::reset);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->next, S::quarantined);
  EXPECT_EQ(result->quarantine_reason, Q::attestation_failed);
  EXPECT_TRUE(has(result->effects, F::request_attestation));
}

// Which events a state knows, by the contract's table; every other pair must be refused whatever the facts say.
std::set<E> known_events(S state) {
  switch (state) {
    case S::undeployed:
      return {E::claim, E::attestation_failed, E::registered_idle, E::registered_busy,
              E::reset, E::delete_requested,   E::delete_forced};
    case S::deploying:
      return {E::report_running,   E::push_refused,       E::stop_requested,  E::agent_lost,      E::stop_unconfirmed,
              E::dispatch_refused, E::attestation_failed, E::registered_idle, E::registered_busy, E::reset,
              E::delete_requested, E::delete_forced};
    case S::deployed:
      return {E::redispatch,       E::stop_requested,   E::agent_lost,
              E::stop_unconfirmed, E::dispatch_refused, E::attestation_failed,
              E::registered_idle,  E::registered_busy,  E::reset,
              E::delete_requested, E::delete_forced};
    case S::undeploying:
      return {E::workload_stopped,   E::agent_lost,      E::stop_unconfirmed, E::dispatch_refused,
              E::attestation_failed, E::registered_idle, E::registered_busy,  E::reset,
              E::delete_requested,   E::delete_forced};
    case S::quarantined:
      return {E::clean_heartbeat, E::attestation_failed, E::registered_idle, E::registered_busy,
              E::reset,           E::delete_requested,   E::delete_forced};
    case S::deleting: return {E::delete_requested, E::delete_forced, E::cleanup_done};
    case S::deleted: return {};
  }
  return {};
}

std::vector<AgentFacts> all_facts(S status) {
  std::vector<AgentFacts> out;
  const std::optional<Q> reasons[] = {std::nullopt, Q::attestation_failed, Q::agent_lost, Q::stop_unconfirmed,
                                      Q::dispatch_refused};
  for (const auto reason : reasons) {
    if (reason.has_value() != (status == S::quarantined)) continue;
    for (const auto health : {HealthStatus::unknown, HealthStatus::healthy, HealthStatus::unhealthy})
      for (const auto attestation : {AttestationState::verified, AttestationState::stale, AttestationState::failed})
        for (int bits = 0; bits < 8; ++bits)
          out.push_back({.status = status,
                         .quarantine_reason = reason,
                         .health = health,
                         .attestation = attestation,
                         .draining = (bits & 1) != 0,
                         .has_deployment = (bits & 2) != 0,
                         .workload_reported = (bits & 4) != 0});
  }
  return out;
}

// covers: S02_AGT_ST_002
TEST(AgentState, RefusesEveryPairThatTheTableDoesNotName) {
  int refused = 0;
  for (const S state : kAllStates) {
    const auto known = known_events(state);
    for (const E event : kAllEvents) {
      bool ever_legal = false;
      for (const AgentFacts& facts : all_facts(state)) {
        const auto result = next_state(facts, event);
        ever_legal |= result.has_value();
        if (result) continue;
        ++refused;
        const auto code = result.error().code;
        EXPECT_TRUE(code == ErrorCode::invalid_agent_state || code == ErrorCode::agent_has_deployment ||
                    code == ErrorCode::agent_deleting);
        EXPECT_FALSE(result.error().detail.empty());
      }
      EXPECT_EQ(ever_legal, known.contains(event)) << name_of(state) << " " << name_of(event);
    }
  }
  EXPECT_GT(refused, 1000);
  const auto refusal = next_state(idle(S::deleted), E::claim);
  EXPECT_EQ(refusal.error().detail, "agent is deleted: claim is not possible");
}

TEST(AgentState, HasAReasonExactlyInQuarantine) {
  for (const S state : kAllStates)
    for (const AgentFacts& facts : all_facts(state))
      for (const E event : kAllEvents)
        if (const auto result = next_state(facts, event)) {
          EXPECT_EQ(result->quarantine_reason.has_value(), result->next == S::quarantined)
              << name_of(state) << " " << name_of(event);
        }
}

TEST(AgentState, ClaimsOnlyWhatIsPlaceable) {
  AgentFacts facts = idle(S::undeployed);
  ASSERT_TRUE(next_state(facts, E::claim));
  facts.attestation = AttestationState::stale;
  EXPECT_FALSE(next_state(facts, E::claim));
  facts = idle(S::undeployed);
  facts.health = HealthStatus::unknown;
  EXPECT_FALSE(next_state(facts, E::claim));
  facts = idle(S::undeployed);
  facts.draining = true;
  EXPECT_FALSE(next_state(facts, E::claim));
}

// covers: S02_OWN_006
TEST(AgentState, DeletesADeployedAgentOnlyByForce) {
  for (const S state : {S::deploying, S::deployed, S::undeploying}) {
    EXPECT_EQ(next_state(busy(state), E::delete_requested).error().code, ErrorCode::agent_has_deployment);
    EXPECT_EQ(next_state(busy(state), E::delete_forced)->next, S::deleting);
  }
  EXPECT_EQ(next_state(idle(S::deleting), E::reset).error().code, ErrorCode::agent_deleting);
}

// Seeded random walks: whatever happens, a deleted agent stays deleted, a failed attestation ends only by a
// registration, and no state is left that the table cannot leave by a delete.
TEST(AgentState, KeepsItsInvariantsOnRandomWalks) {
  std::mt19937_64 random(20260101);
  for (int walk = 0; walk < 2000; ++walk) {
    AgentFacts facts = idle(S::undeployed);
    for (int step = 0; step < 60; ++step) {
      const E event = kAllEvents[random() % std::size(kAllEvents)];
      const auto result = next_state(facts, event);
      if (!result) continue;
      const bool was_failed = facts.status == S::quarantined && facts.quarantine_reason == Q::attestation_failed;
      if (was_failed && result->next != S::deleting &&
          !(result->next == S::quarantined && result->quarantine_reason == Q::attestation_failed)) {
        ASSERT_TRUE(event == E::registered_idle || event == E::registered_busy) << name_of(event);
      }
      ASSERT_NE(facts.status, S::deleted);
      if (event == E::attestation_failed) facts.attestation = AttestationState::failed;
      if (event == E::registered_idle || event == E::registered_busy) facts.attestation = AttestationState::verified;
      if (has(result->effects, F::set_deployment)) facts.has_deployment = true;
      if (has(result->effects, F::clear_deployment)) facts.has_deployment = false;
      facts.status = result->next;
      facts.quarantine_reason = result->quarantine_reason;
      facts.health = HealthStatus::healthy;
      ASSERT_EQ(next_state(facts, E::delete_forced).has_value(), facts.status != S::deleted);
    }
  }
}

}  // namespace
}  // namespace ee::cp
