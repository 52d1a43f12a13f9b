#include "cp/service/heartbeat_fixture.h"

#include <atomic>
#include <thread>

namespace ee::cp::heartbeat_tests {
namespace {

// covers: S02_AGT_HB_001
TEST_F(HeartbeatTest, AGoodOneIsAnsweredAndReachesTheTableWithTheNextFlush) {
  const AgentRow row = add_fresh(1);
  const auto answer = send(row, beat(row, 1));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->registration_id, row.registration_id.str());
  EXPECT_EQ(answer->heartbeat_interval_seconds, 5);  // no way to push
  EXPECT_EQ(answer->desired.action, agent_api::DesiredAction::none);
  EXPECT_EQ(answer->signing_keys_version, 3);
  EXPECT_EQ(answer->answered_at, clock_.now());
  EXPECT_EQ(answer->attestation_due_at, row.attestation_due_at);
  EXPECT_FALSE(answer->reattest_now);
  EXPECT_FALSE(answer->rotate_credential);
  EXPECT_EQ(get(row.id).health_status, HealthStatus::healthy);  // at once
  EXPECT_EQ(live_rows(), 0);

  ASSERT_TRUE(flusher_.flush({}));
  EXPECT_EQ(live_rows(), 1);
  EXPECT_EQ(database_.value<std::int64_t>("SELECT last_heartbeat_at FROM agent_live"), unix_ms(clock_.now()));
  EXPECT_EQ(live_.dirty(), 0U);
}

TEST_F(HeartbeatTest, UnchangedOnesTouchNoTable) {
  const AgentRow row = add_fresh(1);
  ASSERT_TRUE(send(row, beat(row, 1)));
  const auto version = get(row.id).row_version;
  for (int seq = 2; seq < 200; ++seq) ASSERT_TRUE(send(row, beat(row, seq)));
  EXPECT_EQ(get(row.id).row_version, version);
  EXPECT_EQ(hooks_.reports, 0);
}

// covers: S02_AGT_HB_002
TEST_F(HeartbeatTest, AnOldOrRepeatedOneIsAnsweredAndChangesNothing) {
  const AgentRow row = add_fresh(1);
  ASSERT_TRUE(send(row, beat(row, 5)));
  const UtcTime first = clock_.now();
  clock_.advance(Seconds(30));
  for (const std::int64_t seq : {5, 4, 1, 0, -7}) {
    const auto answer = send(row, beat(row, seq, false));
    ASSERT_TRUE(answer) << seq;
  }
  EXPECT_EQ(live_.seen(key_of(row.id))->last_heartbeat_at, first);
  EXPECT_EQ(get(row.id).health_status, HealthStatus::healthy);
}

// covers: S02_AGT_HB_004
TEST_F(HeartbeatTest, ThreeBadOnesTakeItDownAndTwoGoodOnesBringItBack) {
  const AgentRow row = add_fresh(1);
  std::int64_t seq = 0;
  ASSERT_TRUE(send(row, beat(row, ++seq)));
  ASSERT_TRUE(send(row, beat(row, ++seq, false)));
  ASSERT_TRUE(send(row, beat(row, ++seq, false)));
  EXPECT_EQ(get(row.id).health_status, HealthStatus::healthy);
  ASSERT_TRUE(send(row, beat(row, ++seq, false)));
  EXPECT_EQ(get(row.id).health_status, HealthStatus::unhealthy);
  EXPECT_EQ(get(row.id).health_reason, "engine_down");
  EXPECT_EQ(get(row.id).unhealthy_since_at, clock_.now());
  ASSERT_TRUE(send(row, beat(row, ++seq)));
  EXPECT_EQ(get(row.id).health_status, HealthStatus::unhealthy);
  ASSERT_TRUE(send(row, beat(row, ++seq)));
  EXPECT_EQ(get(row.id).health_status, HealthStatus::healthy);
  EXPECT_FALSE(get(row.id).health_reason);
}

// covers: S02_AGT_HB_008
TEST_F(HeartbeatTest, AFlushThatFailsLosesNothingAndDoesNotGrow) {
  for (int i = 1; i <= 3; ++i) {
    const AgentRow row = add_fresh(i);
    ASSERT_TRUE(send(row, beat(row, 1)));
  }
  database_.execute("ALTER TABLE agent_live RENAME TO away");
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(flusher_.flush({}));
    EXPECT_EQ(live_.dirty(), 3U);
    EXPECT_EQ(live_.size(), 3U);
    clock_.advance(Seconds(6));
    const AgentRow row = make_agent(1, clock_.now());
    ASSERT_TRUE(send(row, beat(row, 2 + i)));  // one slot, however often it beats
  }
  database_.execute("ALTER TABLE away RENAME TO agent_live");
  ASSERT_TRUE(flusher_.flush({}));
  EXPECT_EQ(live_rows(), 3);
  EXPECT_EQ(live_.dirty(), 0U);
  EXPECT_EQ(database_.value<std::int64_t>("SELECT seq FROM agent_live WHERE agent_id=:id", {{"id", make_agent(1).id}}),
            3);
}

