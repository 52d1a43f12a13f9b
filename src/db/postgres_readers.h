#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "db/postgres_connection.h"

namespace ee::db {

/// A fixed set of read connections. A caller takes one for one read transaction; with none free it waits at most
/// `wait_max`, then `overloaded`. A lost connection is opened again by the next caller.
class PostgresReaders {
 public:
  using Work = std::function<Result<void>(Transaction&)>;

  PostgresReaders(std::vector<std::unique_ptr<PostgresConnection>> connections, Milliseconds wait_max);
  /// See Database::read. Thread-safe.
  Result<void> run(const Work& work);
  /// Refuses new reads and waits for those that run.
  void close();

 private:
  std::unique_ptr<PostgresConnection> take();
  void give_back(std::unique_ptr<PostgresConnection> connection);

  const Milliseconds wait_max_;
  std::size_t count_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<PostgresConnection>> idle_;  // the last one used first
  bool closing_ = false;
};

}  // namespace ee::db
