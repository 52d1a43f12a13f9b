#pragma once
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "cp/domain/config.h"
#include "db/migrations.h"
#include "db/served_database.h"

namespace ee::cp {

/// Opens the database of the configuration, SQLite or PostgreSQL. `clock` and `observer` (may be null) must outlive it.
/// Errors: those of db::SqliteDatabase::open and db::PostgresDatabase::open.
std::expected<std::unique_ptr<db::ServedDatabase>, db::StartError> open_database(const Config& config,
                                                                                 const Clock& clock,
                                                                                 db::WriteObserver* observer = nullptr);
db::DatabaseIdentity database_identity(const Config& config);

/// Audits that guards had been removed: `ledger_guard_missing` for those of the ledger, `audit_guard_missing` for those
/// of the audit tables; one row each.
Result<void> audit_restored_guards(db::Database& database, std::span<const std::string> guards, const Clock& clock,
                                   Random& random);

/// What a maintenance command of the program says and ends with (exit codes: 05 section 1.1): lines for standard
/// output, or for standard error when the exit code is not 0.
struct ToolResult {
  int exit_code = 0;
  std::vector<std::string> lines = {};
};

/// `ee-cp ledger rebuild-balances`: recomputes the balances from the ledger's lines and says which changed. On SQLite
/// only while the server is stopped; on PostgreSQL all replicas' writes wait for it. Exit codes: 4 when the database
/// cannot be opened (`database_in_use`: the server runs), 1 when the work failed; nothing was changed then.
ToolResult rebuild_ledger_balances(const Config& config, const Clock& clock, Random& random);

}  // namespace ee::cp
