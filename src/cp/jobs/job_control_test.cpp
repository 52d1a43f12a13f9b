// Run-now, wake, pause, the pool, what is recorded and shown.
#include <gmock/gmock.h>

#include "cp/jobs/job_admin.h"
#include "cp/jobs/job_fixture.h"

namespace ee::cp {
namespace {

using job_test::Gate;
using job_test::JobTest;

class JobControlTest : public JobTest {
 protected:
  JobAdmin admin(JobRunner& runner) { return {runner, *db_, cursors_, clock_, random_}; }
  void later(const std::string& name) {
    db_.execute("UPDATE jobs SET next_run_at=:at WHERE name=:name",
                {{"at", clock_.now() + std::chrono::days(1)}, {"name", name}});
  }
  CursorCodec cursors_{bytes_of("test")};
  const Actor actor_{.name = "admin:s1", .request_id = "r1", .client_address = "192.0.2.1"};
};

// covers: S05_JOB_09
TEST_F(JobControlTest, RunNowRunsOnceAndASecondRequestBeforeItIsTheFirst) {
  const auto runner = make_runner({job("a", counting())});
  later("a");
  JobAdmin control = admin(*runner);
  const auto first = control.run_now("a", actor_);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->run_requested_at, clock_.now());
  clock_.advance(Seconds(3));
  const auto second = control.run_now("a", actor_);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->run_requested_at, first->run_requested_at);
  pass(*runner);
  pass(*runner);
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(row("a").run_requested_at, std::nullopt);
  const auto runs = control.runs("a", "", "");
  ASSERT_EQ(runs->items.size(), 1U);
  EXPECT_EQ(runs->items[0].trigger, JobTrigger::manual);
  EXPECT_EQ(db_.value<std::int64_t>("SELECT count(*) FROM audit_log WHERE action='job_run_requested' "
                                    "AND actor='admin:s1' AND object_id='a'"),
            2);
}

// covers: S05_JOB_09
TEST_F(JobControlTest, RunNowIsRefusedWhileRunningAndForUnknownJobs) {
  Gate gate;
  JobDefinition local = job("l", gate.function());
  local.kind = JobKind::local;
  const auto runner = make_runner({job("a", gate.function()), local});
  settle();
  runner->schedule_pass();
  gate.wait_until_entered(2);
  JobAdmin control = admin(*runner);
  EXPECT_EQ(control.run_now("a", actor_).error().code, ErrorCode::job_running);
  EXPECT_EQ(control.run_now("l", actor_).error().code, ErrorCode::job_running);
  EXPECT_EQ(control.run_now("nothing", actor_).error().code, ErrorCode::job_unknown);
  EXPECT_EQ(control.runs("nothing", "", "").error().code, ErrorCode::job_unknown);
  EXPECT_EQ(db_.value<std::int64_t>("SELECT count(*) FROM audit_log"), 0);
  gate.open();
  runner->wait_until_idle();
  EXPECT_TRUE(control.run_now("a", actor_));
  EXPECT_TRUE(control.run_now("l", actor_));
  pass(*runner);
  EXPECT_EQ(gate.entered(), 4);
}

// covers: S05_JOB_09
TEST_F(JobControlTest, APausedJobRunsOnlyWhenAsked) {
  const auto runner = make_runner({job("a", counting())});
  ASSERT_TRUE(runner->set_paused("a", true));
  clock_.advance(Seconds(500));
  pass(*runner);
  EXPECT_EQ(runs_, 0);
  ASSERT_TRUE(runner->request_run("a"));
  pass(*runner);
  EXPECT_EQ(runs_, 1);
  clock_.advance(Seconds(500));
  pass(*runner);
  EXPECT_EQ(runs_, 1);
  ASSERT_TRUE(runner->set_paused("a", false));
  pass(*runner);
  EXPECT_EQ(runs_, 2);
  EXPECT_EQ(runner->set_paused("nothing", true).error().code, ErrorCode::job_unknown);
}

TEST_F(JobControlTest, ARequestSurvivesTheDeathOfTheProcessThatBeganIt) {
  const auto runner = make_runner({job("a", counting())}, "replica-2");
  later("a");
  ASSERT_TRUE(runner->request_run("a"));
  ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) -> Result<void> {
    EXPECT_TRUE(*JobStore().acquire(tx, "a", "replica-1", clock_.now()));
    return {};
  }));
  pass(*runner);
  EXPECT_EQ(runs_, 0);
  clock_.advance(Seconds(30));
  pass(*runner);
  EXPECT_EQ(runs_, 1);
}

