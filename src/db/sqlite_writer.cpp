#include "db/sqlite_writer.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sqlite3.h>

#include <algorithm>
#include <exception>

#include "common/outside_calls.h"
#include "db/sqlite_codes.h"

namespace ee::db {

namespace {
using Steady = std::chrono::steady_clock;

Microseconds since(Steady::time_point start) { return std::chrono::duration_cast<Microseconds>(Steady::now() - start); }

/// The function's own result; an exception is a failure of that item only.
Result<void> call(const SqliteWriter::Work& work, Transaction& transaction) {
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

struct SqliteWriter::Item {
  explicit Item(const Work& work_) : work(work_) {}
  const Work& work;  // the caller waits until `done`, so it lives
  Result<void> outcome = {};
  Steady::time_point queued_at = Steady::now();

  /// Wakes the caller. It may be gone right after; whoever calls this holds the item.
  void release() {
    const std::lock_guard lock(mutex_);
    done_ = true;
    wake_.notify_one();
  }
  /// Sleeps at once: a commit takes far longer than any spinning, which would take the processor from it.
  void wait() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return done_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
};

SqliteWriter::SqliteWriter(std::unique_ptr<SqliteConnection> connection, const WriterOptions& options,
                           const Clock& clock, SqliteObserver* observer)
    : connection_(std::move(connection)), options_(options), clock_(clock), observer_(observer) {
  health_.alive = true;
  thread_ = std::thread([this] { run(); });
}

SqliteWriter::~SqliteWriter() { close(); }

Result<void> SqliteWriter::submit(const Work& work) {
  // Waiting for itself would never end.
  if (std::this_thread::get_id() == thread_.get_id()) {
    return fail(ErrorCode::internal_error, "a write inside a write");
  }
  const auto item = std::make_shared<Item>(work);
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

void SqliteWriter::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

WriterHealth SqliteWriter::health() const {
  const std::lock_guard lock(mutex_);
  WriterHealth health = health_;
  health.queued = queue_.size();
  return health;
}

void SqliteWriter::run() {
  pthread_setname_np(pthread_self(), "ee-db-writer");
  try {
    for (Group group = next_group(); !group.empty(); group = next_group()) {
      const auto start = Steady::now();
      bool committed = false;
      try {
        committed = store(group);
      } catch (const std::exception& error) {  // out of memory, say
        lose(group, {.code = ErrorCode::database_unavailable, .detail = error.what()});
        if (connection_->in_transaction()) connection_->control("ROLLBACK");
      }
      finish(group, committed, since(start));
    }
  } catch (const std::exception& error) {
    if (observer_ != nullptr) observer_->group_failed(fmt::format("the writer ended: {}", error.what()));
  }
  abandon_queue();
}

/// Blocks until there is work; empty when closed and nothing is left.
SqliteWriter::Group SqliteWriter::next_group() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return !queue_.empty() || closing_; });
  // Alone: no waiting. Else as many as the last time are probably on their way.
  if (!closing_ && (queue_.size() > 1 || health_.last_group > 1)) {
    wake_at_ = std::clamp<std::size_t>(health_.last_group, 1, options_.group_max);
    wake_.wait_for(lock, options_.group_wait, [&] { return queue_.size() >= wake_at_ || closing_; });
    wake_at_ = 1;
  }
  Group group;
  const std::size_t count = std::min(queue_.size(), options_.group_max);
  group.assign(std::make_move_iterator(queue_.begin()),
               std::make_move_iterator(queue_.begin() + static_cast<std::ptrdiff_t>(count)));
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  return group;
}

/// True when the group is on disk. Else every outcome is an error: what one item saw may be another's lost work.
bool SqliteWriter::store(Group& group) {
  const int begun = connection_->control("BEGIN IMMEDIATE");
  std::optional<Error> failed;
  if (begun != SQLITE_OK) {
    failed = failure("BEGIN");
  } else {
    failed = run_in_transaction(group);
    if (!failed) failed = commit();
    if (failed && connection_->in_transaction()) connection_->control("ROLLBACK");
  }
  if (!failed) return true;
  lose(group, *failed);
  return false;
}

void SqliteWriter::lose(Group& group, const Error& why) {
  for (const auto& item : group) item->outcome = std::unexpected(why);
  if (observer_ != nullptr) observer_->group_failed(why.detail);
}

std::optional<Error> SqliteWriter::run_in_transaction(Group& group) {
  for (const auto& item : group) {
    if (auto failed = run_item(*item)) return failed;
  }
  return std::nullopt;
}

/// An error only when the whole group is lost.
std::optional<Error> SqliteWriter::run_item(Item& item) {
  if (connection_->control("SAVEPOINT item") != SQLITE_OK) return failure("SAVEPOINT");
  const auto start = Steady::now();
  SqliteTransaction transaction(*connection_);
  item.outcome = call(item.work, transaction);
  const Microseconds took = since(start);
  if (took > options_.slow_write && observer_ != nullptr) observer_->slow_write(took);
  // SQLite itself rolls the transaction back after some failures, whatever the function made of them.
  if (transaction.broken() || !connection_->in_transaction()) {
    Error lost = failure("a statement");
    if (!item.outcome) lost.detail = item.outcome.error().detail;
    return lost;
  }
  // Else the COMMIT would fail for everybody.
  if (item.outcome && connection_->has_deferred_violation()) {
    item.outcome = fail(ErrorCode::in_use, "a deferred foreign key is violated");
  }
  if (!item.outcome && connection_->control("ROLLBACK TO item") != SQLITE_OK) return failure("ROLLBACK TO");
  if (connection_->control("RELEASE item") != SQLITE_OK) return failure("RELEASE");
  return std::nullopt;
}

std::optional<Error> SqliteWriter::commit() {
  const auto give_up_at = Steady::now() + options_.busy_timeout;
  int code = connection_->control("COMMIT");
  while ((code & 0xff) == SQLITE_BUSY && Steady::now() < give_up_at) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    code = connection_->control("COMMIT");
  }
  if (code == SQLITE_OK) return std::nullopt;
  return failure("COMMIT");
}

Error SqliteWriter::failure(std::string_view step) const {
  return Error{
      .code = ErrorCode::database_unavailable,
      .detail = fmt::format("{} failed: SQLite {}: {}", step, connection_->last_code(), connection_->last_message()),
      .retry_after = Seconds(1)};
}

void SqliteWriter::finish(Group& group, bool committed, Microseconds took) {
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
void SqliteWriter::abandon_queue() {
  const std::lock_guard lock(mutex_);
  health_.alive = false;
  for (const auto& item : queue_) {
    item->outcome = fail(ErrorCode::database_unavailable, "the writer has ended");
    item->release();
  }
  queue_.clear();
}

}  // namespace ee::db
