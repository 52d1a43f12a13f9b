#include "db/postgres_codes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ee::db {

namespace {
// PostgreSQL 15, appendix A.
constexpr std::string_view kUniqueViolation = "23505";
constexpr std::string_view kForeignKeyViolation = "23503";
constexpr std::string_view kQueryCanceled = "57014";
constexpr std::string_view kSerializationFailure = "40001";
constexpr std::string_view kDeadlockDetected = "40P01";
/// A lock that was not given in time, a server in recovery (a standby after a change of primary).
constexpr std::array<std::string_view, 3> kUnavailable = {"55P03", "25006", "25P03"};
/// Connection, transaction rollback, resources, operator's intervention, the system, internal errors.
constexpr std::array<std::string_view, 6> kUnavailableClasses = {"08", "40", "53", "57", "58", "XX"};
constexpr std::string_view kDataClass = "22";

ErrorCode code_of(std::string_view sqlstate, std::optional<OnUnique> on_unique) {
  if (sqlstate == kUniqueViolation) return on_unique ? on_unique->code : ErrorCode::concurrent_update;
  if (sqlstate == kForeignKeyViolation) return ErrorCode::in_use;
  if (sqlstate == kQueryCanceled) return ErrorCode::database_timeout;
  const bool unavailable = std::ranges::find(kUnavailable, sqlstate) != kUnavailable.end() ||
                           std::ranges::find(kUnavailableClasses, sqlstate.substr(0, 2)) != kUnavailableClasses.end();
  return unavailable ? ErrorCode::database_unavailable : ErrorCode::internal_error;
}
}  // namespace

bool may_succeed_again(std::string_view sqlstate) {
  return sqlstate == kSerializationFailure || sqlstate == kDeadlockDetected;
}

Error postgres_error(std::string_view sqlstate, std::string_view message, std::optional<OnUnique> on_unique) {
  // "invalid input syntax for type bigint: ..." shows the value.
  const std::string_view shown = sqlstate.starts_with(kDataClass) ? "a value does not fit its type" : message;
  Error error{.code = code_of(sqlstate, on_unique), .detail = fmt::format("PostgreSQL {}: {}", sqlstate, shown)};
  if (error_info(error.code).http_status == 503) error.retry_after = std::chrono::seconds(1);
  return error;
}

}  // namespace ee::db
