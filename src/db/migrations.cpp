#include "db/migrations.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/id.h"
#include "db/sqlite_backup.h"
#include "db/sqlite_connection.h"
#include "db/sqlite_database.h"

namespace ee::db {

namespace {
constexpr int kBackupsKept = 3;
constexpr std::string_view kNowToken = "@now_ms@";
constexpr std::string_view kWithoutRowidToken = "@without_rowid@";
constexpr std::string_view kNowOfSqlite = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS BIGINT)";

constexpr const char* kBookkeeping = R"sql(
  CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,
    checksum TEXT NOT NULL, applied_at BIGINT NOT NULL, duration_ms BIGINT NOT NULL, app_version TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);)sql";

struct AppliedMigration {
  int version = 0;
  std::string checksum;
};
BOOST_DESCRIBE_STRUCT(AppliedMigration, (), (version, checksum))

std::string checksum_of(const Migration& migration) { return to_hex(sha256(bytes_of(migration.sql))); }

void replace_all(std::string& text, std::string_view token, std::string_view by) {
  for (auto at = text.find(token); at != std::string::npos; at = text.find(token, at)) {
    text.replace(at, token.size(), by);
    at += by.size();
  }
}

std::string for_sqlite(std::string_view sql) {
  std::string text(sql);
  replace_all(text, kNowToken, kNowOfSqlite);
  replace_all(text, kWithoutRowidToken, "WITHOUT ROWID");
  return text;
}

StartError refused(std::string code, std::string detail) {
  return {.code = std::move(code), .exit_code = 4, .detail = std::move(detail)};
}

/// While it lives the connection refuses to compile BEGIN, COMMIT, ROLLBACK and savepoints.
class NoTransactionControl {
 public:
  explicit NoTransactionControl(SqliteConnection& connection) : connection_(connection) {
    sqlite3_set_authorizer(connection_.raw(), &decide, nullptr);
  }
  NoTransactionControl(const NoTransactionControl&) = delete;
  NoTransactionControl& operator=(const NoTransactionControl&) = delete;
  ~NoTransactionControl() { sqlite3_set_authorizer(connection_.raw(), nullptr, nullptr); }

 private:
  static int decide(void*, int action, const char*, const char*, const char*, const char*) {
    return action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT ? SQLITE_DENY : SQLITE_OK;
  }
  SqliteConnection& connection_;
};

class Runner {
 public:
  Runner(SqliteConnection& connection, std::span<const Migration> migrations, const DatabaseIdentity& identity)
      : connection_(connection), transaction_(connection), migrations_(migrations), identity_(identity) {}

  /// What is there, and whether this program may have it. Fills `report_.from` and `report_.to`.
  std::optional<StartError> inspect();
  std::optional<StartError> back_up(const std::filesystem::path& path);
  std::optional<StartError> apply(const Clock& clock);
  std::optional<StartError> sign(const Clock& clock, Random& random);
  MigrationReport& report() { return report_; }
  bool pending() const { return report_.to > report_.from; }

 private:
  std::optional<StartError> check_owner();
  std::optional<StartError> check_applied(const std::vector<AppliedMigration>& applied);
  std::optional<StartError> apply_one(const Migration& migration, const Clock& clock);
  Result<std::optional<std::string>> meta(std::string_view key) {
    return transaction_.query_one<std::string>("SELECT value FROM meta WHERE key = :key", {{"key", key}});
  }
  static StartError broken(const Error& error) { return refused("migration_failed", error.detail); }

  SqliteConnection& connection_;
  SqliteTransaction transaction_;
  std::span<const Migration> migrations_;
  const DatabaseIdentity& identity_;
  MigrationReport report_;
};