TEST_F(HeartbeatTest, AFlushThatLagsRaisesTheIntervalAndASoundOneLowersIt) {
  const AgentRow row = add_fresh(1);
  std::int64_t seq = 0;
  ASSERT_TRUE(send(row, beat(row, ++seq)));
  const std::int64_t expected[] = {30, 60, 120, 120};
  for (const std::int64_t interval : expected) {
    clock_.advance(Seconds(11));
    ASSERT_TRUE(flusher_.flush({}));
    EXPECT_EQ(flusher_.lag(), Seconds(11));
    EXPECT_EQ(send(row, beat(row, ++seq))->heartbeat_interval_seconds, interval);
  }
  for (const std::int64_t interval : {60, 30, 5}) {
    ASSERT_TRUE(flusher_.flush({}));
    EXPECT_EQ(send(row, beat(row, ++seq))->heartbeat_interval_seconds, interval);
  }
}

TEST_F(HeartbeatTest, IntervalFollowsTheWayToPush) {
  const AgentRow row = add_fresh(1);
  auto request = beat(row, 1);
  request.tunnel.state = agent_api::TunnelLink::connected;
  EXPECT_EQ(send(row, request)->heartbeat_interval_seconds, 30);
  request.seq = 2;
  request.tunnel.state = agent_api::TunnelLink::disconnected;
  EXPECT_EQ(send(row, request)->heartbeat_interval_seconds, 5);
  AgentRow direct = make_agent(2, clock_.now());
  direct.direct_url = "http://127.0.0.1:1";
  add(direct);
  EXPECT_EQ(send(direct, beat(direct, 1))->heartbeat_interval_seconds, 30);
}

// covers: S02_AGT_HB_011
TEST_F(HeartbeatTest, ADeletedAgentIsToldWhy) {
  for (const auto status : {AgentStatus::deleting, AgentStatus::deleted}) {
    AgentRow row = make_agent(status == AgentStatus::deleting ? 1 : 2, clock_.now());
    row.status = status;
    row.delete_reason = DeleteReason::stale;
    add(row);
    const auto refused = send(row, beat(row, 1));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::agent_deleted);
    EXPECT_EQ(refused.error().detail, "stale");
  }
  EXPECT_EQ(live_.size(), 0U);
}

TEST_F(HeartbeatTest, AnOlderInstanceAndAnUnknownAgentAreRefused) {
  const AgentRow row = add_fresh(1);
  auto request = beat(row, 1);
  request.boot_id = "0190a000-0002-7000-8000-00000000ffff";
  EXPECT_EQ(send(row, request).error().code, ErrorCode::boot_id_mismatch);
  EXPECT_EQ(send(make_agent(9), beat(make_agent(9), 1)).error().code, ErrorCode::agent_not_found);
}

// covers: S02_AGT_ST_005
TEST_F(HeartbeatTest, OneThatLostTrustIsRefused) {
  AgentRow row = make_agent(1, clock_.now());
  row.status = AgentStatus::quarantined;
  row.quarantine_reason = QuarantineReason::attestation_failed;
  row.attestation_state = AttestationState::failed;
  add(row);
  EXPECT_EQ(send(row, beat(row, 1)).error().code, ErrorCode::agent_attestation_failed);
  EXPECT_EQ(live_.size(), 0U);
}

TEST_F(HeartbeatTest, AQuarantinedOneIsFreeWhenItSaysThatNothingRuns) {
  AgentRow row = make_agent(1, clock_.now());
  row.status = AgentStatus::quarantined;
  row.quarantine_reason = QuarantineReason::agent_lost;
  row.idle_since_at.reset();
  add(row);
  auto busy = beat(row, 1);
  busy.workload.emplace().deployment_id = "0190a000-0009-7000-8000-000000000001";
  ASSERT_TRUE(send(row, busy));
  EXPECT_EQ(get(row.id).status, AgentStatus::quarantined);
  const auto answer = send(row, beat(row, 2));
  ASSERT_TRUE(answer);
  EXPECT_EQ(get(row.id).status, AgentStatus::undeployed);
  EXPECT_EQ(get(row.id).idle_since_at, clock_.now());
  EXPECT_EQ(directory_.find(key_of(row.id))->status, AgentStatus::undeployed);
}

