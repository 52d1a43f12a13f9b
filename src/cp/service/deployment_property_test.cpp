// Random life: agents and deployments driven by events in any order over a real database, and what must hold after
// each.
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>

#include "common/fake_clock.h"
#include "cp/domain/agent_changes.h"
#include "cp/service/agent_key.h"
#include "cp/service/deployment_money.h"
#include "cp/service/deployment_reports.h"
#include "cp/service/signing_keys.h"
#include "cp/store/route_store.h"
#include "tests/support/agents.h"
#include "tests/support/test_accounts.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using E = DeploymentEvent;
using S = DeploymentState;
using Phase = agent_api::WorkloadPhase;

constexpr int kAgents = 5;
constexpr int kSteps = 100'000;

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {
    account_ = testing::add_test_account(db_, 1);
    in_transaction([&](db::Transaction& tx) -> Result<void> {
      const ServiceRow service{.id = "service", .name = "web", .account_id = account_};
      if (auto done = ServiceStore().insert(tx, service); !done) return done;
      for (int i = 0; i < kAgents; ++i) {
        AgentRow agent = testing::make_agent(i, clock_.now());
        agent.hostname = "h" + std::to_string(i);
        if (auto done = agents_.insert(tx, agent); !done) return done;
        ids_.push_back(agent.id);
      }
      return {};
    });
  }

  void run(int steps) {
    for (int done = 0; done < steps && !::testing::Test::HasFailure(); done += 500) {
      in_transaction([&](db::Transaction& tx) -> Result<void> {
        for (int i = 0; i < 500 && !::testing::Test::HasFailure(); ++i) {
          clock_.advance(Milliseconds(pick(20'000)));
          if (auto stepped = step(tx); !stepped) return stepped;
          if (i % 25 == 0)
            if (auto sound = check(tx); !sound) return sound;
        }
        if (auto sound = check(tx); !sound) return sound;
        return forget_ended(tx);
      });
    }
  }
  const std::map<std::string, int>& reached() const { return reached_; }
  std::int64_t stale() const { return stale_; }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  template <class Work>
  void in_transaction(const Work& work) {
    const auto done = db_->run_write(work);
    ASSERT_TRUE(done) << slug(done.error().code) << ": " << done.error().detail << " in " << last_;
  }

  /// So that what is looked at stays small.
  static Result<void> forget_ended(db::Transaction& tx) {
    for (const char* sql : {"DELETE FROM deployment_segments WHERE deployment_id IN (SELECT id FROM deployments WHERE "
                            "ended_at IS NOT NULL)",
                            "DELETE FROM deployments WHERE ended_at IS NOT NULL"})
      if (auto done = tx.execute(sql); !done) return std::unexpected(done.error());
    return {};
  }
  Result<AgentRow> agent_at(db::Transaction& tx, std::size_t index) {
    auto row = agents_.get(tx, ids_[index]);
    if (!row) return std::unexpected(row.error());
    return std::move(**row);
  }
  /// Changes an agent as whoever owns its life would, with its placement key.
  Result<void> change(db::Transaction& tx, const AgentRow& before, AgentEvent event) {
    const auto fresh = agents_.get(tx, before.id);
    if (!fresh) return std::unexpected(fresh.error());
    AgentRow after = **fresh;
    if (!change_state(after, event, agent_facts(**fresh), clock_.now())) return {};
    if (event == AgentEvent::registered_idle && after.status == AgentStatus::undeployed)
      after.attestation_state = AttestationState::verified;
    const auto written = agents_.update(tx, **fresh, after, clock_.now());
    if (!written) return std::unexpected(written.error());
    return {};
  }
  static AgentFacts agent_facts(const AgentRow& row) { return cp::facts_of(row); }

  Result<void> deploy(db::Transaction& tx) {
    const DeploymentId id(new_uuid_v7(clock_.now(), system_random_).value());
    DeploymentRow row{.id = id, .group_id = id.str(), .account_id = account_, .service_id = "service"};
    row.node_size = "tiny";
    row.datacenter_policy = "{}";
    row.on_agent_lost = pick(2) == 0 ? OnAgentLost::fail : OnAgentLost::redeploy;
    row.created_at = row.updated_at = clock_.now();
    if (pick(3) == 0) row.wait_ends_at = clock_.now() + Seconds(600);
    auto won = placer_.claim(tx, {}, {.account = account_}, {"tiny"}, id, {}, clock_.now());
    if (!won) return std::unexpected(won.error());
    if (*won) {
      if (auto done = machine_.take_slot(tx, row, **won, clock_.now()); !done) return done;
    } else if (row.wait_ends_at) {
      row.next_action_at = row.state_deadline_at = row.wait_ends_at;
    } else {
      return {};
    }
    if (auto done = rows_.insert(tx, row); !done) return done;
    live_.push_back(id);
    RevisionRow revision{.deployment_id = id, .revision = 1, .compose_sha256 = "x", .resolved_compose = "{}"};
    revision.images = "{}";
    revision.ingress = "[]";
    revision.env = "{}";
    revision.created_at = clock_.now();
    return revisions_.add(tx, revision, {});
  }

  Result<void> apply(db::Transaction& tx, const DeploymentRow& row, E event) {
    EventInputs inputs;
    if (event == E::change_requested) {
      if (row.state != S::running) return {};
      const auto made = revisions_.copy(tx, row.id, row.current_revision, "test", clock_.now());
      if (!made) return std::unexpected(made.error());
      inputs.target_revision = *made;
    }
    if (event == E::report_failed && pick(2) == 0) inputs.failure_code = "image_pull_failed";
    if (event == E::capacity_found) {
      if (row.state != S::pending) return {};
      auto won =
          placer_.claim(tx, machine_.question_of(row), {.account = account_}, {"tiny"}, row.id, {}, clock_.now());
      if (!won) return std::unexpected(won.error());
      if (!*won) return {};
      inputs.claimed = std::move(**won);
    }
    const auto done = machine_.apply(tx, row, event, inputs);
    const bool refused = !done && (done.error().code == ErrorCode::invalid_transition ||
                                   done.error().code == ErrorCode::deployment_final);
    if (!done && !refused) return std::unexpected(done.error());
    return {};
  }

  /// What an agent may say, true or not: of any deployment, with any epoch and revision.
  Result<void> report(db::Transaction& tx) {
    const auto agent = agent_at(tx, pick(kAgents));
    if (!agent) return std::unexpected(agent.error());
    if (pick(4) == 0) return reports_.apply_agent_report(tx, *agent, std::nullopt, clock_.now());
    const auto held = rows_.holder_of(tx, agent->id);
    if (!held) return std::unexpected(held.error());
    agent_api::WorkloadReport told;
    told.deployment_id = live_.empty() ? DeploymentId("none").str() : live_[pick(live_.size())].str();
    told.assignment_epoch = agent->assignment_epoch - static_cast<std::int64_t>(pick(2));
    told.revision = 1 + static_cast<std::int64_t>(pick(3));
    if (*held && pick(3) != 0) {
      told.deployment_id = (*held)->id.str();
      told.assignment_epoch = (*held)->assignment_epoch - (pick(5) == 0 ? 1 : 0);
      told.revision = (*held)->target_revision - (pick(6) == 0 ? 1 : 0);
    }
    constexpr Phase kPhases[] = {Phase::pulling, Phase::starting, Phase::running, Phase::running,
                                 Phase::failed,  Phase::exited,   Phase::stopped};
    told.phase = kPhases[pick(std::size(kPhases))];
    if (told.phase == Phase::running)
      told.health = pick(4) == 0 ? agent_api::WorkloadHealth::unhealthy : agent_api::WorkloadHealth::healthy;
    const bool old =
        !*held || (*held)->id.str() != told.deployment_id || (*held)->assignment_epoch != told.assignment_epoch;
    const auto before = versions(tx);
    if (auto done = reports_.apply_agent_report(tx, *agent, told, clock_.now()); !done) return done;
    if (old) {
      ++stale_;
      EXPECT_EQ(versions(tx), before) << "I6: a report about an older assignment changed something";
    }
    return {};
  }
  std::int64_t versions(db::Transaction& tx) {
    return tx
        .query_one<std::int64_t>(
            "SELECT (SELECT COALESCE(SUM(row_version), 0) FROM deployments WHERE ended_at IS NULL)"
            "+(SELECT SUM(row_version) FROM agents)")
        .value()
        .value_or(0);
  }

  Result<void> trouble_of_agent(db::Transaction& tx) {
    const auto agent = agent_at(tx, pick(kAgents));
    if (!agent) return std::unexpected(agent.error());
    switch (pick(4)) {
      case 0:
        if (agent->attestation_state == AttestationState::failed) return {};
        if (auto done = reports_.agent_attestation_lost(tx, *agent, clock_.now()); !done) return done;
        return change(tx, *agent, AgentEvent::attestation_failed);
      case 1:
        if (auto done = reports_.agent_removed(tx, *agent, clock_.now()); !done) return done;
        return change(tx, *agent, AgentEvent::reset);
      case 2: {
        const auto held = rows_.holder_of(tx, agent->id);
        if (!held) return std::unexpected(held.error());
        if (!*held) return {};
        return apply(tx, **held, E::agent_lost);
      }
      default:  // back again, with nothing running
        if (auto done = change(tx, *agent, AgentEvent::registered_idle); !done) return done;
        const auto fresh = agent_at(tx, static_cast<std::size_t>(std::ranges::find(ids_, agent->id) - ids_.begin()));
        if (!fresh) return std::unexpected(fresh.error());
        return reports_.apply_agent_report(tx, *fresh, std::nullopt, clock_.now());
    }
  }

  Result<void> step(db::Transaction& tx) {
    const auto kind = pick(100);
    if (kind < 8 || live_.empty()) {
      last_ = "deploy";
      return deploy(tx);
    }
    if (kind < 58) {
      last_ = "report";
      return report(tx);
    }
    if (kind < 63) {
      last_ = "trouble";
      return trouble_of_agent(tx);
    }
    const std::size_t index = pick(live_.size());
    const auto row = rows_.get(tx, live_[index]);
    if (!row) return std::unexpected(row.error());
    if (!*row) {
      live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(index));
      return {};
    }
    ++reached_[std::string(name_of((*row)->state))];
    if (is_final((*row)->state)) {
      if (live_.size() > 12) live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(index));
      last_ = "stop of a final one";
      const auto stopped = machine_.request_stop(tx, **row, "user", {});
      if (!stopped) return std::unexpected(stopped.error());
      EXPECT_FALSE(stopped->changed);
      return {};
    }
    if (kind < 68) {
      last_ = "stop";
      const auto stopped = machine_.request_stop(tx, **row, pick(2) == 0 ? "user" : "expired", {}, pick(6) == 0);
      if (!stopped) return std::unexpected(stopped.error());
      return {};
    }
    constexpr E kEvents[] = {E::capacity_found, E::wait_over,        E::push_accepted,     E::push_accepted,
                             E::push_invalid,   E::push_refused,     E::dispatch_deadline, E::deploy_deadline,
                             E::workload_gone,  E::change_requested, E::change_requested,  E::change_requested,
                             E::digests_differ, E::stop_confirmed,   E::stop_confirmed,    E::stop_confirmed,
                             E::stop_timeout,   E::report_failed};
    const E event = kEvents[pick(std::size(kEvents))];
    last_ = std::string(name_of((*row)->state)) + " + " + std::string(name_of(event));
    return apply(tx, **row, event);
  }

  Result<void> check(db::Transaction& tx) {
    const auto none = [&](const char* sql) {
      const auto found = tx.query_one<std::int64_t>(sql);
      EXPECT_TRUE(found && *found && **found == 0) << sql << " after " << last_;
    };
    none(
        "SELECT COUNT(*) FROM (SELECT agent_id FROM deployments WHERE slot_held=1 GROUP BY agent_id"
        " HAVING COUNT(*)>1) AS shared");  // I1
    none(
        "SELECT COUNT(*) FROM deployments WHERE slot_held<>(CASE WHEN state IN"
        " ('assigned','deploying','running','updating','stopping') THEN 1 ELSE 0 END)");
    none(
        "SELECT (SELECT COUNT(*) FROM deployments WHERE slot_held=1)-(SELECT COUNT(*) FROM agents a"
        " WHERE EXISTS (SELECT 1 FROM deployments d WHERE d.id=a.current_deployment_id AND d.slot_held=1"
        " AND d.agent_id=a.id AND d.assignment_epoch=a.assignment_epoch))");
    none(
        "SELECT COUNT(*) FROM (SELECT deployment_id FROM deployment_segments WHERE to_at IS NULL"
        " GROUP BY deployment_id HAVING COUNT(*)>1) AS twice");
    none(
        "SELECT COUNT(*) FROM deployments d WHERE (state IN ('running','updating'))<>EXISTS (SELECT 1"
        " FROM deployment_segments s WHERE s.deployment_id=d.id AND s.to_at IS NULL)");
    none("SELECT COUNT(*) FROM deployments WHERE ended_at IS NULL AND next_action_at IS NULL");
    const auto backends = RouteStore().backends(tx);  // I4
    if (!backends) return std::unexpected(backends.error());
    for (const RoutedBackendRow& backend : *backends) {
      EXPECT_NE(backend.agent_status, AgentStatus::quarantined) << last_;
      EXPECT_NE(backend.attestation_state, AttestationState::failed) << last_;
    }
    return {};
  }

  std::mt19937_64 random_;
  testing::TestDatabase db_;
  FakeClock clock_;
  SystemRandom system_random_;
  metrics::Registry registry_;
  DeploymentCounters counters_{registry_};
  DeploymentMoney money_;
  RateCards rates_{clock_};
  BillingSettings billing_settings_;
  Billing billing_{
      {.rates = rates_, .deployments = money_, .clock = clock_, .random = system_random_, .settings = [this] {
         return billing_settings_;
       }}};
  SecretBox box_{{}};
  Revisions revisions_{box_, system_random_};
  AgentSlots slots_{system_random_, counters_};
  Placer placer_{slots_, counters_};
  DeploymentMachine machine_{{.billing = billing_,
                              .slots = slots_,
                              .placer = placer_,
                              .revisions = revisions_,
                              .clock = clock_,
                              .random = system_random_,
                              .settings = [] { return DeploymentSettings(); },
                              .counters = counters_}};
  SigningKeys keys_{Ed25519PrivateKey::generate(system_random_).value(), {}};
  DeploymentDocuments documents_{{.revisions = revisions_, .signing_keys = keys_, .clock = clock_, .settings = [] {
                                    return DeploymentSettings();
                                  }}};
  LiveMap live_map_{db_};
  DeploymentReports reports_{{.database = db_,
                              .machine = machine_,
                              .slots = slots_,
                              .live = live_map_,
                              .documents = documents_,
                              .clock = clock_,
                              .counters = counters_,
                              .wake = {}}};
  AgentStore agents_;
  DeploymentStore rows_;
  AccountId account_;
  std::vector<AgentId> ids_;
  std::vector<DeploymentId> live_;
  std::map<std::string, int> reached_;
  std::int64_t stale_ = 0;
  std::string last_;
};

// covers: S03_FSM_100
TEST(DeploymentProperty, WhateverHappensInWhateverOrderTheInvariantsHold) {
  World world(20260101);
  world.run(kSteps);
  for (const char* state :
       {"pending", "assigned", "deploying", "running", "updating", "stopping", "stopped", "failed", "terminated"})
    EXPECT_GT(world.reached().count(state), 0U) << state << " was never seen: the test shows less than it says";
  EXPECT_GT(world.stale(), kSteps / 100);
}

}  // namespace
}  // namespace ee::cp
