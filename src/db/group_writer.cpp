#include "db/group_writer.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <exception>

#include "common/outside_calls.h"

namespace ee::db {

namespace {
using Steady = std::chrono::steady_clock;

Microseconds since(Steady::time_point start) { return std::chrono::duration_cast<Microseconds>(Steady::now() - start); }

Result<void> call(const WriteWork& work, Transaction& transaction) {
  const NoOutsideCalls forbidden;
  try {
    return work(transaction);
  } catch (const std::exception& error) {
    return fail(ErrorCode::internal_error, fmt::format("exception in a write: {}", error.what()));
  } catch (...) {
    return fail(ErrorCode::internal_error, "unknown exception in a write");
  }
}
}  // namespace

Result<void> run_work(const WriteWork& work, Transaction& transaction, Milliseconds slow_write,
                      WriteObserver* observer) {
  const auto start = Steady::now();
  Result<void> outcome = call(work, transaction);
  const Microseconds took = since(start);
  if (took > slow_write && observer != nullptr) observer->slow_write(took);
  return outcome;
}

GroupWriter::GroupWriter(std::unique_ptr<WriteEngine> engine, const WriterOptions& options, const Clock& clock,
                         WriteObserver* observer)
    : engine_(std::move(engine)), options_(options), clock_(clock), observer_(observer) {
  health_.alive = true;
  thread_ = std::thread([this] { run(); });
}

GroupWriter::~GroupWriter() { close(); }

Result<void> GroupWriter::submit(const WriteWork& work) {
  // Waiting for itself would never end.
  if (std::this_thread::get_id() == thread_.get_id()) {
    return fail(ErrorCode::internal_error, "a write inside a write");
  }
  const auto item = std::make_shared<WriteItem>(work);
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (closing_ || !health_.alive) return fail(ErrorCode::database_unavailable, "the database is closed");
    if (queue_.size() >= options_.queue_max) {
      return fail(Error{.code = ErrorCode::overloaded, .detail = "the write queue is full", .retry_after = Seconds(1)});
    }
    queue_.push_back(item);
    wake = queue_.size() >= wake_at_;
  }
  if (wake) wake_.notify_one();
  item->wait();
  return std::move(item->outcome);
}

void GroupWriter::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

WriterHealth GroupWriter::health() const {
  const std::lock_guard lock(mutex_);
  WriterHealth health = health_;
  health.queued = queue_.size();
  return health;
}

void GroupWriter::run() {
  pthread_setname_np(pthread_self(), "ee-db-writer");
  try {
    for (WriteGroup group = next_group(); !group.empty(); group = next_group()) {
      const auto start = Steady::now();
      const bool committed = store(group);
      finish(group, committed, since(start));
    }
  } catch (const std::exception& error) {
    if (observer_ != nullptr) observer_->group_failed(fmt::format("the writer ended: {}", error.what()));
  }
  abandon_queue();
}

/// Blocks until there is work; empty when closed and nothing is left.
WriteGroup GroupWriter::next_group() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return !queue_.empty() || closing_; });
  // Alone: no waiting. Else as many as the last time are probably on their way.
  if (!closing_ && (queue_.size() > 1 || health_.last_group > 1)) {
    wake_at_ = std::clamp<std::size_t>(health_.last_group, 1, options_.group_max);
    wake_.wait_for(lock, options_.group_wait, [&] { return queue_.size() >= wake_at_ || closing_; });
    wake_at_ = 1;
  }
  WriteGroup group;
  const std::size_t count = std::min(queue_.size(), options_.group_max);
  group.assign(std::make_move_iterator(queue_.begin()),
               std::make_move_iterator(queue_.begin() + static_cast<std::ptrdiff_t>(count)));
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  return group;
}

/// True when the group is stored. Else every outcome is an error: what one item saw may be another's lost work.
bool GroupWriter::store(WriteGroup& group) {
  try {
    const auto failed = engine_->store(group);
    if (!failed) return true;
    lose(group, *failed);
  } catch (const std::exception& error) {  // out of memory, say
    lose(group, {.code = ErrorCode::database_unavailable, .detail = error.what()});
    engine_->abandon();
  }
  return false;
}

void GroupWriter::lose(WriteGroup& group, const Error& why) {
  for (const auto& item : group) item->outcome = std::unexpected(why);
  if (observer_ != nullptr) observer_->group_failed(why.detail);
}

void GroupWriter::finish(WriteGroup& group, bool committed, Microseconds took) {
  std::size_t queued = 0;
  {
    const std::lock_guard lock(mutex_);
    health_.last_group = group.size();
    health_.last_failed = !committed;
    if (committed) {
      ++health_.commits;
      health_.last_commit_at = clock_.steady_now();
    }
    queued = queue_.size();
  }
  if (observer_ != nullptr) {
    observer_->group_finished(group.size(), committed, took, queued);
    for (const auto& item : group) observer_->write_finished(since(item->queued_at));
  }
  for (const auto& item : group) item->release();
}

/// After the thread's end nobody would answer.
void GroupWriter::abandon_queue() {
  const std::lock_guard lock(mutex_);
  health_.alive = false;
  for (const auto& item : queue_) {
    item->outcome = fail(ErrorCode::database_unavailable, "the writer has ended");
    item->release();
  }
  queue_.clear();
}

}  // namespace ee::db
