#include "db/postgres_readers.h"

#include <fmt/format.h>

#include <exception>

#include "db/postgres_codes.h"

namespace ee::db {

PostgresReaders::PostgresReaders(std::vector<std::unique_ptr<PostgresConnection>> connections, Milliseconds wait_max)
    : wait_max_(wait_max), count_(connections.size()), idle_(std::move(connections)) {}

std::unique_ptr<PostgresConnection> PostgresReaders::take() {
  std::unique_lock lock(mutex_);
  const bool woken = freed_.wait_for(lock, wait_max_, [&] { return !idle_.empty() || closing_; });
  if (!woken || closing_) return nullptr;
  auto connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void PostgresReaders::give_back(std::unique_ptr<PostgresConnection> connection) {
  {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(connection));
  }
  freed_.notify_all();
}

namespace {
// One snapshot for all statements, as a deferred transaction of SQLite has.
constexpr const char* kBegin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

Result<void> begin(PostgresConnection& connection) {
  if (connection.connected()) {
    const auto begun = connection.script(kBegin);
    if (begun) return {};
    if (connection.connected()) return std::unexpected(begun.error());
  }
  if (auto made = connection.connect(); !made) return made;
  const auto begun = connection.script(kBegin);
  if (!begun) return std::unexpected(begun.error());
  return {};
}

Result<void> read_in(PostgresConnection& connection, const PostgresReaders::Work& work) {
  if (auto begun = begin(connection); !begun) return begun;
  PostgresTransaction transaction(connection);
  Result<void> outcome;
  try {
    outcome = work(transaction);
  } catch (const std::exception& error) {
    outcome = fail(ErrorCode::internal_error, fmt::format("exception in a read: {}", error.what()));
  }
  if (connection.in_transaction() && !connection.script("ROLLBACK")) connection.disconnect();
  return outcome;
}
}  // namespace

Result<void> PostgresReaders::run(const Work& work) {
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

void PostgresReaders::close() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  freed_.notify_all();
  freed_.wait(lock, [&] { return idle_.size() == count_; });
  idle_.clear();
  count_ = 0;
}

}  // namespace ee::db
