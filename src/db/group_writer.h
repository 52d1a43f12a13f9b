#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "db/database.h"
#include "db/write_observer.h"

namespace ee::db {

struct WriterOptions {
  std::size_t queue_max = 4096;
  std::size_t group_max = 64;
  Microseconds group_wait{1000};
  Milliseconds slow_write{2000};
};

struct WriterHealth {
  bool alive = false;        ///< the thread runs
  bool last_failed = false;  ///< the last group could not be stored
  std::size_t queued = 0;
  std::size_t last_group = 0;
  std::uint64_t commits = 0;  ///< since the start
  std::optional<SteadyTime> last_commit_at = {};
};

using WriteWork = std::function<Result<void>(Transaction&)>;

/// One caller's write, waiting for its group.
class WriteItem {
 public:
  explicit WriteItem(const WriteWork& work_) : work(work_) {}
  const WriteWork& work;  // the caller waits, so it lives
  Result<void> outcome = {};
  std::chrono::steady_clock::time_point queued_at = std::chrono::steady_clock::now();

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
using WriteGroup = std::vector<std::shared_ptr<WriteItem>>;

/// How one engine stores a group. Used by the writer's thread only.
class WriteEngine {
 public:
  virtual ~WriteEngine() = default;
  /// Runs each item so that its failure undoes that item only, and commits them together. Nothing: the group is stored
  /// and each item has its outcome. An error: nothing of it is stored, and it is everybody's outcome.
  virtual std::optional<Error> store(WriteGroup& group) = 0;
  /// After an exception left `store`: gives up what is open.
  virtual void abandon() = 0;
};

/// Runs an item's function. An exception is a failure of that item only; a function that ran longer than `slow_write`
/// is reported to `observer` (may be null).
Result<void> run_work(const WriteWork& work, Transaction& transaction, Milliseconds slow_write,
                      WriteObserver* observer);

/// The single writer of a process: callers' functions wait in a bounded queue; one thread takes up to `group_max` of
/// them, has the engine store them, and then completes them all. With more than one caller in flight it waits up to
/// `group_wait` for others to join.
class GroupWriter {
 public:
  /// `clock` (for the time of the last commit) and `observer` (may be null) must outlive it.
  GroupWriter(std::unique_ptr<WriteEngine> engine, const WriterOptions& options, const Clock& clock,
              WriteObserver* observer);
  /// As `close`.
  ~GroupWriter();
  GroupWriter(const GroupWriter&) = delete;
  GroupWriter& operator=(const GroupWriter&) = delete;

  /// See Database::write. Thread-safe.
  Result<void> submit(const WriteWork& work);
  /// Refuses new writes, finishes the queue, ends the thread. May be called twice.
  void close();
  WriterHealth health() const;

 private:
  void run();
  WriteGroup next_group();
  bool store(WriteGroup& group);
  void lose(WriteGroup& group, const Error& why);
  void finish(WriteGroup& group, bool committed, Microseconds took);
  void abandon_queue();

  const std::unique_ptr<WriteEngine> engine_;
  const WriterOptions options_;
  const Clock& clock_;
  WriteObserver* const observer_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<WriteItem>> queue_;
  std::size_t wake_at_ = 1;  // a caller wakes the writer when so many wait
  bool closing_ = false;
  WriterHealth health_;
  std::thread thread_;
};

}  // namespace ee::db
