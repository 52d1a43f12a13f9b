#include "cp/jobs/job_runner.h"

#include <gmock/gmock.h>

#include "cp/jobs/job_fixture.h"

namespace ee::cp {
namespace {

using job_test::FailingDatabase;
using job_test::Gate;
using job_test::JobTest;

class JobRunnerTest : public JobTest {};

TEST_F(JobRunnerTest, TheFirstRunComesWithinHalfAMinuteAndNotAtOnce) {
  const auto runner = make_runner({job("a", counting())});
  const UtcTime first = row("a").next_run_at;
  EXPECT_GE(first, clock_.now());
  EXPECT_LE(first, clock_.now() + Seconds(30));
  clock_.advance(first - clock_.now() - Milliseconds(1));
  pass(*runner);
  EXPECT_EQ(runs_, 0);
  clock_.advance(Milliseconds(1));
  pass(*runner);
  EXPECT_EQ(runs_, 1);
}

TEST_F(JobRunnerTest, ARowThatSaysOtherwiseCounts) {
  db_.execute("INSERT INTO jobs (name, next_run_at) VALUES ('a', :at)", {{"at", clock_.now() + Seconds(1000)}});
  const auto runner = make_runner({job("a", counting())});
  clock_.advance(Seconds(999));
  pass(*runner);
  EXPECT_EQ(runs_, 0);
  clock_.advance(Seconds(1));
  pass(*runner);
  EXPECT_EQ(runs_, 1);
}

// covers: S05_JOB_01
TEST_F(JobRunnerTest, TheNextRunCountsFromTheEndOfTheLast) {
  const auto runner = make_runner({job("a", [this](const JobContext&) {
    clock_.advance(Seconds(20));
    return JobSummary{};
  })});
  settle();
  pass(*runner);
  const JobRow after = row("a");
  EXPECT_EQ(after.last_finished_at, clock_.now());
  EXPECT_EQ(after.last_duration_ms, 20000);
  EXPECT_GE(after.next_run_at, clock_.now() + Seconds(54));
  EXPECT_LE(after.next_run_at, clock_.now() + Seconds(66));
}

// covers: S05_JOB_02
TEST_F(JobRunnerTest, ASlowRunIsNotOverlappedAndMissedPeriodsBecomeOne) {
  Gate gate;
  const auto runner = make_runner({job("a", gate.function())});
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  for (int i = 0; i < 10; ++i) {
    clock_.advance(Seconds(5));
    runner->supervise_pass();
    runner->schedule_pass();
  }
  EXPECT_EQ(gate.entered(), 1);
  gate.open();
  runner->wait_until_idle();
  pass(*runner);
  EXPECT_EQ(gate.entered(), 1);
  clock_.advance(Seconds(66 * 5));
  pass(*runner);
  pass(*runner);
  EXPECT_EQ(gate.entered(), 2);
}

// covers: S05_JOB_03
TEST_F(JobRunnerTest, FailuresBackOffAndASuccessForgetsThem) {
  bool failing = true;
  const auto runner = make_runner({job("a", counting([&]() -> Result<JobSummary> {
                                         if (failing) return fail(ErrorCode::database_unavailable, "no luck");
                                         return JobSummary{};
                                       }))});
  settle();
  const std::vector<int> expected_seconds = {60, 120, 240, 480, 900, 900};
  for (std::size_t i = 0; i < expected_seconds.size(); ++i) {
    pass(*runner);
    const JobRow after = row("a");
    EXPECT_EQ(after.consecutive_failures, static_cast<std::int64_t>(i) + 1);
    EXPECT_EQ(after.last_outcome, JobOutcome::failed);
    EXPECT_EQ(after.last_error, "database_unavailable: no luck");
    const auto wait = std::chrono::duration_cast<Seconds>(after.next_run_at - clock_.now()).count();
    EXPECT_NEAR(static_cast<double>(wait), expected_seconds[i], expected_seconds[i] * 0.1 + 1);
    clock_.advance(after.next_run_at - clock_.now());
  }
  failing = false;
  pass(*runner);
  EXPECT_EQ(row("a").consecutive_failures, 0);
  EXPECT_EQ(row("a").failures_total, 6);
  EXPECT_EQ(row("a").runs_total, 7);
  EXPECT_EQ(row("a").last_error, std::nullopt);
  EXPECT_EQ(row("a").last_success_at, clock_.now());
}

TEST_F(JobRunnerTest, AnExceptionIsAFailureAndNeverLeavesTheRunner) {
  const auto runner = make_runner({job("a", [](const JobContext&) -> Result<JobSummary> {
    throw std::runtime_error("thrown sk_live_abcdefghijklmnopqrst");
  })});
  settle();
  pass(*runner);
  EXPECT_EQ(row("a").last_outcome, JobOutcome::failed);
  EXPECT_THAT(row("a").last_error.value_or(""), ::testing::HasSubstr("thrown"));
  EXPECT_THAT(row("a").last_error.value_or(""), ::testing::Not(::testing::HasSubstr("abcdefghijklmnop")));
}

// covers: S05_JOB_04
TEST_F(JobRunnerTest, AtTheDeadlineTheStopTokenFiresAndTheRunIsTimedOut) {
  Gate gate;
  const auto runner = make_runner({job("a", gate.function())});
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  for (int i = 0; i < 59; ++i) {
    clock_.advance(Seconds(1));
    runner->supervise_pass();
  }
  EXPECT_TRUE(state(*runner, "a").running);
  clock_.advance(Seconds(1));
  runner->supervise_pass();
  runner->wait_until_idle();
  EXPECT_EQ(row("a").last_outcome, JobOutcome::timed_out);
  EXPECT_EQ(row("a").consecutive_failures, 1);
  EXPECT_THAT(outcomes("a"), ::testing::ElementsAre("timed_out"));
}

// covers: S05_JOB_04
TEST_F(JobRunnerTest, ARunThatIgnoresItsTokenIsMarkedAfterHalfAMinuteAndKeepsItsLease) {
  Gate gate(false);
  const auto runner = make_runner({job("a", gate.function())});
  const auto other = make_runner({job("a", counting())}, "replica-2");
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  for (int i = 0; i < 89; ++i) {
    clock_.advance(Seconds(1));
    runner->supervise_pass();
  }
  EXPECT_EQ(row("a").last_outcome, std::nullopt);
  clock_.advance(Seconds(1));
  runner->supervise_pass();
  EXPECT_EQ(row("a").last_outcome, JobOutcome::timed_out);
  EXPECT_TRUE(metric("ee_job_stuck{job=\"a\"} 1"));
  for (int i = 0; i < 60; ++i) {
    clock_.advance(Seconds(5));
    runner->supervise_pass();
    pass(*other);
  }
  EXPECT_EQ(runs_, 0);
  EXPECT_EQ(row("a").lease_owner, "replica-1");
  gate.open();
  runner->wait_until_idle();
  EXPECT_EQ(row("a").lease_owner, std::nullopt);
  EXPECT_TRUE(metric("ee_job_stuck{job=\"a\"} 0"));
  EXPECT_TRUE(metric("ee_job_runs_total{job=\"a\",outcome=\"timed_out\"} 1"));
}

TEST_F(JobRunnerTest, WorkThatIsCompleteWhenItsTimeEndsIsNotTimedOut) {
  Gate gate(false);
  const auto runner = make_runner({job("a", [&](const JobContext& context) {
    auto summary = gate.enter(context);
    summary->stopped = false;  // it was just done
    return summary;
  })});
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  clock_.advance(Seconds(61));
  runner->supervise_pass();
  gate.open();
  runner->wait_until_idle();
  EXPECT_EQ(row("a").last_outcome, JobOutcome::ok);
}

// covers: S05_JOB_05, S02_JOB_002
TEST_F(JobRunnerTest, OfTwoRunnersOneRuns) {
  Gate gate;
  const auto first = make_runner({job("a", gate.function())}, "replica-1");
  const auto second = make_runner({job("a", gate.function())}, "replica-2");
  settle();
  first->schedule_pass();
  gate.wait_until_entered();
  second->schedule_pass();
  EXPECT_EQ(row("a").lease_owner, "replica-1");
  EXPECT_TRUE(state(*second, "a").running);
  gate.open();
  first->wait_until_idle();
  second->wait_until_idle();
  EXPECT_EQ(gate.entered(), 1);
  pass(*second);
  EXPECT_EQ(gate.entered(), 1);
  clock_.advance(Seconds(66));
  pass(*second);
  EXPECT_EQ(gate.entered(), 2);
  EXPECT_EQ(row("a").lease_fence, 2);
}

// covers: S05_JOB_05
TEST_F(JobRunnerTest, RacingRunnersDoNotShareARun) {
  std::vector<std::unique_ptr<JobRunner>> runners;
  for (int i = 0; i < 4; ++i) runners.push_back(make_runner({job("a", counting())}, "replica-" + std::to_string(i)));
  for (int round = 1; round <= 20; ++round) {
    clock_.advance(Seconds(67));
    std::vector<std::thread> threads;
    for (auto& runner : runners) threads.emplace_back([&] { runner->schedule_pass(); });
    for (auto& thread : threads) thread.join();
    for (auto& runner : runners) runner->wait_until_idle();
    ASSERT_EQ(runs_, round);
  }
}

// covers: S05_JOB_06
TEST_F(JobRunnerTest, WhenTheHolderDiesAnotherTakesOverWithin35Seconds) {
  const auto runner = make_runner({job("a", counting())}, "replica-2");
  settle();
  // A process that takes the job and is gone.
  ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) -> Result<void> {
    auto acquired = JobStore().acquire(tx, "a", "replica-1", clock_.now());
    EXPECT_TRUE(acquired && *acquired);
    return JobStore().put_run(tx, {.id = "dead-run", .name = "a", .replica = "replica-1", .started_at = clock_.now()});
  }));
  const SteadyTime died = clock_.steady_now();
  while (runs_ == 0) {
    const SteadyTime next = runner->schedule_pass();
    runner->wait_until_idle();
    if (runs_ == 0) clock_.advance(std::chrono::ceil<Milliseconds>(next - clock_.steady_now()));
    ASSERT_LE(clock_.steady_now() - died, Seconds(35));
  }
  EXPECT_GE(clock_.steady_now() - died, Seconds(30));
  EXPECT_THAT(outcomes("a"), ::testing::ElementsAre("lease_lost", "ok"));
}

