// What `/health` says of the jobs: `JobRunner::healthy`.
#include <gtest/gtest.h>

#include "cp/jobs/job_fixture.h"

namespace ee::cp::job_test {
namespace {

class JobHealthTest : public JobTest {
 protected:
  /// Runs the job so often, whatever its back-off is.
  void run_times(JobRunner& runner, int times) {
    for (int i = 0; i < times; ++i) {
      clock_.advance(Seconds(1200));
      pass(runner);
    }
    runner.schedule_pass();  // reads what the last run wrote
    runner.supervise_pass();
  }
  bool broken_ = true;
  JobFunction breaking() {
    return counting([this]() -> Result<JobSummary> {
      if (broken_) return fail(ErrorCode::internal_error, "made to fail");
      return JobSummary{};
    });
  }
};

TEST_F(JobHealthTest, AJobThatFailsThreeTimesInARowShowsUntilItWorks) {
  for (const JobKind kind : {JobKind::singleton, JobKind::local}) {
    SCOPED_TRACE(static_cast<int>(kind));
    broken_ = true;
    JobDefinition broken = job("broken", breaking());
    broken.kind = kind;
    const auto runner = make_runner({broken});
    EXPECT_TRUE(runner->healthy()) << "nothing has run";
    run_times(*runner, 2);
    EXPECT_TRUE(runner->healthy());
    run_times(*runner, 1);
    EXPECT_FALSE(runner->healthy());
    broken_ = false;
    run_times(*runner, 1);
    EXPECT_TRUE(runner->healthy());
  }
}

TEST_F(JobHealthTest, ARunThatDoesNotEndShows) {
  Gate gate(false);
  const auto runner = make_runner({job("stuck", gate.function())});
  settle();
  runner->schedule_pass();
  gate.wait_until_entered();
  clock_.advance(Seconds(60));
  runner->schedule_pass();
  runner->supervise_pass();
  EXPECT_TRUE(runner->healthy()) << "it was told to stop and has half a minute";
  clock_.advance(Seconds(30));
  runner->schedule_pass();
  runner->supervise_pass();
  EXPECT_FALSE(runner->healthy());
  gate.open();
  runner->wait_until_idle();
  EXPECT_TRUE(runner->healthy());
}

TEST_F(JobHealthTest, ARunnerThatNobodyTurnsShows) {
  FailingDatabase database(*db_);
  const auto runner = make_runner({job("a", counting())}, "replica-1", 4, &database);
  const auto both = [&] {
    runner->schedule_pass();
    runner->supervise_pass();
    runner->wait_until_idle();
  };
  both();
  clock_.advance(Seconds(60));
  EXPECT_TRUE(runner->healthy());
  clock_.advance(Milliseconds(1));
  EXPECT_FALSE(runner->healthy());
  both();
  EXPECT_TRUE(runner->healthy());
  clock_.advance(Seconds(61));
  runner->schedule_pass();
  EXPECT_FALSE(runner->healthy()) << "nobody renews leases";
  runner->wait_until_idle();
  both();
  database.failing_reads = true;
  clock_.advance(Seconds(61));
  both();
  EXPECT_FALSE(runner->healthy()) << "it cannot see what is due";
}

}  // namespace
}  // namespace ee::cp::job_test
