#include "agent/control_loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "agent/agent_test_fixture.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using testing::AgentFixture;

class HeartbeatLoop : public AgentFixture {
 protected:
  agent_api::WorkloadReport workload() {
    return {.deployment_id = "0190a000-0000-7000-8000-0000000000d1",
            .assignment_epoch = 4,
            .revision = 2,
            .phase = agent_api::WorkloadPhase::running};
  }
};

// covers: S02_EEA_HB_001
TEST_F(HeartbeatLoop, S02_EEA_HB_001_beats_at_once_and_then_in_its_rhythm) {
  cp_.knobs.interval_seconds = 30;
  start();
  stop_after("heartbeat", 40);
  run();

  const auto registered = cp_.calls("register").at(0).at;
  const auto beats = cp_.calls("heartbeat");
  EXPECT_LE(beats.at(0).at - registered, 2s);
  const auto delays = gaps("heartbeat");
  for (std::size_t i = 1; i < delays.size(); ++i) {
    EXPECT_GE(delays[i], 24s) << i;
    EXPECT_LE(delays[i], 36s) << i;
  }
  const auto bodies = cp_.heartbeats();
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    EXPECT_EQ(bodies[i].seq, static_cast<std::int64_t>(i + 1));
    EXPECT_EQ(bodies[i].stats.has_value(), i % 2 == 1) << i;  // every second one
    EXPECT_EQ(bodies[i].boot_id, kBootId);
    EXPECT_FALSE(bodies[i].draining);
  }
}

// covers: S02_EEA_HB_004
TEST_F(HeartbeatLoop, S02_EEA_HB_004_follows_the_interval_that_the_server_tells) {
  cp_.knobs.interval_seconds = 5;
  start();
  cp_.on_call([this](const auto&) {
    const std::size_t beats = cp_.calls("heartbeat").size();
    if (beats == 10) cp_.knobs.interval_seconds = 120;
    if (beats == 20) stop_.request_stop();
  });
  run();
  const auto delays = gaps("heartbeat");
  for (std::size_t i = 1; i < 9; ++i) EXPECT_LE(delays[i], 6s) << i;
  for (std::size_t i = 10; i < delays.size(); ++i) {
    EXPECT_GE(delays[i], 96s) << i;
    EXPECT_LE(delays[i], 144s) << i;
  }
}

// covers: S02_EEA_HB_002
TEST_F(HeartbeatLoop, S02_EEA_HB_002_never_makes_up_for_missed_beats) {
  cp_.knobs.interval_seconds = 30;
  start();
  cp_.on_call([this](const auto& call) {
    const std::size_t beats = cp_.calls("heartbeat").size();
    if (call.what == "heartbeat" && beats == 5) clock_.advance(10min);  // the call itself hung
    if (beats == 10) stop_.request_stop();
  });
  run();
  const auto delays = gaps("heartbeat");
  EXPECT_GT(delays.at(4), 600s);
  EXPECT_LE(delays.at(4), 636s);
  for (std::size_t i = 5; i < delays.size(); ++i) EXPECT_GE(delays[i], 24s) << i;
}

TEST_F(HeartbeatLoop, BacksOffWhenItFailsAndStaysRegistered) {
  cp_.knobs.interval_seconds = 30;
  start();
  workloads_.running = workload();
  for (int i = 0; i < 12; ++i) cp_.script("heartbeat", std::unexpected(HttpFailure::timeout));
  cp_.script("heartbeat", 503, "overloaded", {{"Retry-After", "25"}});
  cp_.script("heartbeat", 429, "rate_limited", {{"Retry-After", "90"}});
  cp_.script("heartbeat", 500, "internal_error");
  stop_after("heartbeat", 17);
  run();
  const auto delays = gaps("heartbeat");
  for (std::size_t i = 0; i < 12; ++i)
    EXPECT_LE(delays[i], std::min<Milliseconds>(Milliseconds(1000) * (1LL << i), 60s)) << i;
  EXPECT_GE(delays[12], 25s);
  EXPECT_GE(delays[13], 90s);
  EXPECT_EQ(cp_.calls("register").size(), 1U);
  EXPECT_EQ(workloads_.stops, 0);
  EXPECT_EQ(board_.counters().heartbeats_failed, 15);
}