std::optional<StartError> Runner::inspect() {
  for (std::size_t i = 0; i < migrations_.size(); ++i) {
    if (migrations_[i].version != static_cast<int>(i) + 1) {
      return refused("migration_gap", fmt::format("the program has no migration {}", i + 1));
    }
  }
  report_.to = static_cast<int>(migrations_.size());
  const auto tables = transaction_.query<std::string>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
  if (!tables) return broken(tables.error());
  if (tables->empty()) return std::nullopt;
  if (std::ranges::find(*tables, "schema_migrations") == tables->end() ||
      std::ranges::find(*tables, "meta") == tables->end()) {
    return refused("database_not_ours", "the file holds tables, but not those of this program");
  }
  if (auto problem = check_owner()) return problem;
  const auto applied =
      transaction_.query<AppliedMigration>("SELECT version, checksum FROM schema_migrations ORDER BY version");
  if (!applied) return broken(applied.error());
  return check_applied(*applied);
}

std::optional<StartError> Runner::check_owner() {
  for (const auto& [key, wanted] : {std::pair{"ee_env", &identity_.env}, {"ee_cluster_id", &identity_.cluster_id}}) {
    const auto found = meta(key);
    if (!found) return broken(found.error());
    if (*found && **found != *wanted) {
      return StartError{.code = "environment_mismatch",
                        .exit_code = 6,
                        .detail = fmt::format("{} of the database is {}, this process has {}", key, **found, *wanted)};
    }
  }
  return std::nullopt;
}

std::optional<StartError> Runner::check_applied(const std::vector<AppliedMigration>& applied) {
  for (std::size_t i = 0; i < applied.size(); ++i) {
    if (applied[i].version != static_cast<int>(i) + 1) {
      return refused("migration_gap", fmt::format("version {} of the database is missing", i + 1));
    }
  }
  if (applied.size() > migrations_.size()) {
    return refused("database_newer_than_binary", fmt::format("the database has version {}, this program knows {}",
                                                             applied.size(), migrations_.size()));
  }
  for (std::size_t i = 0; i < applied.size(); ++i) {
    if (applied[i].checksum != checksum_of(migrations_[i])) {
      return refused("migration_checksum_mismatch",
                     fmt::format("version {} ({}) was changed after it was applied", i + 1, migrations_[i].name));
    }
  }
  report_.from = static_cast<int>(applied.size());
  return std::nullopt;
}

/// Removes all but the newest of PATH.pre-N.
void remove_old_backups(const std::filesystem::path& path) {
  const std::string prefix = path.filename().string() + ".pre-";
  std::map<int, std::filesystem::path> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::absolute(path).parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    int version = 0;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + prefix.size(), end, version);
    if (parsed.ec == std::errc() && parsed.ptr == end) found.emplace(version, entry.path());
  }
  for (auto it = found.begin(); it != found.end() && found.size() > kBackupsKept; it = found.erase(it)) {
    std::filesystem::remove(it->second, error);
  }
}

std::optional<StartError> Runner::back_up(const std::filesystem::path& path) {
  if (report_.from == 0 || !pending()) return std::nullopt;
  // Another connection: this one holds the transaction.
  auto source = SqliteConnection::open(path, ConnectionRole::maintenance, {});
  if (!source) return source.error();
  const std::filesystem::path to = fmt::format("{}.pre-{}", path.string(), report_.to);
  if (auto problem = copy_database(**source, to)) return refused("migration_backup_failed", *problem);
  report_.backup = to;
  remove_old_backups(path);
  return std::nullopt;
}

std::optional<StartError> Runner::apply(const Clock& clock) {
  if (const auto made = connection_.script(kBookkeeping); !made) return broken(made.error());
  for (const Migration& migration : migrations_.subspan(static_cast<std::size_t>(report_.from))) {
    if (auto problem = apply_one(migration, clock)) return problem;
  }
  if (!pending()) return std::nullopt;
  const auto dangling = transaction_.query<std::string>("SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1");
  if (!dangling) return broken(dangling.error());
  if (!dangling->empty()) {
    return refused("migration_failed", fmt::format("rows of {} refer to nothing afterwards", dangling->front()));
  }
  return std::nullopt;
}

