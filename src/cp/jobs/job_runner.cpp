#include "cp/jobs/job_runner.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/id.h"
#include "common/log.h"
#include "cp/jobs/job_runner_state.h"
#include "cp/jobs/schedule.h"

namespace ee::cp {

namespace {
constexpr Seconds kLookAtLeastEvery{5};  // other replicas and their leases show only in the database
constexpr Seconds kLookAgainAfterError{1};
constexpr Seconds kWakeAtMostEvery{1};
constexpr Seconds kDeadAfter{60};  // both passes come round every 10 s at the latest
constexpr std::int64_t kFailuresInARow = 3;

std::vector<std::string> names_of(const std::vector<JobDefinition>& definitions) {
  std::vector<std::string> names;
  for (const auto& definition : definitions) names.push_back(definition.name);
  return names;
}

std::size_t threads_for(std::size_t pool, const std::vector<JobDefinition>& definitions) {
  return pool + static_cast<std::size_t>(std::ranges::count(definitions, true, &JobDefinition::own_thread));
}
}  // namespace

JobRunner::JobRunner(Parts parts, std::vector<JobDefinition> definitions)
    : parts_(std::move(parts)),
      metrics_(std::make_unique<Metrics>(parts_.metrics, names_of(definitions))),
      free_threads_(parts_.threads),
      threads_(threads_for(parts_.threads, definitions)) {
  for (auto& definition : definitions) {
    const std::string name = definition.name;
    const bool added = jobs_.emplace(name, new Job{.definition = std::move(definition)}).second;
    require(added);
    jobs_[name]->row.name = name;
  }
}

JobRunner::~JobRunner() {
  while (!stop(Seconds(60))) log::error("jobs", "runs do not end");
}

Result<void> JobRunner::prepare() {
  const UtcTime now = parts_.clock.now();
  std::vector<std::pair<std::string, UtcTime>> singletons;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [name, job] : jobs_) {
      const UtcTime first = now + first_delay(job->definition.period(), parts_.random);
      if (job->local()) {
        job->row.next_run_at = first;
      } else {
        singletons.emplace_back(name, first);
      }
    }
  }
  return parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    for (const auto& [name, first] : singletons) {
      if (auto made = store_.ensure(tx, name, first); !made) return made;
    }
    return {};
  });
}

Result<void> JobRunner::start() {
  if (auto prepared = prepare(); !prepared) return prepared;
  {
    const std::lock_guard lock(mutex_);
    looked_at_ = supervised_at_ = parts_.clock.steady_now();
  }
  scheduler_ = std::thread([this] { loop(&JobRunner::schedule_pass, scheduler_sleep_, stopping_); });
  supervisor_ = std::thread([this] { loop(&JobRunner::supervise_pass, supervisor_sleep_, supervisor_ending_); });
  return {};
}

void JobRunner::loop(SteadyTime (JobRunner::*pass)(), Sleeper& sleeper, const bool& ending) {
  const auto ended = [&] {
    const std::lock_guard lock(mutex_);
    return ending;
  };
  while (!ended()) {
    const SteadyTime next = (this->*pass)();
    sleeper.sleep_until(parts_.clock, next);
  }
}

bool JobRunner::stop(Milliseconds grace) {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  scheduler_sleep_.nudge();
  if (scheduler_.joinable()) scheduler_.join();
  {
    std::unique_lock lock(mutex_);
    for (const auto& run : active_) {
      run->cancelled = true;
      run->stop.request_stop();
    }
    if (!idle_.wait_for(lock, grace, [this] { return active_.empty(); })) return false;
    supervisor_ending_ = true;  // until here it renews the leases of what still runs
  }
  supervisor_sleep_.nudge();
  if (supervisor_.joinable()) supervisor_.join();
  return true;
}

void JobRunner::wait_until_idle() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return active_.empty(); });
}

void JobRunner::wake(std::string_view name) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(std::string(name));
    if (found == jobs_.end()) return;
    found->second->wake_asked = true;
  }
  scheduler_sleep_.nudge();
}

Result<UtcTime> JobRunner::request_run(const std::string& name,
                                       const std::function<Result<void>(db::Transaction&)>& also) {
  const UtcTime now = parts_.clock.now();
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return fail(ErrorCode::job_unknown);
  Job& job = *found->second;
  const auto asked = parts_.database.write<UtcTime>([&](db::Transaction& tx) -> Result<UtcTime> {
    auto when = job.local() ? request_local(job, now) : store_.request_run(tx, name, now);
    if (!when || !also) return when;
    if (auto done = also(tx); !done) return std::unexpected(std::move(done.error()));
    return when;
  });
  scheduler_sleep_.nudge();
  return asked;
}

