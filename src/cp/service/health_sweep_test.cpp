#include "cp/service/health_sweep.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "cp/service/live_flusher.h"
#include "tests/support/agents.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::make_agent;
const std::optional<agent_api::WorkloadReport> kNoWorkload;

class HealthSweepTest : public ::testing::Test {
 protected:
  void add(int count) {
    ASSERT_TRUE(database_->run_write([&](db::Transaction& tx) -> Result<void> {
      for (int i = 1; i <= count; ++i) {
        const AgentRow row = make_agent(i, clock_.now());
        if (auto done = AgentStore().insert(tx, row); !done) return done;
        directory_.put(row);
      }
      return {};
    }));
  }
  void beat(int number) {
    const AgentRow row = make_agent(number);
    live_.merge(key_of(row.id),
                {.registration_id = key_of(std::string_view(row.registration_id.str())),
                 .status = HealthStatus::healthy,
                 .seq = ++seq_,
                 .good = true,
                 .workload = &kNoWorkload},
                {}, clock_.now());
    live_.note_answer(key_of(row.id), Seconds(30), false, clock_.now());
  }
  std::int64_t unhealthy() {
    return database_.value<std::int64_t>("SELECT COUNT(*) FROM agents WHERE health_status='unhealthy'");
  }
  JobSummary run() {
    auto summary = sweep_.run({});
    EXPECT_TRUE(summary);
    return summary.value_or(JobSummary{});
  }

  FakeClock clock_;
  testing::TestDatabase database_;
  Directory directory_{database_, clock_};
  LiveMap live_{database_};
  HealthSweep sweep_{database_, directory_, live_, clock_, [] { return AgentSettings{}; }};
  std::int64_t seq_ = 0;
};

// covers: S02_AGT_HB_004
TEST_F(HealthSweepTest, NinetySecondsOfSilenceTakeAnAgentDown) {
  add(2);
  clock_.advance(Seconds(600));
  beat(1);
  beat(2);
  clock_.advance(Seconds(90));
  beat(2);
  EXPECT_EQ(run().value("marked"), 0);
  clock_.advance(Milliseconds(1));
  EXPECT_EQ(run().value("marked"), 1);
  EXPECT_EQ(database_.values<std::string>("SELECT vm_name FROM agents WHERE health_status='unhealthy'"),
            std::vector<std::string>{"vm-1"});
  EXPECT_EQ(database_.value<std::string>("SELECT health_reason FROM agents WHERE vm_name='vm-1'"), "silent");
  EXPECT_EQ(directory_.find(key_of(make_agent(1).id))->health_status, HealthStatus::unhealthy);
  EXPECT_EQ(run().value("marked"), 0);  // once
}

TEST_F(HealthSweepTest, SilenceShowsInItsTimeAfterTheClockWentBack) {
  LiveFlusher flusher(database_, live_, clock_);
  clock_.advance(Seconds(600));
  add(4);  // healthy since then, by the clock as it was
  for (int i = 1; i <= 4; ++i) beat(i);
  ASSERT_TRUE(flusher.flush({}));
  clock_.set_utc(clock_.now() - Seconds(7200));
  ASSERT_TRUE(flusher.flush({}));  // as every 5 s
  for (int i = 2; i <= 4; ++i) beat(i);
  clock_.advance(Seconds(91));
  for (int i = 2; i <= 4; ++i) beat(i);
  EXPECT_EQ(run().value("marked"), 1);
  EXPECT_EQ(database_.values<std::string>("SELECT vm_name FROM agents WHERE health_status='unhealthy'"),
            std::vector<std::string>{"vm-1"});
}

TEST_F(HealthSweepTest, AMassSilenceIsConfirmedByPassedTimeAlone) {
  MassGuard guard;
  const UtcTime now = clock_.now();
  EXPECT_FALSE(guard.allows(10, 10, now));
  EXPECT_FALSE(guard.allows(10, 10, now - Seconds(7200)));
  EXPECT_FALSE(guard.allows(10, 10, now - Seconds(7141)));
  EXPECT_TRUE(guard.allows(10, 10, now - Seconds(7140)));
}

TEST_F(HealthSweepTest, TheThresholdFollowsARaisedInterval) {
  add(1);
  clock_.advance(Seconds(600));
  beat(1);
  live_.note_answer(key_of(make_agent(1).id), Seconds(120), false, clock_.now());
  clock_.advance(Seconds(360));
  EXPECT_EQ(run().value("silent"), 0);
  clock_.advance(Seconds(1));
  EXPECT_EQ(run().value("silent"), 1);
}