TEST_F(JobControlTest, WakesBecomeOneRunAndAtMostOnePerSecond) {
  const auto runner = make_runner({job("a", counting())});
  later("a");
  for (int i = 0; i < 5; ++i) runner->wake("a");
  runner->wake("nothing");
  pass(*runner);
  pass(*runner);
  EXPECT_EQ(runs_, 1);
  runner->wake("a");
  pass(*runner);
  EXPECT_EQ(runs_, 1);
  const SteadyTime next = runner->schedule_pass();
  EXPECT_EQ(next, clock_.steady_now() + Seconds(1));
  clock_.advance(Seconds(1));
  pass(*runner);
  EXPECT_EQ(runs_, 2);
  const auto triggers = db_.values<std::string>("SELECT DISTINCT trigger FROM job_runs");
  EXPECT_THAT(triggers, ::testing::ElementsAre("wake"));
}

TEST_F(JobControlTest, AWakeDuringARunIsNotLost) {
  Gate gate;
  const auto runner = make_runner({job("a", gate.function())});
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  runner->wake("a");
  runner->schedule_pass();
  gate.open();
  runner->wait_until_idle();
  pass(*runner);
  EXPECT_EQ(gate.entered(), 2);
  pass(*runner);
  EXPECT_EQ(gate.entered(), 2);
}

TEST_F(JobControlTest, AWakeOnAnotherReplicaDuringARunIsNotLost) {
  Gate gate;
  const auto runner = make_runner({job("a", gate.function())}, "replica-1");
  const auto other = make_runner({job("a", gate.function())}, "replica-2");
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  clock_.advance(Seconds(2));
  other->wake("a");
  other->schedule_pass();
  gate.open();
  runner->wait_until_idle();
  EXPECT_LE(row("a").next_run_at, clock_.now());
}

TEST_F(JobControlTest, AJobWaitsWhenAllThreadsAreBusyAndOneWithAThreadOfItsOwnDoesNot) {
  Gate gate;
  JobDefinition own = job("own", counting());
  own.own_thread = true;
  const auto runner = make_runner({job("a", gate.function()), job("b", counting()), own}, "r", 1);
  db_.execute("UPDATE jobs SET next_run_at=next_run_at-100000 WHERE name='a'");
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  while (runs_ < 1) std::this_thread::yield();
  runner->schedule_pass();
  EXPECT_EQ(row("b").lease_owner, std::nullopt) << "no lease for one that waits";
  clock_.advance(Seconds(7));
  gate.open();
  runner->wait_until_idle();
  EXPECT_EQ(runs_, 1);
  pass(*runner);
  EXPECT_EQ(runs_, 2);
  EXPECT_TRUE(metric("ee_job_wait_seconds_sum{job=\"b\"} 7"));
  EXPECT_TRUE(metric("ee_job_wait_seconds_sum{job=\"own\"} 0"));
}

TEST_F(JobControlTest, LocalJobsNeedNoRowAndRunOnEveryReplica) {
  JobDefinition local = job("l", counting());
  local.kind = JobKind::local;
  const auto first = make_runner({local}, "replica-1");
  const auto second = make_runner({local}, "replica-2");
  settle();
  pass(*first);
  pass(*second);
  EXPECT_EQ(runs_, 2);
  EXPECT_EQ(db_.value<std::int64_t>("SELECT count(*) FROM jobs"), 0);
  EXPECT_EQ(state(*first, "l").row.runs_total, 1);
  EXPECT_EQ(state(*first, "l").row.last_outcome, JobOutcome::ok);
  pass(*first);
  EXPECT_EQ(runs_, 2);
  clock_.advance(Seconds(66));
  pass(*first);
  EXPECT_EQ(runs_, 3);
  EXPECT_THAT(db_.values<std::string>("SELECT DISTINCT replica FROM job_runs ORDER BY replica"),
              ::testing::ElementsAre("replica-1", "replica-2"));
}

TEST_F(JobControlTest, FastJobsAreRecordedWhenTheyDidSomethingOrFailed) {
  JobSummary summary;
  Result<JobSummary> result = summary;
  const auto runner = make_runner({job("fast", counting([&] { return result; }), Seconds(5))});
  const auto next = [&] {
    clock_.advance(Seconds(31));
    pass(*runner);
  };
  next();
  EXPECT_TRUE(outcomes("fast").empty());
  summary.count("sent", 3);
  result = summary;
  next();
  EXPECT_THAT(outcomes("fast"), ::testing::ElementsAre("ok"));
  EXPECT_EQ(db_.value<std::string>("SELECT summary FROM job_runs"), R"({"counts":{"sent":3},"notes":[]})");
  result = fail(ErrorCode::internal_error, "x");
  next();
  EXPECT_THAT(outcomes("fast"), ::testing::ElementsAre("ok", "failed"));
}

TEST_F(JobControlTest, ASkippedRunIsNeitherSuccessNorFailure) {
  const auto runner = make_runner({job("a", counting([] { return JobSummary{.skipped = true}; }))});
  settle();
  pass(*runner);
  EXPECT_EQ(row("a").last_outcome, JobOutcome::skipped);
  EXPECT_EQ(row("a").last_success_at, std::nullopt);
  EXPECT_EQ(row("a").consecutive_failures, 0);
}

