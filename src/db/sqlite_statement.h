#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "db/database.h"

namespace soci {
class session;
}

namespace ee::db {

/// One prepared statement of one connection, executed many times. SOCI wants fixed places to exchange values with;
/// they live here and are rebuilt when the kinds of the parameters or columns change. Every function may throw
/// std::exception (what the engine refused, or a parameter that the statement does not have); the statement is usable
/// again afterwards.
class SqliteStatement {
 public:
  /// `session` must outlive it. Throws when `sql` does not compile or holds more than one statement.
  SqliteStatement(soci::session& session, std::string_view sql);
  ~SqliteStatement();
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  RawRows query(const Params& params, const std::vector<ColumnType>& types);
  /// Number of rows changed.
  std::int64_t change(const Params& params);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ee::db