// covers: S02_AGT_HB_009
TEST_F(HealthSweepTest, ARestartTakesNobodyDown) {
  add(10'000);
  clock_.advance(Seconds(3600));  // the process was away
  HealthSweep sweep(database_, directory_, live_, clock_, [] { return AgentSettings{}; });
  clock_.advance(Seconds(179));
  const auto summary = sweep.run({});
  ASSERT_TRUE(summary);
  EXPECT_FALSE(summary->did_work());
  for (int i = 1; i <= 10'000; ++i) beat(i);  // they are back, within their back-off
  clock_.advance(Seconds(2));
  EXPECT_EQ(sweep.run({})->value("marked"), 0);
  EXPECT_EQ(unhealthy(), 0);
}

// covers: S02_AGT_HB_010
TEST_F(HealthSweepTest, ManySilentAtOnceAreBelievedOnlyWhenStillSoAMinuteLater) {
  add(100);
  clock_.advance(Seconds(600));
  for (int i = 1; i <= 100; ++i) beat(i);
  clock_.advance(Seconds(91));
  for (int i = 41; i <= 100; ++i) beat(i);  // 40 % are silent
  for (int elapsed = 0; elapsed < 60; elapsed += 15) {
    EXPECT_EQ(run().notes, std::vector<std::string>{"mass_silence"});
    EXPECT_EQ(unhealthy(), 0);
    clock_.advance(Seconds(15));
  }
  EXPECT_EQ(run().value("marked"), 40);
  EXPECT_EQ(unhealthy(), 40);
}

TEST_F(HealthSweepTest, AFewOfAFewAreAMassTooButOneIsNot) {
  add(10);
  clock_.advance(Seconds(600));
  for (int i = 1; i <= 10; ++i) beat(i);
  clock_.advance(Seconds(91));
  for (int i = 5; i <= 10; ++i) beat(i);
  EXPECT_EQ(run().notes, std::vector<std::string>{"mass_silence"}) << "4 of 10";
  EXPECT_EQ(unhealthy(), 0);
  for (int i = 2; i <= 4; ++i) beat(i);
  EXPECT_EQ(run().value("marked"), 1) << "they are back, one is not";
}

TEST_F(HealthSweepTest, AMassSilenceOfLongAgoConfirmsNothing) {
  add(100);
  clock_.advance(Seconds(691));
  EXPECT_EQ(run().notes.size(), 1U);
  clock_.advance(Seconds(3600));  // another replica swept
  EXPECT_EQ(run().notes.size(), 1U);
  EXPECT_EQ(unhealthy(), 0);
  clock_.advance(Seconds(60));
  EXPECT_EQ(run().value("marked"), 100);
}

TEST_F(HealthSweepTest, AMassSilenceThatEndedIsForgotten) {
  add(100);
  clock_.advance(Seconds(691));
  EXPECT_EQ(run().notes.size(), 1U);
  for (int i = 1; i <= 100; ++i) beat(i);
  clock_.advance(Seconds(60));
  EXPECT_EQ(run().value("silent"), 0);
  clock_.advance(Seconds(31));
  EXPECT_EQ(run().notes.size(), 1U);  // the minute counts from here
  EXPECT_EQ(unhealthy(), 0);
}

TEST_F(HealthSweepTest, WhatAnotherReplicaHeardCounts) {
  add(1);
  clock_.advance(Seconds(600));
  database_.execute(
      "INSERT INTO agent_live (agent_id, last_heartbeat_at, seq, bad_streak, good_streak)"
      " VALUES (:id, :at, 1, 0, 1)",
      {{"id", make_agent(1).id}, {"at", clock_.now() - Seconds(10)}});
  EXPECT_EQ(run().value("silent"), 0);
  clock_.advance(Seconds(90));
  EXPECT_EQ(run().value("silent"), 1);
}

// covers: S02_JOB_001
TEST_F(HealthSweepTest, AStoppedSweepGoesOnWithTheNext) {
  add(20);
  clock_.advance(Seconds(700));
  for (int i = 6; i <= 20; ++i) beat(i);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(sweep_.run(stop.get_token())->value("marked"), 0);
  EXPECT_EQ(run().value("marked"), 5);
}

}  // namespace
}  // namespace ee::cp
