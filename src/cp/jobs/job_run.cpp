// What happens to one run: its supervision, its end.
#include <fmt/format.h>

#include <exception>
#include <map>

#include "common/json.h"
#include "common/log.h"
#include "common/redact.h"
#include "common/utf8.h"
#include "cp/jobs/job_runner.h"
#include "cp/jobs/job_runner_state.h"
#include "cp/jobs/schedule.h"

namespace ee::cp {

namespace {
constexpr Seconds kIdle{10};
constexpr Seconds kRenewEvery{10};
constexpr Seconds kRenewAgainAfterError{1};
constexpr Seconds kLostWithoutRenewal{20};
constexpr Seconds kStuckAfterDeadline{30};
constexpr Seconds kFastPeriod{10};
constexpr std::size_t kMaxError = 500;
constexpr std::size_t kMaxSummary = 4096;

struct StoredSummary {
  std::map<std::string, std::int64_t> counts;
  std::vector<std::string> notes;
};
BOOST_DESCRIBE_STRUCT(StoredSummary, (), (counts, notes))

std::string summary_text(const JobSummary& summary) {
  StoredSummary stored{.counts = {}, .notes = summary.notes};
  for (const auto& [name, value] : summary.counts) stored.counts[std::string(name)] += value;
  std::string text = json::write(stored);
  return text.size() <= kMaxSummary ? text : R"({"dropped":"too_long"})";
}

std::string error_text(const Error& error) {
  std::string text(slug(error.code));
  if (!error.detail.empty()) text += ": " + scrub(error.detail);
  return std::string(utf8_prefix(text, kMaxError));
}

const std::vector<std::string>& outcome_names() {
  static const std::vector<std::string> names = {"ok", "failed", "timed_out", "cancelled", "lease_lost", "skipped"};
  return names;
}

std::string_view name_of_outcome(JobOutcome outcome) { return boost::describe::enum_to_string(outcome, ""); }
}  // namespace

JobRunner::Metrics::Metrics(metrics::Registry& registry, const std::vector<std::string>& jobs)
    : runs(registry.counter("ee_job_runs_total", "Runs of background jobs by their outcome.",
                            {{"job", jobs}, {"outcome", outcome_names()}})),
      failures(registry.counter("ee_job_failures_total", "Runs of background jobs that failed.", {{"job", jobs}})),
      seconds(registry.histogram("ee_job_seconds", "How long runs of background jobs took.", {{"job", jobs}},
                                 {0.01, 0.1, 1, 10, 60, 300, 1800})),
      wait_seconds(registry.histogram("ee_job_wait_seconds", "How long due jobs waited for a thread.", {{"job", jobs}},
                                      {0.01, 0.1, 1, 10, 60, 300})),
      last_success(
          registry.gauge("ee_job_last_success_timestamp", "Unix time of the last successful run.", {{"job", jobs}})),
      stuck(registry.gauge("ee_job_stuck", "1 while a run overstays its time.", {{"job", jobs}})) {}

bool JobRunner::is_fast(const JobDefinition& definition) { return definition.period() < kFastPeriod; }

SteadyTime JobRunner::supervise_pass() {
  std::vector<std::shared_ptr<Run>> runs;
  {
    const std::lock_guard lock(mutex_);
    supervised_at_ = parts_.clock.steady_now();
    runs = active_;
  }
  SteadyTime next = parts_.clock.steady_now() + kIdle;
  for (const auto& run : runs) next = std::min(next, supervise(*run));
  return next;
}

SteadyTime JobRunner::supervise(Run& run) {
  const SteadyTime now = parts_.clock.steady_now();
  SteadyTime next = now + kIdle;
  if (!run.timed_out && now >= run.deadline) {
    run.timed_out = true;
    run.stop.request_stop();
  }
  if (!run.stuck && now >= run.deadline + kStuckAfterDeadline) overstay(run);
  if (!run.stuck) next = std::min(next, run.deadline + (run.timed_out ? Seconds(kStuckAfterDeadline) : Seconds(0)));
  if (!run.job.local() && !run.lost) {
    if (now >= run.next_renewal) renew(run);
    next = std::min(next, run.next_renewal);
  }
  return next;
}

void JobRunner::renew(Run& run) {
  const auto renewed =
      parts_.database.write<bool>([&](db::Transaction& tx) { return store_.renew(tx, run.lease, parts_.clock.now()); });
  const SteadyTime now = parts_.clock.steady_now();
  if (renewed && *renewed) {
    run.renewed = now;
    run.next_renewal = now + kRenewEvery;
    return;
  }
  run.next_renewal = now + kRenewAgainAfterError;
  if (!renewed && now < run.renewed + kLostWithoutRenewal) return;
  run.lost = true;
  run.stop.request_stop();
}

/// It was told to stop half a minute ago and has not. The lease stays, so that nobody else begins.
void JobRunner::overstay(Run& run) {
  run.stuck = true;
  const std::string& name = run.job.definition.name;
  log::error("jobs", "a run does not end after its time-out",
             {{"job", name}, {"timeout_ms", run.job.definition.timeout}});
  metrics_->stuck.with({name}).set(1);
  const std::string error = "still running after its time-out";
  if (run.job.local()) {
    const std::lock_guard lock(mutex_);
    run.job.row.last_outcome = JobOutcome::timed_out;
    run.job.row.last_error = error;
    return;
  }
  const auto noted =
      parts_.database.run_write([&](db::Transaction& tx) { return store_.note_timed_out(tx, run.lease, error); });
  if (!noted) log::warn("jobs", "cannot note a time-out", {{"job", name}, {"error", noted.error().code}});
}

void JobRunner::execute(Run& run) {
  const log::ContextScope scope({.job = run.job.definition.name});
  const JobContext context{.stop = run.stop.get_token(), .deadline = run.deadline, .lease = run.lease};
  Result<JobSummary> result;
  try {
    result = run.job.definition.run(context);
  } catch (const std::exception& error) {
    result = fail(ErrorCode::internal_error, fmt::format("exception: {}", error.what()));
  } catch (...) {
    result = fail(ErrorCode::internal_error, "unknown exception");
  }
  finish(run, result);
  release(run);
}

JobFinish JobRunner::finish_of(const Run& run, const Result<JobSummary>& result) {
  const UtcTime now = parts_.clock.now();
  JobFinish finish{.started_at = run.record.started_at, .finished_at = now};
  const bool complete = result && !result->stopped;
  if (run.lost) {
    finish.outcome = JobOutcome::lease_lost;
  } else if (run.timed_out && !complete) {
    finish.outcome = JobOutcome::timed_out;
  } else if (run.cancelled && !complete) {
    finish.outcome = JobOutcome::cancelled;
  } else if (!result) {
    finish.outcome = JobOutcome::failed;
  } else if (result->skipped) {
    finish.outcome = JobOutcome::skipped;
  }
  if (!result) finish.error = error_text(result.error());
  if (finish.outcome == JobOutcome::timed_out && !finish.error) finish.error = "stopped at its time-out";
  const bool failed = finish.outcome == JobOutcome::failed || finish.outcome == JobOutcome::timed_out;
  const bool interrupted = finish.outcome == JobOutcome::cancelled || finish.outcome == JobOutcome::lease_lost;
  finish.consecutive_failures = failed ? run.earlier_failures + 1 : interrupted ? run.earlier_failures : 0;
  finish.next_run_at = next_run_after(run, finish.outcome, finish.consecutive_failures, now);
  return finish;
}

UtcTime JobRunner::next_run_after(const Run& run, JobOutcome outcome, std::int64_t failures, UtcTime now) {
  // Work that was broken off goes on as soon as somebody can.
  if (outcome == JobOutcome::cancelled || outcome == JobOutcome::lease_lost) return now;
  const Milliseconds period = run.job.definition.period();
  if (outcome == JobOutcome::failed || outcome == JobOutcome::timed_out) {
    return now + retry_delay(period, failures, parts_.random);
  }
  return now + next_delay(period, parts_.random);
}

void JobRunner::finish(Run& run, const Result<JobSummary>& result) {
  JobFinish finish = finish_of(run, result);
  {
    const std::lock_guard lock(mutex_);
    if (run.job.wake_asked) {  // during the run
      const SteadyTime now = parts_.clock.steady_now();
      const SteadyTime allowed = run.job.last_wake ? std::max(now, *run.job.last_wake + Seconds(1)) : now;
      finish.next_run_at = finish.finished_at + std::chrono::ceil<Milliseconds>(allowed - now);
      run.job.wake_asked = false;
      run.job.woken = true;
      run.job.last_wake = allowed;
    }
  }
  if (!write_finish(run, finish, result)) finish.outcome = JobOutcome::lease_lost;
  report(run, finish, result);
}

/// Writes row and record; false when the lease turned out to be lost.
bool JobRunner::write_finish(Run& run, const JobFinish& finish, const Result<JobSummary>& result) {
  JobRunRow record = run.record;
  record.finished_at = finish.finished_at;
  record.outcome = finish.outcome;
  record.error = finish.error;
  if (result) record.summary = summary_text(*result);
  const bool dull =
      (finish.outcome == JobOutcome::ok || finish.outcome == JobOutcome::skipped) && (!result || !result->did_work());
  const bool keep_record = !is_fast(run.job.definition) || !dull;
  if (run.job.local()) {
    const std::lock_guard lock(mutex_);
    JobRow& row = run.job.row;
    row.next_run_at = finish.next_run_at;
    row.run_requested_at.reset();
    row.last_finished_at = finish.finished_at;
    if (finish.outcome == JobOutcome::ok) row.last_success_at = finish.finished_at;
    row.last_outcome = finish.outcome;
    row.last_duration_ms = (finish.finished_at - finish.started_at).count();
    row.last_error = finish.error;
    row.consecutive_failures = finish.consecutive_failures;
    ++row.runs_total;
    if (finish.consecutive_failures > run.earlier_failures) ++row.failures_total;
  }
  if (run.job.local() && !keep_record) return true;
  const auto written = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    Result<bool> held = true;
    if (!run.job.local()) {
      held = store_.finish(tx, run.lease, finish, run.seen_next_run_at);
      if (!held) return held;
      if (!*held) record.outcome = JobOutcome::lease_lost;
    }
    if (keep_record || !*held) {
      if (auto kept = store_.put_run(tx, record); !kept) return std::unexpected(std::move(kept.error()));
    }
    return held;
  });
  if (written) return *written;
  // The lease runs out by itself, and the job is due again then.
  log::error("jobs", "cannot write the end of a run",
             {{"job", run.job.definition.name}, {"error", written.error().code}, {"detail", written.error().detail}});
  return true;
}

