#include "db/sqlite_codes.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace ee::db {

namespace {
constexpr int primary(int extended_code) { return extended_code & 0xff; }

ErrorCode code_of(int extended_code, std::optional<OnUnique> on_unique) {
  switch (extended_code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID: return on_unique ? on_unique->code : ErrorCode::concurrent_update;
    case SQLITE_CONSTRAINT_FOREIGNKEY: return ErrorCode::in_use;
    default: break;
  }
  switch (primary(extended_code)) {
    case SQLITE_INTERRUPT: return ErrorCode::database_timeout;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_CANTOPEN:
    case SQLITE_NOLFS: return ErrorCode::database_unavailable;
    default: return ends_transaction(extended_code) ? ErrorCode::database_unavailable : ErrorCode::internal_error;
  }
}
}  // namespace

bool ends_transaction(int extended_code) {
  switch (primary(extended_code)) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_READONLY:
    case SQLITE_NOMEM: return true;
    default: return false;
  }
}

Error sqlite_error(int extended_code, std::string_view message, std::optional<OnUnique> on_unique) {
  Error error{.code = code_of(extended_code, on_unique),
              .detail = fmt::format("SQLite {}: {}", extended_code, message)};
  if (error_info(error.code).http_status == 503) error.retry_after = std::chrono::seconds(1);
  return error;
}

}  // namespace ee::db
