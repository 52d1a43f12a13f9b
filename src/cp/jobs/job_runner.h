#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/metrics.h"
#include "common/random.h"
#include "cp/jobs/job.h"
#include "cp/jobs/job_threads.h"
#include "cp/jobs/sleeper.h"
#include "db/database.h"

namespace ee::cp {

/// A job as this replica sees it.
struct JobState {
  JobKind kind = JobKind::singleton;
  Milliseconds period{0};
  bool running = false;
  JobRow row = {};
};

/// Runs the background jobs of one process (05 section 4.1). Two threads of its own: one sees what is due and hands it
/// to the pool, one renews leases and watches deadlines. Thread-safe.
///
/// Tests call `prepare`, then single passes (`schedule_pass`, `supervise_pass`) instead of `start`, with a FakeClock.
class JobRunner {
 public:
  struct Parts {
    db::Database& database;
    Clock& clock;
    Random& random;
    std::string replica;  ///< names this process as a holder of leases: unlike every other's, also its earlier self's
    std::size_t threads = 4;  ///< of the pool; jobs with a thread of their own come on top
    metrics::Registry& metrics;
  };

  JobRunner(Parts parts, std::vector<JobDefinition> definitions);
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;
  /// As `stop`, for as long as it takes.
  ~JobRunner();

  /// Makes the rows of new jobs; first runs are spread over the first 30 s. Errors: those of the database.
  Result<void> prepare();
  /// `prepare`, then the threads.
  Result<void> start();
  /// Starts nothing more, fires the stop tokens, waits until every run has ended and its lease is back: false when that
  /// took longer than `grace`. May be called again.
  bool stop(Milliseconds grace);

  /// Something happened that the job is for: it runs as soon as it may, at most once per second. Never blocks, also not
  /// on the database; an unknown name is ignored.
  void wake(std::string_view name);
  /// Asks for a run now, also of a paused job; when it was first asked for. `also` is done in the same transaction (the
  /// audit row). Errors: `job_unknown`, `job_running`, those of `also`.
  Result<UtcTime> request_run(const std::string& name, const std::function<Result<void>(db::Transaction&)>& also = {});
  /// Errors: `job_unknown`.
  Result<void> set_paused(const std::string& name, bool paused);
  /// All jobs, by name.
  Result<std::vector<JobState>> states() const;
  /// For `/health`: somebody looks for due jobs and watches the runs, no run overstays its time-out, and no job has
  /// failed three times in a row (of singletons as last read by `schedule_pass`). Never waits for the database.
  bool healthy() const;
  bool knows(std::string_view name) const { return jobs_.contains(std::string(name)); }

  /// Starts what is due and has a free thread; when to look again at the latest.
  SteadyTime schedule_pass();
  /// Renews leases that are 10 s old, fires stop tokens of runs past their deadline or without their lease; when to
  /// look again at the latest.
  SteadyTime supervise_pass();
  /// Blocks until no run is active.
  void wait_until_idle();

 private:
  struct Job;
  struct Run;
  struct Metrics;

  std::optional<std::map<std::string, JobRow>> singleton_rows() const;
  void apply_wakes();
  Result<UtcTime> request_local(Job& job, UtcTime now);
  std::vector<Job*> due_jobs(const std::map<std::string, JobRow>& rows);
  void try_start(Job& job);
  Result<std::optional<JobRow>> acquire(Job& job, JobRunRow& record);
  SteadyTime next_look(const std::map<std::string, JobRow>& rows);
  SteadyTime supervise(Run& run);
  void renew(Run& run);
  void overstay(Run& run);

  void execute(Run& run);
  void finish(Run& run, const Result<JobSummary>& result);
  bool write_finish(Run& run, const JobFinish& finish, const Result<JobSummary>& result);
  JobFinish finish_of(const Run& run, const Result<JobSummary>& result);
  UtcTime next_run_after(const Run& run, JobOutcome outcome, std::int64_t failures, UtcTime now);
  void report(const Run& run, const JobFinish& finish, const Result<JobSummary>& result);
  void release(Run& run);
  void loop(SteadyTime (JobRunner::*pass)(), Sleeper& sleeper, const bool& ending);
  static bool is_fast(const JobDefinition& definition);

  Parts parts_;
  JobStore store_;
  std::unique_ptr<Metrics> metrics_;

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::map<std::string, std::unique_ptr<Job>> jobs_;  // the map itself never changes
  std::vector<std::shared_ptr<Run>> active_;
  std::size_t free_threads_;
  bool stopping_ = false;
  bool singletons_fail_ = false;
  // When the two passes last worked; nothing before the first.
  std::optional<SteadyTime> looked_at_;
  std::optional<SteadyTime> supervised_at_;
  bool supervisor_ending_ = false;

  Sleeper scheduler_sleep_;
  Sleeper supervisor_sleep_;
  std::thread scheduler_;
  std::thread supervisor_;
  JobThreads threads_;  // last: its threads end before what they use
};

}  // namespace ee::cp
