#pragma once
#include <array>
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "cp/domain/cursor.h"
#include "cp/jobs/job_runner.h"
#include "cp/service/actor.h"

namespace ee::cp {

/// An item of `GET /api/v1/admin/jobs`; of a local job what the answering replica knows.
struct JobView {
  std::string name;
  JobKind kind = JobKind::singleton;
  std::int64_t period_seconds = 0;
  bool paused = false;
  bool running = false;
  std::optional<std::string> lease_owner;
  std::optional<UtcTime> lease_expires_at;
  UtcTime next_run_at;
  std::optional<UtcTime> last_started_at;
  std::optional<UtcTime> last_finished_at;
  std::optional<UtcTime> last_success_at;
  std::optional<JobOutcome> last_outcome;
  std::optional<std::int64_t> last_duration_ms;
  std::optional<std::string> last_error;
  std::int64_t consecutive_failures = 0;
  std::int64_t runs_total = 0;
  std::int64_t failures_total = 0;
};
BOOST_DESCRIBE_STRUCT(JobView, (),
                      (name, kind, period_seconds, paused, running, lease_owner, lease_expires_at, next_run_at,
                       last_started_at, last_finished_at, last_success_at, last_outcome, last_duration_ms, last_error,
                       consecutive_failures, runs_total, failures_total))
constexpr std::string_view json_name(json::For<JobView>) { return "Job"; }

struct JobList {
  std::vector<JobView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(JobList, (), (items, next_cursor))

/// An item of `GET /api/v1/admin/jobs/{name}/runs`.
struct JobRunView {
  std::string id;
  std::string name;
  std::string replica;
  JobTrigger trigger = JobTrigger::schedule;
  UtcTime started_at;
  std::optional<UtcTime> finished_at;
  std::optional<JobOutcome> outcome;
  std::optional<std::string> error;
  std::optional<std::string> summary;  ///< JSON text
};
BOOST_DESCRIBE_STRUCT(JobRunView, (), (id, name, replica, trigger, started_at, finished_at, outcome, error, summary))
constexpr std::string_view json_name(json::For<JobRunView>) { return "JobRun"; }

struct JobRunList {
  std::vector<JobRunView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(JobRunList, (), (items, next_cursor))

/// The answer of `POST /api/v1/admin/jobs/{name}/run`.
struct JobRunRequested {
  std::string name;
  UtcTime run_requested_at;
};
BOOST_DESCRIBE_STRUCT(JobRunRequested, (), (name, run_requested_at))
constexpr std::string_view json_name(json::For<JobRunRequested>) { return "JobRunRequested"; }

/// What administrators do with jobs (05 section 4.3). Thread-safe; the references outlive it.
class JobAdmin {
 public:
  JobAdmin(JobRunner& runner, db::Database& database, const CursorCodec& cursors, const Clock& clock, Random& random)
      : runner_(runner), database_(database), cursors_(cursors), clock_(clock), random_(random) {}

  /// All jobs by name; they are few, so there is one page.
  Result<JobList> list() const;
  /// Newest first. `limit` and `cursor` as in the query, empty when absent. Errors: `job_unknown`, `invalid_request`,
  /// `invalid_cursor`.
  Result<JobRunList> runs(const std::string& name, std::string_view limit, std::string_view cursor) const;
  /// Audited as `action`. Errors: `job_unknown`, `job_running`.
  Result<JobRunRequested> run_now(const std::string& name, const Actor& actor,
                                  std::string_view action = "job_run_requested");

 private:
  JobRunner& runner_;
  db::Database& database_;
  const CursorCodec& cursors_;
  const Clock& clock_;
  Random& random_;
};

}  // namespace ee::cp