std::optional<StartError> Runner::apply_one(const Migration& migration, const Clock& clock) {
  const auto start = clock.steady_now();
  const auto done = [&] {
    const NoTransactionControl guard(connection_);
    return connection_.script(for_sqlite(migration.sql));
  }();
  if (!done) {
    return refused("migration_failed",
                   fmt::format("version {} ({}): {}", migration.version, migration.name, done.error().detail));
  }
  const auto took = std::chrono::duration_cast<Milliseconds>(clock.steady_now() - start);
  const auto noted = transaction_.execute(
      "INSERT INTO schema_migrations (version, name, checksum, applied_at, duration_ms, app_version) "
      "VALUES (:version, :name, :checksum, :now, :took, :app_version)",
      {{"version", migration.version},
       {"name", migration.name},
       {"checksum", checksum_of(migration)},
       {"now", clock.now()},
       {"took", took.count()},
       {"app_version", identity_.app_version}});
  if (!noted) return broken(noted.error());
  return std::nullopt;
}

std::optional<StartError> Runner::sign(const Clock& clock, Random& random) {
  const auto instance_id = new_uuid_v7(clock.now(), random);
  if (!instance_id) return refused("migration_failed", "no random numbers for the instance id");
  const std::map<std::string_view, std::string> wanted = {{"instance_id", *instance_id},
                                                          {"created_by_version", identity_.app_version},
                                                          {"ee_env", identity_.env},
                                                          {"ee_cluster_id", identity_.cluster_id}};
  for (const auto& [key, value] : wanted) {
    const auto done =
        transaction_.execute("INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING",
                             {{"key", key}, {"value", value}});
    if (!done) return broken(done.error());
  }
  const auto found = meta("instance_id");
  if (!found) return broken(found.error());
  report_.instance_id = found->value_or("");
  return std::nullopt;
}

StartError lock_failure(const SqliteConnection& connection) {
  return refused("migration_failed", fmt::format("cannot lock the database: {}", connection.last_message()));
}

}  // namespace

std::expected<MigrationReport, StartError> migrate(SqliteConnection& connection, const std::filesystem::path& path,
                                                   std::span<const Migration> migrations,
                                                   const DatabaseIdentity& identity, const Clock& clock,
                                                   Random& random) {
  if (connection.control("BEGIN EXCLUSIVE") != 0) return std::unexpected(lock_failure(connection));
  Runner runner(connection, migrations, identity);
  std::optional<StartError> problem = runner.inspect();
  if (!problem) problem = runner.back_up(path);
  if (!problem) problem = runner.apply(clock);
  if (!problem) problem = runner.sign(clock, random);
  if (!problem && connection.control("COMMIT") != 0) {
    problem = refused("migration_failed", fmt::format("COMMIT: {}", connection.last_message()));
  }
  if (!problem) return runner.report();
  if (connection.in_transaction()) connection.control("ROLLBACK");
  return std::unexpected(std::move(*problem));
}

std::expected<MigrationReport, StartError> migrate(SqliteDatabase& database, std::span<const Migration> migrations,
                                                   const DatabaseIdentity& identity, const Clock& clock,
                                                   Random& random) {
  std::expected<MigrationReport, StartError> report;
  database.with_maintenance([&](SqliteConnection& connection) {
    report = migrate(connection, database.path(), migrations, identity, clock, random);
  });
  return report;
}

std::expected<MigrationReport, StartError> plan_migrations(SqliteDatabase& database,
                                                           std::span<const Migration> migrations,
                                                           const DatabaseIdentity& identity) {
  std::expected<MigrationReport, StartError> report;
  database.with_maintenance([&](SqliteConnection& connection) {
    Runner runner(connection, migrations, identity);
    if (auto problem = runner.inspect()) {
      report = std::unexpected(std::move(*problem));
    } else {
      report = runner.report();
    }
  });
  return report;
}

}  // namespace ee::db
