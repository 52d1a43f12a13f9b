#include "db/sqlite_readers.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <exception>

#include "db/sqlite_codes.h"

namespace ee::db {

SqliteReaders::SqliteReaders(std::vector<std::unique_ptr<SqliteConnection>> connections, Milliseconds statement_limit,
                             Milliseconds wait_max)
    : wait_max_(wait_max), count_(connections.size()), idle_(std::move(connections)) {
  for (const auto& connection : idle_) connection->set_limits(statement_limit);
}

std::unique_ptr<SqliteConnection> SqliteReaders::take() {
  std::unique_lock lock(mutex_);
  const bool woken = freed_.wait_for(lock, wait_max_, [&] { return !idle_.empty() || closing_; });
  if (!woken || closing_) return nullptr;
  auto connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void SqliteReaders::give_back(std::unique_ptr<SqliteConnection> connection) {
  {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(connection));
  }
  freed_.notify_all();
}

namespace {
Result<void> read_in(SqliteConnection& connection, const SqliteReaders::Work& work) {
  if (const int code = connection.control("BEGIN"); code != SQLITE_OK) {
    return std::unexpected(sqlite_error(code, connection.last_message(), {}));
  }
  SqliteTransaction transaction(connection);
  Result<void> outcome;
  try {
    outcome = work(transaction);
  } catch (const std::exception& error) {
    outcome = fail(ErrorCode::internal_error, fmt::format("exception in a read: {}", error.what()));
  }
  // A statement that was stopped may have ended the transaction already.
  if (connection.in_transaction()) connection.control("ROLLBACK");
  return outcome;
}
}  // namespace

Result<void> SqliteReaders::run(const Work& work) {
  auto connection = take();
  if (connection == nullptr) {
    const std::lock_guard lock(mutex_);
    if (closing_) return fail(ErrorCode::database_unavailable, "the database is closed");
    return fail(
        Error{.code = ErrorCode::overloaded, .detail = "no read connection is free", .retry_after = Seconds(1)});
  }
  Result<void> outcome = read_in(*connection, work);
  give_back(std::move(connection));
  return outcome;
}

void SqliteReaders::close() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  freed_.notify_all();
  freed_.wait(lock, [&] { return idle_.size() == count_; });
  idle_.clear();
  count_ = 0;
}

}  // namespace ee::db