Result<UtcTime> JobRunner::request_local(Job& job, UtcTime now) {
  const std::lock_guard lock(mutex_);
  if (job.running) return fail(ErrorCode::job_running);
  if (!job.row.run_requested_at) job.row.run_requested_at = now;
  return *job.row.run_requested_at;
}

Result<void> JobRunner::set_paused(const std::string& name, bool paused) {
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return fail(ErrorCode::job_unknown);
  if (found->second->local()) {
    const std::lock_guard lock(mutex_);
    found->second->row.paused = paused;
  } else {
    const auto changed =
        parts_.database.write<bool>([&](db::Transaction& tx) { return store_.set_paused(tx, name, paused); });
    if (!changed) return std::unexpected(changed.error());
    if (!*changed) return fail(ErrorCode::job_unknown);
  }
  scheduler_sleep_.nudge();
  return {};
}

Result<std::vector<JobState>> JobRunner::states() const {
  const auto rows = parts_.database.read<std::vector<JobRow>>([&](db::Transaction& tx) { return store_.all(tx); });
  if (!rows) return std::unexpected(rows.error());
  const UtcTime now = parts_.clock.now();
  std::vector<JobState> states;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, job] : jobs_) {
    JobState state{
        .kind = job->definition.kind, .period = job->definition.period(), .running = job->running, .row = job->row};
    if (const auto row = std::ranges::find(*rows, name, &JobRow::name); !job->local() && row != rows->end()) {
      state.row = *row;
      state.running = row->leased(now);
    }
    states.push_back(std::move(state));
  }
  return states;
}

bool JobRunner::healthy() const {
  const SteadyTime now = parts_.clock.steady_now();
  const std::lock_guard lock(mutex_);
  for (const auto& passed : {looked_at_, supervised_at_})
    if (passed && now - *passed > kDeadAfter) return false;
  if (singletons_fail_) return false;
  if (std::ranges::any_of(active_, [](const auto& run) { return run->stuck.load(); })) return false;
  return std::ranges::none_of(jobs_, [](const auto& item) {
    return item.second->local() && item.second->row.consecutive_failures >= kFailuresInARow;
  });
}

std::optional<std::map<std::string, JobRow>> JobRunner::singleton_rows() const {
  auto rows = parts_.database.read<std::vector<JobRow>>([&](db::Transaction& tx) { return store_.all(tx); });
  if (!rows) {
    log::warn("jobs", "cannot read the jobs", {{"error", rows.error().code}, {"detail", rows.error().detail}});
    return std::nullopt;
  }
  std::map<std::string, JobRow> by_name;
  for (auto& row : *rows) {
    std::string name = row.name;
    by_name.emplace(std::move(name), std::move(row));
  }
  return by_name;
}

SteadyTime JobRunner::schedule_pass() {
  apply_wakes();
  const auto rows = singleton_rows();
  if (!rows) return parts_.clock.steady_now() + kLookAgainAfterError;
  {
    const std::lock_guard lock(mutex_);
    looked_at_ = parts_.clock.steady_now();
    singletons_fail_ = std::ranges::any_of(*rows, [&](const auto& item) {
      const auto known = jobs_.find(item.first);
      return known != jobs_.end() && !known->second->local() && item.second.consecutive_failures >= kFailuresInARow;
    });
  }
  for (Job* job : due_jobs(*rows)) try_start(*job);
  return next_look(*rows);
}

void JobRunner::apply_wakes() {
  std::vector<Job*> singletons;
  const SteadyTime now = parts_.clock.steady_now();
  {
    const std::lock_guard lock(mutex_);
    for (auto& [name, job] : jobs_) {
      // A wake during a run is applied at its end.
      if (!job->wake_asked || job->running) continue;
      if (job->last_wake && now < *job->last_wake + kWakeAtMostEvery) continue;
      job->wake_asked = false;
      job->woken = true;
      job->last_wake = now;
      job->row.next_run_at = parts_.clock.now();
      if (!job->local()) singletons.push_back(job.get());
    }
  }
  if (singletons.empty()) return;
  const auto woken = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    for (const Job* job : singletons) {
      if (auto done = store_.wake(tx, job->definition.name, parts_.clock.now()); !done) return done;
    }
    return {};
  });
  if (woken) return;
  const std::lock_guard lock(mutex_);
  for (Job* job : singletons) job->wake_asked = true;
}