// covers: S02_EEA_HB_003
TEST_F(HeartbeatLoop, S02_EEA_HB_003_retries_a_401_once_and_then_registers) {
  for (const auto& [status, code] : {std::pair{401, "invalid_credential"}, std::pair{404, "agent_not_found"}}) {
    const std::size_t registered = cp_.calls("register").size();
    const std::size_t beaten = cp_.calls("heartbeat").size();
    stop_ = {};
    start();
    workloads_.running = workload();
    cp_.script("heartbeat", status, code);
    cp_.script("heartbeat", status, code);
    stop_after("heartbeat", beaten + 3);
    run();
    EXPECT_EQ(cp_.calls("register").size(), registered + 2) << status;
    EXPECT_EQ(gaps("heartbeat").at(beaten), 5s) << status;
    EXPECT_EQ(workloads_.stops, 0) << status;  // workloads keep running while registering
    EXPECT_EQ(cp_.registrations().back().workload, workload());
    EXPECT_EQ(cp_.heartbeats().back().seq, 1);  // counted anew
  }
}

TEST_F(HeartbeatLoop, ASingle401IsForgiven) {
  start();
  cp_.script("heartbeat", 401, "invalid_credential");
  stop_after("heartbeat", 5);
  run();
  EXPECT_EQ(cp_.calls("register").size(), 1U);
}

TEST_F(HeartbeatLoop, S02_EEA_HB_003_stops_workloads_when_another_instance_or_a_verdict_took_its_place) {
  for (const char* code : {"agent_attestation_failed", "boot_id_mismatch"}) {
    const std::size_t registered = cp_.calls("register").size();
    const std::size_t beaten = cp_.calls("heartbeat").size();
    stop_ = {};
    start();
    workloads_.stops = 0;
    workloads_.running = workload();
    cp_.script("heartbeat", 409, code);
    stop_after("heartbeat", beaten + 2);
    run();
    EXPECT_EQ(workloads_.stops, 1) << code;
    EXPECT_EQ(cp_.calls("register").size(), registered + 2) << code;
    EXPECT_EQ(cp_.registrations().back().workload, std::nullopt) << code;
  }
}

TEST_F(HeartbeatLoop, InstancesThatFightOverANameSlowDown) {
  start();
  for (int i = 0; i < 12; ++i) cp_.script("heartbeat", 409, "boot_id_mismatch");
  stop_after("heartbeat", 13);
  run();
  const auto delays = gaps("register");
  ASSERT_EQ(delays.size(), 12U);
  Milliseconds total{0};
  for (const Milliseconds delay : delays) total += delay;
  EXPECT_GT(total, 200s);
}

TEST_F(HeartbeatLoop, A403RegistersAgainAndKeepsTheWorkload) {
  start();
  workloads_.running = workload();
  cp_.script("heartbeat", 403, "agent_mismatch");
  stop_after("heartbeat", 2);
  run();
  EXPECT_EQ(cp_.calls("register").size(), 2U);
  EXPECT_EQ(workloads_.stops, 0);
}

TEST_F(HeartbeatLoop, AnotherConflictOnlyDelays) {
  start();
  cp_.script("heartbeat", 409, "concurrent_update");
  cp_.script("heartbeat", 400, "invalid_request");
  stop_after("heartbeat", 3);
  run();
  EXPECT_EQ(cp_.calls("register").size(), 1U);
}

TEST_F(HeartbeatLoop, S02_EEA_HB_003_a_stale_agent_registers_as_new) {
  start();
  workloads_.running = workload();
  cp_.script("heartbeat", 410, "agent_deleted", {}, "stale");
  stop_after("heartbeat", 2);
  EXPECT_EQ(run(), LoopEnd::stopped);
  EXPECT_EQ(workloads_.stops, 1);
  EXPECT_EQ(cp_.registrations().at(1).previous_credential, std::nullopt);
}

TEST_F(HeartbeatLoop, S02_EEA_HB_003_a_deleted_agent_ends_and_forgets) {
  for (const char* reason : {"owner", "admin", "capacity"}) {
    stop_ = {};
    start();
    workloads_.stops = 0;
    workloads_.running = workload();
    cp_.on_call([](const auto&) {});
    cp_.script("heartbeat", 410, "agent_deleted", {}, reason);
    EXPECT_EQ(run(), LoopEnd::deleted) << reason;
    EXPECT_EQ(workloads_.stops, 1) << reason;
    EXPECT_EQ(state_->state().credential, std::nullopt) << reason;
    EXPECT_EQ(state_->state().vm_name, "vm-1") << reason;
    EXPECT_EQ(board_.session(), nullptr);
  }
}