// covers: S05_JOB_07, S02_JOB_002
TEST_F(JobRunnerTest, ALeaseLostInMidRunStopsItAndItsWritesAreRefused) {
  Result<void> fenced;
  Gate gate;
  const auto runner = make_runner({job("a", [&](const JobContext& context) -> Result<JobSummary> {
    auto summary = gate.enter(context);
    fenced = db_->run_write([&](db::Transaction& tx) -> Result<void> {
      if (auto held = JobStore().check_fence(tx, context.lease); !held) return held;
      return JobStore().wake(tx, "effect", clock_.now());
    });
    return summary;
  })});
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  db_.execute("UPDATE jobs SET lease_owner='replica-2', lease_fence=lease_fence+1 WHERE name='a'");
  clock_.advance(Seconds(9));
  runner->supervise_pass();
  EXPECT_TRUE(state(*runner, "a").running);
  clock_.advance(Seconds(1));
  runner->supervise_pass();
  runner->wait_until_idle();
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, ErrorCode::concurrent_update);
  EXPECT_THAT(outcomes("a"), ::testing::ElementsAre("lease_lost"));
  EXPECT_EQ(row("a").lease_owner, "replica-2");  // untouched
  EXPECT_EQ(row("a").last_outcome, std::nullopt);
}

TEST_F(JobRunnerTest, TheFenceOfAHeldLeaseLetsWritesPass) {
  Result<void> fenced = fail(ErrorCode::internal_error);
  const auto runner = make_runner({job("a", [&](const JobContext& context) -> Result<JobSummary> {
    fenced = db_->run_write([&](db::Transaction& tx) { return JobStore().check_fence(tx, context.lease); });
    return JobSummary{};
  })});
  settle();
  pass(*runner);
  EXPECT_TRUE(fenced);
}

