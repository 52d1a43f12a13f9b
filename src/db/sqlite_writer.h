#pragma once
#include <memory>
#include <optional>
#include <string_view>

#include "db/group_writer.h"
#include "db/sqlite_connection.h"

namespace ee::db {

/// Stores groups in SQLite: BEGIN IMMEDIATE, a savepoint for each item, one COMMIT.
class SqliteWriteEngine final : public WriteEngine {
 public:
  /// `observer` (may be null) must outlive it. COMMIT is tried until `busy_timeout` is over.
  SqliteWriteEngine(std::unique_ptr<SqliteConnection> connection, Milliseconds busy_timeout, Milliseconds slow_write,
                    WriteObserver* observer);
  std::optional<Error> store(WriteGroup& group) override;
  void abandon() override;

 private:
  std::optional<Error> run_in_transaction(WriteGroup& group);
  std::optional<Error> run_item(WriteItem& item);
  std::optional<Error> commit();
  Error failure(std::string_view step) const;

  const std::unique_ptr<SqliteConnection> connection_;
  const Milliseconds busy_timeout_;
  const Milliseconds slow_write_;
  WriteObserver* const observer_;
};

}  // namespace ee::db
