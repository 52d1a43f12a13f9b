#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <stop_token>
#include <string>

#include "common/clock.h"
#include "cp/store/meta_store.h"
#include "db/migrations.h"
#include "db/start_error.h"

/// Copies of the SQLite database and the way back (05 section 3.5).
namespace ee::cp {

/// What lies beside a backup `F` as `F.json`.
struct BackupFacts {
  std::int64_t schema_version = 0;
  std::string app_version = {};
  UtcTime created_at = {};
  std::string sha256 = {};  ///< of F, hex
  std::int64_t bytes = 0;
  std::string instance_id = {};
  std::string env = {};
};
BOOST_DESCRIBE_STRUCT(BackupFacts, (), (schema_version, app_version, created_at, sha256, bytes, instance_id, env))

std::filesystem::path facts_path(const std::filesystem::path& backup);

/// Copies the database to `to`, also while it is being served, by this process or another: 256 pages at a time. Both
/// files are whole or not there. Errors, exit 4: `database_open_failed`, `backup_failed`.
std::expected<BackupFacts, db::StartError> make_backup(const std::filesystem::path& database,
                                                       const std::filesystem::path& to, std::string_view app_version,
                                                       const Clock& clock, const std::stop_token& stop);

/// How a backup comes back.
struct RestoreOptions {
  std::filesystem::path from;
  std::filesystem::path database;
  db::DatabaseIdentity identity = {};  ///< whose database it must be
  int newest_schema = 0;               ///< that this program knows
  bool force = false;                  ///< an existing database is kept as `PATH.replaced-<Unix time>`
};

struct RestoreReport {
  BackupFacts facts = {};
  std::filesystem::path replaced = {};  ///< empty: there was none
};

/// Puts a backup in the database's place. It is checked before (digest, integrity, foreign keys, schema version,
/// environment and cluster), and the file at `database` is the old one or the new one at every moment. Notes
/// `restored_at` (challenges given before are void) and holds the removal of what is unknown for a day. Errors, exit
/// 4: `database_in_use`, `database_exists`, `backup_invalid`, `database_newer_than_binary`, `restore_failed`; exit 6:
/// `environment_mismatch`.
std::expected<RestoreReport, db::StartError> restore_backup(const RestoreOptions& options, const Clock& clock);

/// Removes the oldest backups `easyenclave-<time>.db` of a directory, so that `keep` remain; other files are left
/// alone. Answers how many were removed.
std::int64_t remove_old_backups(const std::filesystem::path& directory, std::int64_t keep);
/// The name of a backup that is made at `now`.
std::string backup_name(UtcTime now);

}  // namespace ee::cp
