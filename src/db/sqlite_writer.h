#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "db/sqlite_connection.h"
#include "db/sqlite_observer.h"

namespace ee::db {

struct WriterOptions {
  std::size_t queue_max = 4096;
  std::size_t group_max = 64;
  Microseconds group_wait{1000};
  Milliseconds busy_timeout{5000};
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

/// The single writer: callers' functions wait in a bounded queue; one thread takes up to `group_max` of them, runs each
/// in a savepoint of one transaction, commits once and then completes them all. With more than one caller in flight it
/// waits up to `group_wait` for others to join.
class SqliteWriter {
 public:
  using Work = std::function<Result<void>(Transaction&)>;

  /// `clock` (for the time of the last commit) and `observer` (may be null) must outlive it.
  SqliteWriter(std::unique_ptr<SqliteConnection> connection, const WriterOptions& options, const Clock& clock,
               SqliteObserver* observer);
  /// As `close`.
  ~SqliteWriter();
  SqliteWriter(const SqliteWriter&) = delete;
  SqliteWriter& operator=(const SqliteWriter&) = delete;

  /// See Database::write. Thread-safe.
  Result<void> submit(const Work& work);
  /// Refuses new writes, finishes the queue, ends the thread. May be called twice.
  void close();
  WriterHealth health() const;

 private:
  struct Item;
  using Group = std::vector<std::shared_ptr<Item>>;

  void run();
  Group next_group();
  bool store(Group& group);
  void lose(Group& group, const Error& why);
  std::optional<Error> run_in_transaction(Group& group);
  std::optional<Error> run_item(Item& item);
  std::optional<Error> commit();
  Error failure(std::string_view step) const;
  void finish(Group& group, bool committed, Microseconds took);
  void abandon_queue();

  const std::unique_ptr<SqliteConnection> connection_;
  const WriterOptions options_;
  const Clock& clock_;
  SqliteObserver* const observer_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Item>> queue_;
  std::size_t wake_at_ = 1;  // a caller wakes the writer when so many wait
  bool closing_ = false;
  WriterHealth health_;
  std::thread thread_;
};

}  // namespace ee::db
