#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

enum class JobOutcome : std::uint8_t { ok, failed, timed_out, cancelled, lease_lost, skipped };
BOOST_DESCRIBE_ENUM(JobOutcome, ok, failed, timed_out, cancelled, lease_lost, skipped)

/// Why a run began: its time had come, an administrator asked, an event.
enum class JobTrigger : std::uint8_t { schedule, manual, wake };
BOOST_DESCRIBE_ENUM(JobTrigger, schedule, manual, wake)

/// A row of `jobs`; of a local job the same, kept in memory.
struct JobRow {
  std::string name = {};
  std::optional<std::string> lease_owner = {};
  std::int64_t lease_fence = 0;
  std::optional<UtcTime> lease_expires_at = {};
  UtcTime next_run_at = {};
  std::optional<UtcTime> run_requested_at = {};
  bool paused = false;
  std::optional<UtcTime> last_started_at = {};
  std::optional<UtcTime> last_finished_at = {};
  std::optional<UtcTime> last_success_at = {};
  std::optional<JobOutcome> last_outcome = {};
  std::optional<std::int64_t> last_duration_ms = {};
  std::optional<std::string> last_error = {};
  std::int64_t consecutive_failures = 0;
  std::int64_t runs_total = 0;
  std::int64_t failures_total = 0;

  bool leased(UtcTime now) const { return lease_expires_at && *lease_expires_at > now; }
  bool due(UtcTime now) const { return run_requested_at.has_value() || (!paused && next_run_at <= now); }
};
BOOST_DESCRIBE_STRUCT(JobRow, (),
                      (name, lease_owner, lease_fence, lease_expires_at, next_run_at, run_requested_at, paused,
                       last_started_at, last_finished_at, last_success_at, last_outcome, last_duration_ms, last_error,
                       consecutive_failures, runs_total, failures_total))

/// A row of `job_runs`.
struct JobRunRow {
  std::string id = {};  ///< UUIDv7
  std::string name = {};
  std::string replica = {};
  JobTrigger trigger = JobTrigger::schedule;
  UtcTime started_at = {};
  std::optional<UtcTime> finished_at = {};
  std::optional<JobOutcome> outcome = {};
  std::optional<std::string> error = {};
  std::optional<std::string> summary = {};  ///< JSON, at most 4 KiB
};
BOOST_DESCRIBE_STRUCT(JobRunRow, (), (id, name, replica, trigger, started_at, finished_at, outcome, error, summary))

/// Who holds a job. The fence rises with every acquisition: what an earlier holder still writes is refused by it.
struct JobLease {
  std::string name = {};
  std::string owner = {};
  std::int64_t fence = 0;
};

/// How a run ended, for the job's row.
struct JobFinish {
  JobOutcome outcome = JobOutcome::ok;
  std::optional<std::string> error = {};
  UtcTime started_at = {};
  UtcTime finished_at = {};
  UtcTime next_run_at = {};
  std::int64_t consecutive_failures = 0;
};

/// Tables `jobs` and `job_runs` (05 section 4.1). Stateless.
class JobStore {
 public:
  static constexpr Seconds kLease{30};
  static constexpr std::int64_t kRunsKept = 100;

  /// Makes the row when there is none.
  Result<void> ensure(db::Transaction& tx, const std::string& name, UtcTime first_run_at) const;
  Result<std::vector<JobRow>> all(db::Transaction& tx) const;
  Result<std::optional<JobRow>> get(db::Transaction& tx, const std::string& name) const;

  /// Takes the job when it is due and nobody holds it: the row as it is then, or nothing. A run of an earlier holder
  /// that never ended is closed as `lease_lost`.
  Result<std::optional<JobRow>> acquire(db::Transaction& tx, const std::string& name, const std::string& owner,
                                        UtcTime now) const;
  /// False when the lease is somebody else's now.
  Result<bool> renew(db::Transaction& tx, const JobLease& lease, UtcTime now) const;
  /// For effects that must not double: call it in the transaction that writes them. Errors: `concurrent_update` when
  /// the lease is no longer held.
  Result<void> check_fence(db::Transaction& tx, const JobLease& lease) const;
  /// Gives the lease back. `seen_next_run_at`: as it was when the job was acquired; when it has moved since (somebody
  /// woke the job), that time stays. False, and nothing is written, when the lease is somebody else's.
  Result<bool> finish(db::Transaction& tx, const JobLease& lease, const JobFinish& finish,
                      UtcTime seen_next_run_at) const;
  /// Notes that a run overstays its time; the lease stays.
  Result<void> note_timed_out(db::Transaction& tx, const JobLease& lease, const std::string& error) const;

  /// Asks for a run, also of a paused job; when, which is earlier when somebody has asked already. Errors:
  /// `job_unknown`, `job_running`.
  Result<UtcTime> request_run(db::Transaction& tx, const std::string& name, UtcTime now) const;
  Result<void> wake(db::Transaction& tx, const std::string& name, UtcTime now) const;
  /// False when there is no such job.
  Result<bool> set_paused(db::Transaction& tx, const std::string& name, bool paused) const;

  /// Writes or replaces the run's row, and forgets all but the newest kRunsKept of the job.
  Result<void> put_run(db::Transaction& tx, const JobRunRow& run) const;
  /// Newest first.
  Result<Page<JobRunRow>> runs(db::Transaction& tx, const std::string& name, const PageRequest& page) const;
};

}  // namespace ee::cp
