#include "cp/service/backups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <vector>

#include "common/json.h"
#include "common/sha256_file.h"
#include "db/sqlite_backup.h"
#include "db/sqlite_connection.h"
#include "db/sqlite_files.h"

namespace ee::cp {
namespace {

namespace fs = std::filesystem;

constexpr int kPagesAtOnce = 256;
constexpr Milliseconds kPause{5};
constexpr std::size_t kMaxFactsBytes = 65536;

std::unexpected<db::StartError> refused(std::string code, std::string detail, int exit_code = 4) {
  return std::unexpected(db::StartError{.code = std::move(code), .exit_code = exit_code, .detail = std::move(detail)});
}
std::unexpected<db::StartError> refused(std::string code, const Error& error) {
  return refused(std::move(code), fmt::format("{}: {}", slug(error.code), error.detail));
}

template <class T>
Result<T> one(db::SqliteConnection& connection, std::string_view sql, const db::Params& params = {}) {
  db::SqliteTransaction tx(connection);
  auto found = static_cast<db::Transaction&>(tx).query_one<T>(sql, params);
  if (!found) return std::unexpected(found.error());
  return found->value_or(T{});
}

/// What a database says of itself.
Result<BackupFacts> facts_of(db::SqliteConnection& connection) {
  BackupFacts facts;
  const auto version = one<std::int64_t>(connection, "SELECT COALESCE(MAX(version), 0) FROM schema_migrations");
  if (!version) return std::unexpected(version.error());
  facts.schema_version = *version;
  for (const auto& [key, member] : {std::pair("instance_id", &facts.instance_id), std::pair("ee_env", &facts.env)}) {
    auto value =
        one<std::string>(connection, "SELECT value FROM meta WHERE key=:key", {{"key", std::string_view(key)}});
    if (!value) return std::unexpected(value.error());
    *member = std::move(*value);
  }
  return facts;
}

bool write_whole(const fs::path& path, const std::string& text) {
  const fs::path unfinished = path.string() + ".tmp";
  std::error_code error;
  fs::remove(unfinished, error);
  if (db::prepare_file(unfinished, true)) return false;
  {
    std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
    file << text;
    if (!file.flush()) return false;
  }
  if (!db::sync_file(unfinished)) return false;
  fs::rename(unfinished, path, error);
  return !error && db::sync_directory(fs::absolute(path).parent_path());
}

std::expected<BackupFacts, db::StartError> read_facts(const fs::path& backup) {
  const fs::path path = facts_path(backup);
  std::ifstream file(path, std::ios::binary);
  if (!file) return refused("backup_invalid", path.string() + " cannot be read");
  std::string text(kMaxFactsBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxFactsBytes) return refused("backup_invalid", path.string() + " is too long");
  auto facts = json::read<BackupFacts>(text);
  if (!facts) return refused("backup_invalid", fmt::format("{}: {}", path.string(), facts.error().detail));
  return std::move(*facts);
}

/// The backup is what its facts say, sound, and one that may be restored here.
std::expected<BackupFacts, db::StartError> checked(const RestoreOptions& options) {
  const auto facts = read_facts(options.from);
  if (!facts) return facts;
  const auto digest = sha256_file(options.from);
  if (!digest) return refused("backup_invalid", options.from.string() + " cannot be read");
  if (digest->bytes != facts->bytes || to_hex(digest->sha256) != facts->sha256)
    return refused("backup_invalid", "the file is not the one that its facts describe");
  if (facts->env != options.identity.env)
    return refused("environment_mismatch", fmt::format("a backup of {}, not of {}", facts->env, options.identity.env),
                   6);
  if (facts->schema_version > options.newest_schema)
    return refused("database_newer_than_binary", fmt::format("schema version {}, this program knows {}",
                                                             facts->schema_version, options.newest_schema));
  const auto findings = db::check_file(options.from);
  if (!findings) return refused("backup_invalid", findings.error());
  if (!findings->empty()) return refused("backup_invalid", findings->front());
  return facts;
}

/// What the restored database knows of having been restored.
Result<void> note_restore(db::SqliteConnection& connection, UtcTime now) {
  db::SqliteTransaction tx(connection);
  const MetaStore meta;
  if (const int began = connection.control("BEGIN IMMEDIATE"); began != 0)
    return fail(ErrorCode::database_unavailable, connection.last_message());
  if (auto done = meta.set(tx, kRestoredAtKey, std::to_string(unix_ms(now))); !done) return done;
  if (auto done = meta.set(tx, kReapHoldKey, std::to_string(unix_ms(now + kReapHold))); !done) return done;
  if (connection.control("COMMIT") != 0) return fail(ErrorCode::database_unavailable, connection.last_message());
  return connection.script("PRAGMA wal_checkpoint(TRUNCATE)");
}

/// Copies the backup beside the database, checks whose it is and notes the restore in it.
std::expected<fs::path, db::StartError> prepare_copy(const RestoreOptions& options, const Clock& clock) {
  fs::path copy = options.database.string() + ".restoring";
  std::error_code error;
  for (const char* end : {"", "-wal", "-shm"}) fs::remove(copy.string() + end, error);
  auto source = db::SqliteConnection::open(options.from, db::ConnectionRole::maintenance, {});
  if (!source) return std::unexpected(source.error());
  if (auto problem = db::copy_database(**source, copy)) return refused("restore_failed", *problem);
  source->reset();
  for (const char* end : {"-wal", "-shm"}) fs::remove(options.from.string() + end, error);
  auto target = db::SqliteConnection::open(copy, db::ConnectionRole::maintenance, {});
  if (!target) return std::unexpected(target.error());
  const auto cluster = one<std::string>(**target, "SELECT value FROM meta WHERE key='ee_cluster_id'");
  if (!cluster) return refused("restore_failed", cluster.error());
  if (*cluster != options.identity.cluster_id)
    return refused("environment_mismatch",
                   fmt::format("a backup of cluster {}, not of {}", *cluster, options.identity.cluster_id), 6);
  if (auto noted = note_restore(**target, clock.now()); !noted) return refused("restore_failed", noted.error());
  target->reset();
  for (const char* end : {"-wal", "-shm"}) fs::remove(copy.string() + end, error);
  if (!db::sync_file(copy)) return refused("restore_failed", copy.string() + ": cannot sync");
  return copy;
}

/// Moves an existing database away, with what its log still holds.
std::expected<fs::path, db::StartError> put_aside(const fs::path& database, const Clock& clock) {
  fs::path aside = fmt::format("{}.replaced-{}", database.string(), unix_ms(clock.now()) / 1000);
  if (auto old = db::SqliteConnection::open(database, db::ConnectionRole::maintenance, {})) {
    // Best effort: what cannot be moved into a damaged file stays beside it, under its new name.
    std::ignore = (*old)->script("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  std::error_code error;
  for (const char* end : {"-wal", ""}) {
    if (!fs::exists(database.string() + end)) continue;
    fs::rename(database.string() + end, aside.string() + end, error);
    if (error) return refused("restore_failed", fmt::format("{}: {}", database.string(), error.message()));
  }
  fs::remove(database.string() + "-shm", error);
  return aside;
}

}  // namespace

fs::path facts_path(const fs::path& backup) { return backup.string() + ".json"; }

std::expected<BackupFacts, db::StartError> make_backup(const fs::path& database, const fs::path& to,
                                                       std::string_view app_version, const Clock& clock,
                                                       const std::stop_token& stop) {
  if (!fs::exists(database)) return refused("database_open_failed", database.string() + " does not exist");
  std::error_code error;
  if (fs::weakly_canonical(to, error) == fs::weakly_canonical(database, error))
    return refused("backup_failed", "a backup cannot replace the database");
  auto source = db::SqliteConnection::open(database, db::ConnectionRole::reader, {});
  if (!source) return std::unexpected(source.error());
  auto facts = facts_of(**source);
  if (!facts) return refused("backup_failed", facts.error());
  facts->app_version = app_version;
  facts->created_at = clock.now();
  if (auto problem = db::copy_database(**source, to, {.pages = kPagesAtOnce, .pause = kPause, .stop = stop}))
    return refused("backup_failed", *problem);
  const auto digest = sha256_file(to);
  if (!digest) return refused("backup_failed", to.string() + " cannot be read again");
  facts->sha256 = to_hex(digest->sha256);
  facts->bytes = digest->bytes;
  if (!write_whole(facts_path(to), json::write(*facts) + "\n"))
    return refused("backup_failed", facts_path(to).string() + " cannot be written");
  return std::move(*facts);
}

std::expected<RestoreReport, db::StartError> restore_backup(const RestoreOptions& options, const Clock& clock) {
  const auto lock = db::DatabaseLock::take(options.database);
  if (!lock) return std::unexpected(lock.error());
  const bool exists = fs::exists(options.database);
  if (exists && !options.force)
    return refused("database_exists", options.database.string() + " exists; --force keeps it under another name");
  auto facts = checked(options);
  if (!facts) return std::unexpected(facts.error());
  const auto copy = prepare_copy(options, clock);
  if (!copy) return std::unexpected(copy.error());
  RestoreReport report{.facts = std::move(*facts)};
  if (exists) {
    auto aside = put_aside(options.database, clock);
    if (!aside) return std::unexpected(aside.error());
    report.replaced = std::move(*aside);
  }
  std::error_code error;
  fs::rename(*copy, options.database, error);
  if (error || !db::sync_directory(fs::absolute(options.database).parent_path()))
    return refused("restore_failed", fmt::format("{}: {}", options.database.string(), error.message()));
  return report;
}

std::string backup_name(UtcTime now) {
  std::string time = to_rfc3339(std::chrono::floor<Seconds>(now));
  std::erase_if(time, [](char c) { return c == '-' || c == ':' || c == '.'; });
  return "easyenclave-" + time + ".db";
}

std::int64_t remove_old_backups(const fs::path& directory, std::int64_t keep) {
  constexpr std::string_view kBegin = "easyenclave-";
  std::vector<fs::path> backups;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kBegin) && name.ends_with(".db") && name.size() == backup_name(UtcTime{}).size())
      backups.push_back(entry.path());
  }
  std::ranges::sort(backups, std::greater<>());  // the names are times
  std::int64_t removed = 0;
  for (std::size_t i = static_cast<std::size_t>(keep); i < backups.size(); ++i) {
    if (fs::remove(backups[i], error)) ++removed;
    fs::remove(facts_path(backups[i]), error);
  }
  return removed;
}

}  // namespace ee::cp