/// What is due and runs nowhere, the longest due first.
std::vector<JobRunner::Job*> JobRunner::due_jobs(const std::map<std::string, JobRow>& rows) {
  const UtcTime now = parts_.clock.now();
  std::vector<std::pair<UtcTime, Job*>> due;
  const std::lock_guard lock(mutex_);
  for (auto& [name, job] : jobs_) {
    const auto found = rows.find(name);
    if (!job->local() && found == rows.end()) continue;
    const JobRow& row = job->local() ? job->row : found->second;
    if (job->running || row.leased(now) || !row.due(now)) continue;
    if (!job->due_since) job->due_since = parts_.clock.steady_now();
    due.emplace_back(row.run_requested_at.value_or(row.next_run_at), job.get());
  }
  std::ranges::sort(due);
  std::vector<Job*> jobs;
  for (const auto& [at, job] : due) jobs.push_back(job);
  return jobs;
}

void JobRunner::try_start(Job& job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || (!job.definition.own_thread && free_threads_ == 0)) return;
    if (!job.definition.own_thread) --free_threads_;
  }
  const auto run_id = new_uuid_v7(parts_.clock.now(), parts_.random);
  JobRunRow record{.id = run_id.value_or(""),
                   .name = job.definition.name,
                   .replica = parts_.replica,
                   .started_at = parts_.clock.now()};
  auto row = run_id ? acquire(job, record) : fail(ErrorCode::internal_error, "no random numbers");
  if (!row) {
    log::warn("jobs", "cannot begin a run",
              {{"job", job.definition.name}, {"error", row.error().code}, {"detail", row.error().detail}});
  }
  const SteadyTime now = parts_.clock.steady_now();
  std::unique_lock lock(mutex_);
  if (!row || !*row) {  // or another replica was quicker
    if (!job.definition.own_thread) ++free_threads_;
    return;
  }
  const auto run = std::shared_ptr<Run>(new Run{.job = job});
  run->lease = {.name = job.definition.name, .owner = job.local() ? "" : parts_.replica, .fence = (*row)->lease_fence};
  run->record = std::move(record);
  run->seen_next_run_at = (*row)->next_run_at;
  run->earlier_failures = (*row)->consecutive_failures;
  run->started = now;
  run->deadline = now + job.definition.timeout;
  run->renewed = now;
  run->next_renewal = now + Seconds(10);
  job.running = true;
  job.woken = false;
  if (job.due_since) {
    metrics_->wait_seconds.with({job.definition.name})
        .observe(std::chrono::duration<double>(now - *job.due_since).count());
  }
  job.due_since.reset();
  active_.push_back(run);
  lock.unlock();
  supervisor_sleep_.nudge();
  threads_.start([this, run] { execute(*run); });
}

/// Takes the lease of a singleton, writing the record of a slow one; of a local job only its own state changes.
Result<std::optional<JobRow>> JobRunner::acquire(Job& job, JobRunRow& record) {
  const auto trigger_of = [&](const JobRow& row) {
    if (row.run_requested_at) return JobTrigger::manual;
    return job.woken ? JobTrigger::wake : JobTrigger::schedule;
  };
  if (job.local()) {
    const std::lock_guard lock(mutex_);
    job.row.last_started_at = record.started_at;
    record.trigger = trigger_of(job.row);
    return job.row;
  }
  return parts_.database.write<std::optional<JobRow>>([&](db::Transaction& tx) -> Result<std::optional<JobRow>> {
    auto row = store_.acquire(tx, job.definition.name, parts_.replica, record.started_at);
    if (!row || !*row) return row;
    {
      const std::lock_guard lock(mutex_);
      record.trigger = trigger_of(**row);
    }
    if (!is_fast(job.definition)) {
      if (auto kept = store_.put_run(tx, record); !kept) return std::unexpected(std::move(kept.error()));
    }
    return row;
  });
}

SteadyTime JobRunner::next_look(const std::map<std::string, JobRow>& rows) {
  const SteadyTime now = parts_.clock.steady_now();
  const UtcTime utc_now = parts_.clock.now();
  SteadyTime next = now + kLookAtLeastEvery;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, job] : jobs_) {
    if (job->running) continue;  // its end nudges
    if (job->wake_asked && job->last_wake) next = std::min(next, *job->last_wake + kWakeAtMostEvery);
    const auto found = rows.find(name);
    if (!job->local() && found == rows.end()) continue;
    const JobRow& row = job->local() ? job->row : found->second;
    // What is due now waits for a thread, whose end nudges.
    if (!row.paused && row.next_run_at > utc_now) next = std::min(next, now + (row.next_run_at - utc_now));
  }
  return next;
}

}  // namespace ee::cp