// covers: S02_AGT_HB_006
TEST_F(HeartbeatTest, AReportIsBroughtAgainUntilItIsStored) {
  const AgentRow row = add_fresh(1);
  auto request = beat(row, 1);
  request.workload.emplace().deployment_id = "0190a000-0009-7000-8000-000000000001";
  request.workload->phase = agent_api::WorkloadPhase::running;
  hooks_.failing = true;
  const auto answer = send(row, request);
  ASSERT_TRUE(answer);  // a database that fails is no reason to fail the heartbeat
  EXPECT_EQ(answer->desired.action, agent_api::DesiredAction::none);
  EXPECT_EQ(answer->desired.grace_seconds, 600);  // unknown here: kept for a restored backup
  hooks_.failing = false;
  for (const std::int64_t seq : {2, 3, 4}) {
    request.seq = seq;
    ASSERT_TRUE(send(row, request));
  }
  EXPECT_EQ(hooks_.reports, 2);  // the failed one and the one that was stored
  request.seq = 5;
  request.workload->phase = agent_api::WorkloadPhase::failed;
  ASSERT_TRUE(send(row, request));
  EXPECT_EQ(hooks_.reports, 3);
}

TEST_F(HeartbeatTest, HealthThatCouldNotBeStoredIsTriedAgain) {
  const AgentRow row = add_fresh(1);
  database_.execute("ALTER TABLE agents RENAME TO away");
  ASSERT_TRUE(send(row, beat(row, 1)));
  database_.execute("ALTER TABLE away RENAME TO agents");
  EXPECT_EQ(get(row.id).health_status, HealthStatus::unknown);
  ASSERT_TRUE(send(row, beat(row, 2)));
  EXPECT_EQ(get(row.id).health_status, HealthStatus::healthy);
}

TEST_F(HeartbeatTest, ANewRegistrationBeginsItsOwnSequence) {
  AgentRow row = add_fresh(1);
  ASSERT_TRUE(send(row, beat(row, 500)));
  row = get(row.id);
  row.registration_id = RegistrationId("0190a000-0001-7000-8000-00000000aaaa");
  row.registered_at = clock_.now();
  row.row_version += 1;
  directory_.put(row);
  clock_.advance(Seconds(2));
  ASSERT_TRUE(send(row, beat(row, 1)));
  EXPECT_EQ(live_.seen(key_of(row.id))->last_heartbeat_at, clock_.now());
}

TEST_F(HeartbeatTest, TellsWhenToRotateAndWhenToRefresh) {
  AgentRow row = add_fresh(1);
  EXPECT_FALSE(send(row, beat(row, 1))->rotate_credential);
  clock_.advance(Seconds(604800));
  EXPECT_TRUE(send(row, beat(row, 2))->rotate_credential);
  EXPECT_FALSE(live_.reattest_told_at(key_of(row.id)));

  const auto asked = database_->write<std::optional<DirectoryRow>>(
      [&](db::Transaction& tx) { return agents_.request_attestation(tx, row.id, clock_.now()); });
  directory_.put(asked.value().value());
  EXPECT_TRUE(send(row, beat(row, 3))->reattest_now);
  const UtcTime told = clock_.now();
  clock_.advance(Seconds(30));
  EXPECT_TRUE(send(row, beat(row, 4))->reattest_now);
  EXPECT_EQ(live_.reattest_told_at(key_of(row.id)), told);
}

TEST_F(HeartbeatTest, TunnelVersionRisesWithTheTunnelOnly) {
  AgentRow row = add_fresh(1);
  const auto first = send(row, beat(row, 1))->tunnel.version;  // health was written: the row's version rose
  EXPECT_GT(get(row.id).row_version, 1);
  EXPECT_EQ(first, 1);
  AgentRow before = get(row.id);
  AgentRow after = before;
  after.tunnel_state = TunnelState::ready;
  ASSERT_TRUE(
      database_->write<bool>([&](db::Transaction& tx) { return agents_.update(tx, before, after, clock_.now()); }));
  directory_.put(after);
  const auto answer = send(row, beat(row, 2));
  EXPECT_EQ(answer->tunnel.version, after.row_version);
  EXPECT_EQ(answer->tunnel.state, TunnelState::ready);
}

TEST_F(HeartbeatTest, AnAgentOfAnotherReplicaIsReadOnce) {
  const AgentRow row = make_agent(7, clock_.now());
  ASSERT_TRUE(database_->run_write([&](db::Transaction& tx) { return agents_.insert(tx, row); }));
  EXPECT_TRUE(send(row, beat(row, 1)));
  EXPECT_NE(directory_.find(key_of(row.id)), nullptr);
}

