#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "cp/jobs/job.h"
#include "db/database.h"

namespace ee::db {
class ServedDatabase;
class SqliteDatabase;
}  // namespace ee::db
namespace ee::metrics {
class Registry;
}

namespace ee::cp {

class LedgerCheck;

/// Jobs that keep tables small and the database sound (05 section 4.2). What they are given must outlive them.

/// Used nonces an hour past their expiry.
JobDefinition nonce_cleanup(db::Database& database, const Clock& clock);
/// Kept answers past their 24 h.
JobDefinition idempotency_cleanup(db::Database& database, const Clock& clock);
/// Rows of `audit_log` and `attestation_audit` older than `retention_days()` (setting `ops.audit_retention_days`);
/// never those of the last 90 days. The second one also forgets measurements that were not observed for 90 days.
JobDefinition audit_retention(db::Database& database, const Clock& clock, std::function<std::int64_t()> retention_days);
JobDefinition attestation_audit_retention(db::Database& database, const Clock& clock,
                                          std::function<std::int64_t()> retention_days);
/// Events of Stripe kStripeEventsKept after they were received. `clock` must not leap ahead: what is forgotten too
/// early could be handled twice.
JobDefinition stripe_event_retention(db::Database& database, const Clock& clock);
/// Moves the write-ahead log into the database; above 256 MiB with force.
JobDefinition wal_checkpoint(db::SqliteDatabase& database);
/// What `db_backup` works with.
struct BackupPlan {
  std::filesystem::path database;
  std::filesystem::path directory;  ///< made with mode 0700; empty: the job does nothing
  std::string app_version;
  std::function<std::int64_t()> keep;
  std::function<Milliseconds()> period;
};
/// A backup with its facts in the directory; then the oldest beyond `keep` go. A failed one removes nothing.
JobDefinition db_backup(BackupPlan plan, const Clock& clock);
/// What the engine finds (`ServedDatabase::check`), the audit log's chain, and a full pass of `ledger` (null: none).
/// Findings are logged as errors and counted in `ee_db_check_failures`.
JobDefinition db_check(db::ServedDatabase& database, metrics::Registry& metrics, LedgerCheck* ledger = nullptr);

}  // namespace ee::cp
