#pragma once
#include <atomic>

#include "cp/jobs/job_runner.h"

namespace ee::cp {

/// A job and, of a local one, its whole state. Guarded by the runner's mutex but for the definition.
struct JobRunner::Job {
  JobDefinition definition;
  JobRow row = {};  // local jobs only
  bool running = false;
  bool wake_asked = false;  // and not applied yet
  bool woken = false;       // the next run is for a wake
  bool skip_told = false;   // "not configured" is told once
  std::optional<SteadyTime> last_wake = {};
  std::optional<SteadyTime> due_since = {};  // for the time that a job waits for a thread

  bool local() const { return definition.kind == JobKind::local; }
};

/// One run in this process. Flags are set by the supervisor and read at the end.
struct JobRunner::Run {
  Job& job;
  JobLease lease = {};
  JobRunRow record = {};
  UtcTime seen_next_run_at = {};
  std::int64_t earlier_failures = 0;
  SteadyTime started = {};
  SteadyTime deadline = {};
  SteadyTime next_renewal = {};
  SteadyTime renewed = {};
  std::atomic<bool> stuck = false;
  std::atomic<bool> timed_out = false;
  std::atomic<bool> lost = false;
  std::atomic<bool> cancelled = false;
  std::stop_source stop = {};
};

struct JobRunner::Metrics {
  Metrics(metrics::Registry& registry, const std::vector<std::string>& jobs);
  metrics::Family<metrics::Counter> runs;
  metrics::Family<metrics::Counter> failures;
  metrics::Family<metrics::Histogram> seconds;
  metrics::Family<metrics::Histogram> wait_seconds;
  metrics::Family<metrics::Gauge> last_success;
  metrics::Family<metrics::Gauge> stuck;
};

}  // namespace ee::cp