// covers: S05_JOB_07
TEST_F(JobRunnerTest, TwentySecondsWithoutRenewalStopTheRun) {
  FailingDatabase database(*db_);
  Gate gate;
  const auto runner = make_runner({job("a", gate.function())}, "replica-1", 4, &database);
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  clock_.advance(Seconds(10));
  runner->supervise_pass();
  EXPECT_EQ(row("a").lease_expires_at, clock_.now() + JobStore::kLease);
  database.failing = true;
  for (int i = 0; i < 19; ++i) {
    clock_.advance(Seconds(1));
    runner->supervise_pass();
  }
  EXPECT_TRUE(state(*runner, "a").running);
  database.failing = false;
  // One success is enough.
  clock_.advance(Seconds(1));
  runner->supervise_pass();
  database.failing = true;
  for (int i = 0; i < 20; ++i) {
    clock_.advance(Seconds(1));
    runner->supervise_pass();
  }
  runner->wait_until_idle();
  database.failing = false;
  EXPECT_EQ(gate.entered(), 1);
  EXPECT_EQ(row("a").last_outcome, std::nullopt);  // its end could not be written
  clock_.advance(Seconds(30));
  gate.open();
  pass(*runner);
  EXPECT_EQ(gate.entered(), 2);
}

// covers: S05_JOB_08, S05_OPS_03 (jobs)
TEST_F(JobRunnerTest, StoppingFiresTheTokensAndGivesTheLeasesBack) {
  Gate gate;
  const auto runner = make_runner({job("a", gate.function()), job("b", counting())});
  clock_.advance(row("a").next_run_at - clock_.now());
  db_.execute("UPDATE jobs SET next_run_at=:later WHERE name='b'", {{"later", clock_.now() + Seconds(500)}});
  runner->schedule_pass();
  gate.wait_until_entered();
  EXPECT_TRUE(runner->stop(Seconds(5)));
  EXPECT_EQ(row("a").lease_owner, std::nullopt);
  EXPECT_EQ(row("a").last_outcome, JobOutcome::cancelled);
  EXPECT_EQ(row("a").consecutive_failures, 0);
  EXPECT_LE(row("a").next_run_at, clock_.now());
  clock_.advance(Seconds(1000));
  pass(*runner);
  EXPECT_EQ(runs_, 0) << "nothing begins after stop";
  metrics::Registry its_metrics;
  JobRunner next_process(
      {.database = *db_, .clock = clock_, .random = random_, .replica = "replica-1b", .metrics = its_metrics},
      {job("a", counting())});
  ASSERT_TRUE(next_process.prepare());
  pass(next_process);
  EXPECT_EQ(runs_, 1) << "broken-off work goes on at once";
}