TEST_F(HeartbeatLoop, A410WithoutReasonIsNoOrderToEnd) {
  start();
  cp_.script("heartbeat", 410, "agent_deleted");
  cp_.script("heartbeat", HttpClientResponse{.status = 410, .body = "gone"});
  stop_after("heartbeat", 3);
  EXPECT_EQ(run(), LoopEnd::stopped);
  EXPECT_EQ(cp_.calls("register").size(), 3U);
}

TEST_F(HeartbeatLoop, HandsTheDesiredDeploymentOn) {
  cp_.knobs.desired = {.action = agent_api::DesiredAction::run,
                       .deployment_id = "0190a000-0000-7000-8000-0000000000d1",
                       .assignment_epoch = 4,
                       .revision = 2,
                       .grace_seconds = 0};
  start();
  stop_after("heartbeat", 3);
  run();
  ASSERT_GE(workloads_.applied.size(), 3U);  // of the registration, and of each answer
  for (const auto& desired : workloads_.applied) EXPECT_EQ(desired, cp_.knobs.desired);
}

TEST_F(HeartbeatLoop, a_none_from_before_a_push_does_not_end_what_was_pushed) {
  start();
  cp_.on_call([this](const auto&) {
    const std::size_t beats = cp_.calls("heartbeat").size();
    if (beats == 2) workloads_.running = workload();  // while the heartbeat that says nothing runs is on its way
    if (beats == 4) stop_.request_stop();
  });
  run();
  const auto bodies = cp_.heartbeats();
  ASSERT_GE(bodies.size(), 3U);
  EXPECT_FALSE(bodies.at(1).workload);
  EXPECT_EQ(bodies.at(2).workload, workload());
  // Of the registration, and of the first and the third heartbeat, whose answer is about what was told.
  ASSERT_EQ(workloads_.applied.size(), 3U);
  for (const auto& desired : workloads_.applied) EXPECT_EQ(desired.action, agent_api::DesiredAction::none);
}

TEST_F(HeartbeatLoop, SyncBringsABeatForward) {
  cp_.knobs.interval_seconds = 120;
  start();
  clock_.set_auto_advance(false);
  std::thread thread([&] { run(); });
  clock_.wait_for_sleepers(1);
  const std::size_t before = cp_.calls("heartbeat").size();
  loop_->sync();
  while (cp_.calls("heartbeat").size() == before) {  // within a second of the last one: after that second
    clock_.advance(100ms);
    std::this_thread::yield();
  }
  const auto beats = cp_.calls("heartbeat");
  EXPECT_GE(beats.back().at - beats[beats.size() - 2].at, 1s);
  EXPECT_LT(beats.back().at - beats[beats.size() - 2].at, 60s);
  stop_.request_stop();
  thread.join();
}

TEST_F(HeartbeatLoop, LastHeartbeatSaysDrainingWithinTwoSeconds) {
  start();
  stop_after("heartbeat", 2);
  run();
  cp_.on_call([](const auto&) {});
  loop_->send_last_heartbeat();
  EXPECT_TRUE(cp_.heartbeats().back().draining);
  EXPECT_EQ(cp_.heartbeats().back().seq, 3);
  EXPECT_EQ(cp_.calls("heartbeat").back().request.total_timeout, 2s);
}

TEST_F(HeartbeatLoop, PowersOffOnlyWhenNothingRuns) {
  config_.disconnect_poweroff = 600s;
  start();
  for (int i = 0; i < 400; ++i) cp_.script("heartbeat", std::unexpected(HttpFailure::connect));
  workloads_.running = workload();
  cp_.on_call([this](const auto&) {
    if (cp_.calls("heartbeat").size() == 100) workloads_.running.reset();
  });
  const SteadyTime began = clock_.steady_now();
  EXPECT_EQ(run(), LoopEnd::disconnected);
  EXPECT_GT(clock_.steady_now() - began, 600s);
  EXPECT_EQ(cp_.calls("heartbeat").size(), 100U);
}

TEST_F(HeartbeatLoop, PowersOffAfterExactlyTheConfiguredTimeAndNotWhileItIsAnswered) {
  config_.disconnect_poweroff = 600s;
  start();
  for (int i = 0; i < 50; ++i) cp_.script("heartbeat", 503, "overloaded");  // an answer is contact
  for (int i = 0; i < 400; ++i) cp_.script("heartbeat", std::unexpected(HttpFailure::connect));
  EXPECT_EQ(run(), LoopEnd::disconnected);
  const auto beats = cp_.calls("heartbeat");
  ASSERT_GT(beats.size(), 50U);
  EXPECT_EQ(std::chrono::duration_cast<Milliseconds>(clock_.steady_now() - beats[49].at), 600s);
}