TEST_F(JobControlTest, ALongSummaryIsDroppedAndALongErrorCut) {
  JobSummary big;
  big.notes.push_back(std::string(5000, 'x'));
  Result<JobSummary> result = big;
  const auto runner = make_runner({job("a", counting([&] { return result; }))});
  settle();
  pass(*runner);
  EXPECT_EQ(db_.value<std::string>("SELECT summary FROM job_runs"), R"({"dropped":"too_long"})");
  result = fail(ErrorCode::internal_error, std::string(5000, 'x'));
  clock_.advance(Seconds(66));
  pass(*runner);
  EXPECT_EQ(row("a").last_error->size(), 500U);
  std::string umlauts = "x";
  for (int i = 0; i < 300; ++i) umlauts += "\xC3\xA4";
  result = fail(ErrorCode::internal_error, umlauts);
  clock_.advance(Seconds(66));
  pass(*runner);
  EXPECT_EQ(row("a").last_error->size(), 499U) << "not within a character: PostgreSQL takes no half ones";
}

// covers: S05_JOB_10
TEST_F(JobControlTest, TheAdminViewAndMetricsShowWhatHappened) {
  bool failing = false;
  const auto runner = make_runner({job("a", counting([&]() -> Result<JobSummary> {
                                         clock_.advance(Milliseconds(1500));
                                         if (failing) return fail(ErrorCode::database_unavailable, "no luck");
                                         return JobSummary{};
                                       }))});
  settle();
  pass(*runner);
  JobAdmin control = admin(*runner);
  auto list = control.list();
  ASSERT_TRUE(list);
  ASSERT_EQ(list->items.size(), 1U);
  JobView view = list->items[0];
  EXPECT_EQ(view.name, "a");
  EXPECT_EQ(view.kind, JobKind::singleton);
  EXPECT_EQ(view.period_seconds, 60);
  EXPECT_FALSE(view.running);
  EXPECT_EQ(view.last_outcome, JobOutcome::ok);
  EXPECT_EQ(view.last_success_at, clock_.now());
  EXPECT_EQ(view.last_duration_ms, 1500);
  EXPECT_EQ(view.runs_total, 1);
  EXPECT_TRUE(metric("ee_job_runs_total{job=\"a\",outcome=\"ok\"} 1"));
  EXPECT_TRUE(metric("ee_job_seconds_sum{job=\"a\"} 1.5"));
  EXPECT_TRUE(metric("ee_job_last_success_timestamp{job=\"a\"}"));

  failing = true;
  clock_.advance(Seconds(66));
  pass(*runner);
  view = control.list()->items[0];
  EXPECT_EQ(view.last_outcome, JobOutcome::failed);
  EXPECT_EQ(view.last_error, "database_unavailable: no luck");
  EXPECT_EQ(view.failures_total, 1);
  EXPECT_TRUE(metric("ee_job_runs_total{job=\"a\",outcome=\"failed\"} 1"));
  EXPECT_TRUE(metric("ee_job_failures_total{job=\"a\"} 1"));
}

// covers: S05_JOB_11
TEST_F(JobControlTest, TheNewestHundredRunsAreKeptAndPaged) {
  const auto runner = make_runner({job("a", counting()), job("b", counting())});
  for (int i = 0; i < 105; ++i) {
    clock_.advance(Seconds(67));
    pass(*runner);
  }
  EXPECT_EQ(db_.value<std::int64_t>("SELECT count(*) FROM job_runs WHERE name='a'"), 100);
  EXPECT_EQ(db_.value<std::int64_t>("SELECT count(*) FROM job_runs WHERE name='b'"), 100);
  EXPECT_EQ(row("a").runs_total, 105);
  JobAdmin control = admin(*runner);
  std::set<std::string> seen;
  std::string cursor;
  UtcTime before = clock_.now() + Seconds(1);
  for (int pages = 0; pages < 4; ++pages) {
    const auto page = control.runs("a", "30", cursor);
    ASSERT_TRUE(page);
    for (const auto& run : page->items) {
      EXPECT_LT(run.started_at, before);
      before = run.started_at;
      seen.insert(run.id);
    }
    EXPECT_EQ(page->next_cursor.has_value(), pages < 3);
    cursor = page->next_cursor.value_or("");
  }
  EXPECT_EQ(seen.size(), 100U);
  EXPECT_EQ(control.runs("a", "0", "").error().code, ErrorCode::invalid_request);
  EXPECT_EQ(control.runs("a", "", "x").error().code, ErrorCode::invalid_cursor);
}

}  // namespace
}  // namespace ee::cp
