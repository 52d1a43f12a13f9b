#pragma once
#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "cp/service/heartbeat.h"
#include "cp/service/live_flusher.h"
#include "tests/support/agents.h"
#include "tests/support/test_database.h"

namespace ee::cp::heartbeat_tests {

using agent_api::HeartbeatRequest;
using testing::make_agent;

/// Remembers what it was told and refuses when told to.
class RecordingHooks final : public DeploymentHooks {
 public:
  Result<void> apply_agent_report(db::Transaction& tx, const AgentRow& agent,
                                  const std::optional<agent_api::WorkloadReport>& workload, UtcTime now) override {
    ++reports;
    if (failing) return fail(ErrorCode::database_unavailable);
    return none.apply_agent_report(tx, agent, workload, now);
  }
  Result<void> agent_attestation_lost(db::Transaction&, const AgentRow&, UtcTime) override { return {}; }
  Result<void> agent_removed(db::Transaction&, const AgentRow&, UtcTime) override { return {}; }
  Result<bool> request_stop(db::Transaction&, const AgentRow&, bool, UtcTime) override { return false; }
  agent_api::Desired desired_for(const DirectoryEntry& agent,
                                 const std::optional<agent_api::WorkloadReport>& reported) const override {
    return none.desired_for(agent, reported);
  }
  NoDeployments none;
  int reports = 0;
  bool failing = false;
};

class HeartbeatTest : public ::testing::Test {
 protected:
  AgentRow add(AgentRow row) {
    const auto done = database_->run_write([&](db::Transaction& tx) { return agents_.insert(tx, row); });
    EXPECT_TRUE(done) << done.error().detail;
    directory_.put(row);
    return row;
  }
  AgentRow add_fresh(int number) {
    AgentRow row = make_agent(number, clock_.now());
    row.health_status = HealthStatus::unknown;
    return add(row);
  }
  AgentRow get(const AgentId& id) {
    return database_->read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, id); })
        .value()
        .value();
  }
  HeartbeatRequest beat(const AgentRow& row, std::int64_t seq, bool good = true) {
    HeartbeatRequest request;
    request.seq = seq;
    request.boot_id = row.boot_id;
    request.sent_at = clock_.now();
    request.agent_version = "2.0.0";
    if (!good) {
      request.health.status = agent_api::HealthStatus::unhealthy;
      request.health.checks = {{.name = "container_runtime", .ok = false, .code = "engine_down"}};
    }
    return request;
  }
  Result<agent_api::HeartbeatAnswer> send(const AgentRow& row, const HeartbeatRequest& request) {
    return service_.heartbeat({.agent = row.id, .credential_created_at = row.registered_at}, request, clock_.now());
  }
  std::int64_t live_rows() { return database_.value<std::int64_t>("SELECT COUNT(*) FROM agent_live"); }

  FakeClock clock_;
  testing::TestDatabase database_;
  Directory directory_{database_, clock_};
  LiveMap live_{database_};
  LiveFlusher flusher_{database_, live_, clock_};
  RecordingHooks hooks_;
  HeartbeatService service_{database_,
                            directory_,
                            live_,
                            hooks_,
                            {.settings = [] { return HeartbeatSettings{}; },
                             .interval_raise = [this] { return flusher_.interval_raise(); },
                             .signing_keys_version = [] { return 3; }}};
  AgentStore agents_;
};

}  // namespace ee::cp::heartbeat_tests