TEST_F(HeartbeatLoop, RegisterAgainEndsTheSessionAndVerifiesAnew) {
  start();
  cp_.on_call([this](const auto& call) {
    if (call.what == "heartbeat" && cp_.calls("heartbeat").size() == 3) loop_->register_again();
    if (cp_.calls("heartbeat").size() == 5) stop_.request_stop();
  });
  run();
  EXPECT_EQ(cp_.calls("register").size(), 2U);
}

// ---- the control plane's time --------------------------------------------------------------------------------------

TEST_F(HeartbeatLoop, KeepsTheControlPlanesTimeOnTheMonotonicClock) {
  start();
  stop_after("heartbeat", 2);
  run();
  const UtcTime before = board_.corrected_now();
  clock_.set_utc(from_unix_ms(0));  // the host turns the clock back
  EXPECT_EQ(board_.corrected_now(), before);
  clock_.advance(10s);
  EXPECT_EQ(board_.corrected_now(), before + 10s);
}

TEST(BoardClock, AJumpBetweenAnswersIsShownForTenMinutes) {
  FakeClock clock;
  Board board(clock);
  const UtcTime start = clock.now();
  board.note_signed_time(start + 1h);  // the first one only sets the offset
  EXPECT_TRUE(board.health().checks.empty());
  EXPECT_EQ(board.clock_offset(), Milliseconds(1h));
  clock.advance(30s);
  board.note_signed_time(start + 1h + 30s + 119s);
  EXPECT_TRUE(board.health().checks.empty());
  clock.advance(30s);
  board.note_signed_time(start + 2h);
  ASSERT_EQ(board.health().checks.size(), 1U);
  EXPECT_EQ(board.health().checks[0].name, "clock_jump");
  EXPECT_EQ(board.health().status, agent_api::HealthStatus::degraded);
  EXPECT_EQ(board.corrected_now(), start + 2h);
  clock.advance(10min);
  EXPECT_TRUE(board.health().checks.empty());
}

/// TLS ends at the edge: what is not signed may be anybody's there.
TEST(BoardClock, AnUnsignedTimeMovesTheClockWithinABoundOfTheSignedOneAlone) {
  FakeClock clock;
  Board board(clock);
  board.note_answered_at(clock.now() + 1h);
  EXPECT_EQ(board.clock_offset(), std::nullopt);
  const UtcTime start = clock.now();
  board.note_signed_time(start);
  board.note_answered_at(start + 10s);
  EXPECT_EQ(board.corrected_now(), start + 10s);
  for (int i = 0; i < 100; ++i) board.note_answered_at(board.corrected_now() + 9s);  // step by step
  EXPECT_EQ(board.corrected_now(), start + 10s);
  board.note_answered_at(start - 10s);
  EXPECT_EQ(board.corrected_now(), start - 10s);
  board.note_answered_at(start + 1h);
  EXPECT_EQ(board.corrected_now(), start - 10s);
  EXPECT_FALSE(board.health().checks.empty()) << "but it is shown";
  EXPECT_FALSE(board.wants_signed_time()) << "the signed time is new";

  clock.advance(500'000s);
  board.note_answered_at(start + 500'000s + 110s);  // 10 s and 200 ppm
  EXPECT_EQ(board.corrected_now(), start + 500'110s);
  EXPECT_FALSE(board.wants_signed_time());
  board.note_answered_at(start + 500'000s + 111s);
  EXPECT_EQ(board.corrected_now(), start + 500'110s);
  EXPECT_TRUE(board.wants_signed_time());
  board.note_signed_time(start + 600'000s);  // the machine stood still, and its monotonic clock with it
  EXPECT_EQ(board.corrected_now(), start + 600'000s);
  EXPECT_FALSE(board.wants_signed_time());
}

TEST(BoardHealth, TellsSixteenChecksAtMost) {
  FakeClock clock;
  Board board(clock);
  for (int i = 0; i < 40; ++i) board.fail_check("check_" + std::to_string(i), "x");
  EXPECT_EQ(board.health().checks.size(), 16U);
}

}  // namespace
}  // namespace ee::agent
