#pragma once
#include <expected>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "db/served_database.h"
#include "db/start_error.h"

namespace ee::db {

class SqliteConnection;

/// One step of the schema. `sql` may hold several statements and the tokens `@now_ms@` (the time) and
/// `@without_rowid@` (after a table whose rows lie in its primary key, where the engine has that); it may not begin or
/// end a transaction. Versions run from 1 without a gap; a published text never changes.
struct Migration {
  int version = 0;
  std::string_view name;
  std::string_view sql;
};

/// Whose database this is. Written at the first start; a later start with another `env` or `cluster_id` is refused, so
/// that a production file is never opened as a development one.
struct DatabaseIdentity {
  std::string env;
  std::string cluster_id;
  std::string app_version;
};

struct MigrationReport {
  int from = 0;  ///< the version found; 0 for an empty database
  int to = 0;
  std::optional<std::filesystem::path> backup = {};  ///< `PATH.pre-<to>`, when there was something to keep
  std::string instance_id = {};                      ///< UUID, made once
};

/// `sql` with the tokens replaced by what `engine` writes for them.
std::string expand_tokens(std::string_view sql, Engine engine);

/// Brings the schema up to the last of `migrations` and checks whose database it is (05 section 3.4), all in one
/// exclusive transaction: after an error the database is as before. Also keeps the tables `schema_migrations` and
/// `meta`. Of two starters at once one waits, for a bounded time, and finds everything done.
///
/// Errors, exit 4: `migration_gap`, `database_newer_than_binary`, `migration_checksum_mismatch`, `migration_failed`,
/// `migration_backup_failed`, `database_not_ours` (tables, but none of ours); exit 6: `environment_mismatch`.
std::expected<MigrationReport, StartError> migrate(ServedDatabase& database, std::span<const Migration> migrations,
                                                   const DatabaseIdentity& identity, const Clock& clock,
                                                   Random& random);

/// The same over one SQLite connection to the file `path`.
std::expected<MigrationReport, StartError> migrate(SqliteConnection& connection, const std::filesystem::path& path,
                                                   std::span<const Migration> migrations,
                                                   const DatabaseIdentity& identity, const Clock& clock,
                                                   Random& random);

/// What `migrate` would do; changes nothing. The same errors, less those of doing it.
std::expected<MigrationReport, StartError> plan_migrations(ServedDatabase& database,
                                                           std::span<const Migration> migrations,
                                                           const DatabaseIdentity& identity);

}  // namespace ee::db
