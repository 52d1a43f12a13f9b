#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/metrics.h"
#include "cp/jobs/job_runner.h"
#include "tests/support/test_database.h"

/// For tests of jobs: time is a FakeClock, nothing sleeps.
namespace ee::cp::job_test {

/// A job function that stays inside until it is let go, or its stop token fires when `honours_stop`.
class Gate {
 public:
  explicit Gate(bool honours_stop = true) : honours_stop_(honours_stop) {}

  Result<JobSummary> enter(const JobContext& context) {
    std::unique_lock lock(mutex_);
    ++entered_;
    changed_.notify_all();
    const auto open = [this] { return open_; };
    JobSummary summary;
    if (honours_stop_) {
      summary.stopped = !changed_.wait(lock, context.stop, open);
    } else {
      changed_.wait(lock, open);
      summary.stopped = context.stop.stop_requested();
    }
    context_ = context;
    return summary;
  }
  JobFunction function() {
    return [this](const JobContext& context) { return enter(context); };
  }
  void wait_until_entered(int times = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_ >= times; });
  }
  void open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    changed_.notify_all();
  }
  int entered() const {
    const std::lock_guard lock(mutex_);
    return entered_;
  }

 private:
  const bool honours_stop_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  int entered_ = 0;
  bool open_ = false;
  JobContext context_;
};

/// Passes on to another database; writes fail while `failing`, reads while `failing_reads`.
class FailingDatabase final : public db::Database {
 public:
  explicit FailingDatabase(db::Database& inner) : inner_(inner) {}
  Result<void> run_write(const std::function<Result<void>(db::Transaction&)>& work) override {
    if (failing) return fail(ErrorCode::database_unavailable, "made to fail");
    return inner_.run_write(work);
  }
  Result<void> run_read(const std::function<Result<void>(db::Transaction&)>& work) override {
    if (failing_reads) return fail(ErrorCode::database_unavailable, "made to fail");
    return inner_.run_read(work);
  }
  std::atomic<bool> failing = false;
  std::atomic<bool> failing_reads = false;

 private:
  db::Database& inner_;
};

class JobTest : public ::testing::Test {
 protected:
  std::unique_ptr<JobRunner> make_runner(std::vector<JobDefinition> jobs, const std::string& replica = "replica-1",
                                         std::size_t threads = 4, db::Database* database = nullptr) {
    auto runner = std::make_unique<JobRunner>(JobRunner::Parts{.database = database != nullptr ? *database : *db_,
                                                               .clock = clock_,
                                                               .random = random_,
                                                               .replica = replica,
                                                               .threads = threads,
                                                               .metrics = metrics_},
                                              std::move(jobs));
    EXPECT_TRUE(runner->prepare());
    return runner;
  }
  static JobDefinition job(const std::string& name, JobFunction function, Milliseconds period = Seconds(60)) {
    return {.name = name, .period = every(period), .timeout = Seconds(60), .run = std::move(function)};
  }
  /// Counts its runs and does `what`.
  JobFunction counting(std::function<Result<JobSummary>()> what = [] { return JobSummary{}; }) {
    return [this, what = std::move(what)](const JobContext&) {
      ++runs_;
      return what();
    };
  }
  void pass(JobRunner& runner) {
    runner.schedule_pass();
    runner.wait_until_idle();
  }
  /// Past every first delay.
  void settle() { clock_.advance(Seconds(31)); }
  JobRow row(const std::string& name) {
    const auto found = db_->read<std::optional<JobRow>>([&](db::Transaction& tx) { return JobStore().get(tx, name); });
    return found && *found ? **found : JobRow{};
  }
  JobState state(JobRunner& runner, const std::string& name) {
    const auto states = runner.states();
    EXPECT_TRUE(states);
    for (const auto& state : *states)
      if (state.row.name == name) return state;
    ADD_FAILURE() << "no job " << name;
    return {};
  }
  std::vector<std::string> outcomes(const std::string& name) {
    return db_.values<std::string>(
        "SELECT COALESCE(outcome, 'open') FROM job_runs WHERE name=:name ORDER BY started_at, id", {{"name", name}});
  }
  bool metric(const std::string& line) { return metrics_.text().find(line) != std::string::npos; }

  testing::TestDatabase db_;
  FakeClock clock_;
  FakeRandom random_;
  metrics::Registry metrics_;
  std::atomic<int> runs_ = 0;
};

}  // namespace ee::cp::job_test