void JobRunner::report(const Run& run, const JobFinish& finish, const Result<JobSummary>& result) {
  const std::string& name = run.job.definition.name;
  const std::string_view outcome = name_of_outcome(finish.outcome);
  const Milliseconds took = std::chrono::duration_cast<Milliseconds>(parts_.clock.steady_now() - run.started);
  metrics_->runs.with({name, outcome}).increment();
  if (finish.outcome == JobOutcome::failed || finish.outcome == JobOutcome::timed_out)
    metrics_->failures.with({name}).increment();
  metrics_->seconds.with({name}).observe(std::chrono::duration<double>(took).count());
  if (run.stuck) metrics_->stuck.with({name}).set(0);
  if (finish.outcome == JobOutcome::ok) {
    metrics_->last_success.with({name}).set(static_cast<double>(unix_ms(finish.finished_at)) / 1000);
  }
  log::Level level = log::Level::warn;
  if (finish.outcome == JobOutcome::ok) level = result->did_work() ? log::Level::info : log::Level::debug;
  if (finish.outcome == JobOutcome::cancelled) level = log::Level::info;
  if (finish.outcome == JobOutcome::skipped) {
    const std::lock_guard lock(mutex_);
    level = run.job.skip_told ? log::Level::debug : log::Level::info;
    run.job.skip_told = true;
  }
  log::write(level, "jobs", "run ended",
             {{"job", name}, {"outcome", outcome}, {"duration_ms", took}, {"error", finish.error}});
}

void JobRunner::release(Run& run) {
  {
    const std::lock_guard lock(mutex_);
    run.job.running = false;
    if (!run.job.definition.own_thread) ++free_threads_;
    std::erase_if(active_, [&](const auto& active) { return active.get() == &run; });
  }
  idle_.notify_all();
  scheduler_sleep_.nudge();
}

}  // namespace ee::cp
