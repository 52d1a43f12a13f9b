#include "db/sqlite_writer.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <thread>

namespace ee::db {

namespace {
using Steady = std::chrono::steady_clock;
}

SqliteWriteEngine::SqliteWriteEngine(std::unique_ptr<SqliteConnection> connection, Milliseconds busy_timeout,
                                     Milliseconds slow_write, WriteObserver* observer)
    : connection_(std::move(connection)), busy_timeout_(busy_timeout), slow_write_(slow_write), observer_(observer) {}

void SqliteWriteEngine::abandon() {
  if (connection_->in_transaction()) connection_->control("ROLLBACK");
}

std::optional<Error> SqliteWriteEngine::store(WriteGroup& group) {
  if (connection_->control("BEGIN IMMEDIATE") != SQLITE_OK) return failure("BEGIN");
  std::optional<Error> failed = run_in_transaction(group);
  if (!failed) failed = commit();
  if (failed) abandon();
  return failed;
}

std::optional<Error> SqliteWriteEngine::run_in_transaction(WriteGroup& group) {
  for (const auto& item : group) {
    if (auto failed = run_item(*item)) return failed;
  }
  return std::nullopt;
}

/// An error only when the whole group is lost.
std::optional<Error> SqliteWriteEngine::run_item(WriteItem& item) {
  if (connection_->control("SAVEPOINT item") != SQLITE_OK) return failure("SAVEPOINT");
  SqliteTransaction transaction(*connection_);
  item.outcome = run_work(item.work, transaction, slow_write_, observer_);
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

std::optional<Error> SqliteWriteEngine::commit() {
  const auto give_up_at = Steady::now() + busy_timeout_;
  int code = connection_->control("COMMIT");
  while ((code & 0xff) == SQLITE_BUSY && Steady::now() < give_up_at) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    code = connection_->control("COMMIT");
  }
  if (code == SQLITE_OK) return std::nullopt;
  return failure("COMMIT");
}

Error SqliteWriteEngine::failure(std::string_view step) const {
  return Error{
      .code = ErrorCode::database_unavailable,
      .detail = fmt::format("{} failed: SQLite {}: {}", step, connection_->last_code(), connection_->last_message()),
      .retry_after = Seconds(1)};
}

}  // namespace ee::db