// covers: S02_AGT_HB_009
TEST_F(HeartbeatTest, SequenceAndTimesGoOnAfterARestart) {
  const AgentRow row = add_fresh(1);
  ASSERT_TRUE(send(row, beat(row, 41)));
  ASSERT_TRUE(flusher_.flush({}));
  const UtcTime last = clock_.now();
  clock_.advance(Seconds(20));

  Directory directory(database_, clock_);
  LiveMap live(database_);
  ASSERT_EQ(directory.reload(), 1);
  ASSERT_EQ(live.load(), 1);
  EXPECT_EQ(live.seen(key_of(row.id))->last_heartbeat_at, last);
  HeartbeatService restarted(
      database_, directory, live, hooks_,
      {.settings = [] { return HeartbeatSettings{}; }, .interval_raise = {}, .signing_keys_version = [] { return 3; }});
  const HeartbeatCaller caller{.agent = row.id, .credential_created_at = row.registered_at};
  ASSERT_TRUE(restarted.heartbeat(caller, beat(row, 41), clock_.now()));
  EXPECT_EQ(live.seen(key_of(row.id))->last_heartbeat_at, last);  // known already
  ASSERT_TRUE(restarted.heartbeat(caller, beat(row, 42), clock_.now()));
  EXPECT_EQ(live.seen(key_of(row.id))->last_heartbeat_at, clock_.now());
}

TEST_F(HeartbeatTest, AfterTheClockWentBackTimesAreThoseOfTheClock) {
  const AgentRow beating = add_fresh(1);
  const AgentRow silent = add_fresh(2);
  const UtcTime before = clock_.now();
  clock_.advance(Seconds(3600));
  ASSERT_TRUE(send(beating, beat(beating, 1)));
  ASSERT_TRUE(send(silent, beat(silent, 1)));
  ASSERT_TRUE(flusher_.flush({}));
  clock_.set_utc(before + Seconds(10));
  ASSERT_TRUE(flusher_.flush({}));
  const auto times = [&] {
    return database_.values<std::int64_t>("SELECT last_heartbeat_at FROM agent_live ORDER BY last_heartbeat_at");
  };
  const std::int64_t noticed = unix_ms(clock_.now());
  EXPECT_EQ(times(), (std::vector<std::int64_t>{noticed, noticed}));
  EXPECT_EQ(live_.seen(key_of(silent.id))->last_heartbeat_at, clock_.now());
  clock_.advance(Seconds(30));
  ASSERT_TRUE(send(beating, beat(beating, 2)));
  ASSERT_TRUE(flusher_.flush({}));
  EXPECT_EQ(times(), (std::vector<std::int64_t>{noticed, noticed + 30'000}));
}

TEST_F(HeartbeatTest, ATableThatCouldNotBePutRightIsTriedAgain) {
  const AgentRow row = add_fresh(1);
  const UtcTime before = clock_.now();
  clock_.advance(Seconds(3600));
  ASSERT_TRUE(send(row, beat(row, 1)));
  ASSERT_TRUE(flusher_.flush({}));
  clock_.set_utc(before);
  database_.execute("ALTER TABLE agent_live RENAME TO away");
  EXPECT_FALSE(flusher_.flush({}));
  database_.execute("ALTER TABLE away RENAME TO agent_live");
  ASSERT_TRUE(flusher_.flush({}));
  EXPECT_EQ(database_.value<std::int64_t>("SELECT last_heartbeat_at FROM agent_live"), unix_ms(before));
}

TEST_F(HeartbeatTest, ParallelHeartbeatsAndFlushesLoseNothing) {
  constexpr int kAgents = 20;
  constexpr int kThreads = 4;
  constexpr int kBeats = 100;
  for (int i = 1; i <= kAgents; ++i) add_fresh(i);
  std::atomic<bool> beating = true;
  std::jthread flusher([&] {
    while (beating) ASSERT_TRUE(flusher_.flush({}));
  });
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread)
      threads.emplace_back([&, thread] {
        for (int seq = 1; seq <= kBeats; ++seq)
          for (int i = 1 + thread; i <= kAgents; i += kThreads) {
            const AgentRow row = make_agent(i, clock_.now());
            ASSERT_TRUE(send(row, beat(row, seq)));
            clock_.advance(Milliseconds(1));
          }
      });
  }
  beating = false;
  flusher.join();
  ASSERT_TRUE(flusher_.flush({}));
  EXPECT_EQ(live_.dirty(), 0U);
  EXPECT_EQ(live_rows(), kAgents);
  EXPECT_EQ(database_.value<std::int64_t>("SELECT MIN(seq) FROM agent_live"), kBeats);
  for (int i = 1; i <= kAgents; ++i)
    EXPECT_EQ(database_.value<std::int64_t>("SELECT last_heartbeat_at FROM agent_live WHERE agent_id=:id",
                                            {{"id", make_agent(i).id}}),
              unix_ms(live_.seen(key_of(make_agent(i).id))->last_heartbeat_at));
}

}  // namespace
}  // namespace ee::cp::heartbeat_tests
