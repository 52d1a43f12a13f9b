#include "db/migrations.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/id.h"
#include "db/sqlite_schema.h"

namespace ee::db {

namespace {
constexpr std::string_view kNowToken = "@now_ms@";
constexpr std::string_view kWithoutRowidToken = "@without_rowid@";
constexpr std::string_view kNowOfSqlite = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS BIGINT)";
constexpr std::string_view kNowOfPostgres = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

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

StartError refused(std::string code, std::string detail) {
  return {.code = std::move(code), .exit_code = 4, .detail = std::move(detail)};
}

class Runner {
 public:
  Runner(SchemaSession& session, std::span<const Migration> migrations, const DatabaseIdentity& identity)
      : session_(session), transaction_(session.transaction()), migrations_(migrations), identity_(identity) {}

  /// What is there, and whether this program may have it. Fills `report_.from` and `report_.to`.
  std::optional<StartError> inspect();
  std::optional<StartError> back_up();
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

  SchemaSession& session_;
  Transaction& transaction_;
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
  const auto tables = session_.tables();
  if (!tables) return broken(tables.error());
  if (tables->empty()) return std::nullopt;
  if (std::ranges::find(*tables, "schema_migrations") == tables->end() ||
      std::ranges::find(*tables, "meta") == tables->end()) {
    return refused("database_not_ours", "there are tables, but not those of this program");
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

std::optional<StartError> Runner::back_up() {
  if (report_.from == 0 || !pending()) return std::nullopt;
  auto made = session_.back_up(report_.to);
  if (!made) return std::move(made.error());
  report_.backup = std::move(*made);
  return std::nullopt;
}

std::optional<StartError> Runner::apply(const Clock& clock) {
  if (const auto made = session_.script(kBookkeeping); !made) return broken(made.error());
  for (const Migration& migration : migrations_.subspan(static_cast<std::size_t>(report_.from))) {
    if (auto problem = apply_one(migration, clock)) return problem;
  }
  if (!pending()) return std::nullopt;
  const auto dangling = session_.dangling_rows();
  if (!dangling) return broken(dangling.error());
  if (*dangling) return refused("migration_failed", fmt::format("rows of {} refer to nothing afterwards", **dangling));
  return std::nullopt;
}

std::optional<StartError> Runner::apply_one(const Migration& migration, const Clock& clock) {
  const auto start = clock.steady_now();
  const auto done = session_.script(migration.sql);
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

/// The work of `migrate` inside one schema session.
std::optional<StartError> bring_up(SchemaSession& session, std::span<const Migration> migrations,
                                   const DatabaseIdentity& identity, const Clock& clock, Random& random,
                                   MigrationReport& report) {
  Runner runner(session, migrations, identity);
  std::optional<StartError> problem = runner.inspect();
  if (!problem) problem = runner.back_up();
  if (!problem) problem = runner.apply(clock);
  if (!problem) problem = runner.sign(clock, random);
  if (!problem) report = runner.report();
  return problem;
}

}  // namespace

std::string expand_tokens(std::string_view sql, Engine engine) {
  std::string text(sql);
  const bool sqlite = engine == Engine::sqlite;
  replace_all(text, kNowToken, sqlite ? kNowOfSqlite : kNowOfPostgres);
  replace_all(text, kWithoutRowidToken, sqlite ? "WITHOUT ROWID" : "");
  return text;
}

std::expected<MigrationReport, StartError> migrate(SqliteConnection& connection, const std::filesystem::path& path,
                                                   std::span<const Migration> migrations,
                                                   const DatabaseIdentity& identity, const Clock& clock,
                                                   Random& random) {
  MigrationReport report;
  auto problem = run_schema_session(connection, path, true, [&](SchemaSession& session) {
    return bring_up(session, migrations, identity, clock, random, report);
  });
  if (problem) return std::unexpected(std::move(*problem));
  return report;
}

std::expected<MigrationReport, StartError> migrate(ServedDatabase& database, std::span<const Migration> migrations,
                                                   const DatabaseIdentity& identity, const Clock& clock,
                                                   Random& random) {
  MigrationReport report;
  auto problem = database.with_schema(ServedDatabase::SchemaAccess::change, [&](SchemaSession& session) {
    return bring_up(session, migrations, identity, clock, random, report);
  });
  if (problem) return std::unexpected(std::move(*problem));
  return report;
}

std::expected<MigrationReport, StartError> plan_migrations(ServedDatabase& database,
                                                           std::span<const Migration> migrations,
                                                           const DatabaseIdentity& identity) {
  MigrationReport report;
  auto problem = database.with_schema(ServedDatabase::SchemaAccess::look,
                                      [&](SchemaSession& session) -> std::optional<StartError> {
                                        Runner runner(session, migrations, identity);
                                        if (auto refusal = runner.inspect()) return refusal;
                                        report = runner.report();
                                        return std::nullopt;
                                      });
  if (problem) return std::unexpected(std::move(*problem));
  return report;
}

}  // namespace ee::db
