#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "db/sqlite_connection.h"

namespace ee::db {

/// A fixed set of read connections. A caller takes one for one deferred read transaction; with none free it waits at
/// most `wait_max`, then `overloaded`.
class SqliteReaders {
 public:
  using Work = std::function<Result<void>(Transaction&)>;

  SqliteReaders(std::vector<std::unique_ptr<SqliteConnection>> connections, Milliseconds statement_limit,
                Milliseconds wait_max);
  /// See Database::read. Thread-safe.
  Result<void> run(const Work& work);
  /// Refuses new reads and waits for those that run.
  void close();

 private:
  std::unique_ptr<SqliteConnection> take();
  void give_back(std::unique_ptr<SqliteConnection> connection);

  const Milliseconds wait_max_;
  std::size_t count_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<SqliteConnection>> idle_;  // the last one used first: its cache is warm
  bool closing_ = false;
};

}  // namespace ee::db