TEST_F(JobRunnerTest, ARunThatIgnoresTheStopExceedsTheGrace) {
  Gate gate(false);
  const auto runner = make_runner({job("a", gate.function())});
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  EXPECT_FALSE(runner->stop(Milliseconds(1)));
  gate.open();
  EXPECT_TRUE(runner->stop(Seconds(5)));
}

TEST_F(JobRunnerTest, ItsThreadsFollowTheClock) {
  Gate gate;
  gate.open();
  auto runner = std::make_unique<JobRunner>(
      JobRunner::Parts{.database = *db_, .clock = clock_, .random = random_, .replica = "r", .metrics = metrics_},
      std::vector{job("a", gate.function())});
  ASSERT_TRUE(runner->start());
  for (int wanted = 1; wanted <= 3; ++wanted) {
    while (gate.entered() < wanted) {
      clock_.advance(Seconds(1));
      std::this_thread::yield();
    }
  }
  EXPECT_TRUE(runner->stop(Seconds(5)));
}

TEST_F(JobRunnerTest, ItsThreadsAnswerAWakeAtOnce) {
  Gate gate;
  gate.open();
  JobRunner runner({.database = *db_, .clock = clock_, .random = random_, .replica = "r", .metrics = metrics_},
                   {job("a", gate.function(), Seconds(86400))});
  ASSERT_TRUE(runner.start());
  clock_.wait_for_sleepers(2);
  runner.wake("a");  // the clock stands still
  gate.wait_until_entered();
  EXPECT_TRUE(runner.stop(Seconds(5)));
}

}  // namespace
}  // namespace ee::cp
