#include <fmt/format.h>

#include "common/log.h"
#include "common/metrics.h"
#include "cp/jobs/maintenance_jobs.h"
#include "cp/service/backups.h"
#include "cp/service/ledger_check.h"
#include "cp/store/audit_log_store.h"
#include "db/sqlite_database.h"

namespace ee::cp {

namespace {
constexpr std::int64_t kWalBytesMax = 256LL * 1024 * 1024;
constexpr std::int64_t kChainRowsAtOnce = 1000;
constexpr std::size_t kFindingsNoted = 5;

/// Where the audit log's chain is broken; nothing when it holds or the token fired.
Result<std::optional<std::string>> check_chain(db::Database& database, const JobContext& context, JobSummary& summary) {
  AuditChainCheck chain;
  for (bool more = true; more && !context.stop.stop_requested();) {
    const auto stepped = database.read<bool>([&](db::Transaction& tx) { return chain.step(tx, kChainRowsAtOnce); });
    if (!stepped) return std::unexpected(stepped.error());
    more = *stepped;
  }
  summary.stopped = context.stop.stop_requested();
  summary.count("audit_rows", chain.rows());
  return chain.broken_at();
}
}  // namespace

JobDefinition wal_checkpoint(db::SqliteDatabase& database) {
  return {.name = "wal_checkpoint",
          .period = every(Seconds(300)),
          .timeout = Seconds(30),
          .run = [&database](const JobContext&) -> Result<JobSummary> {
            const bool large = database.wal_bytes() > kWalBytesMax;
            if (large) log::warn("database", "the write-ahead log is large", {{"bytes", database.wal_bytes()}});
            const auto done = database.checkpoint(large ? db::CheckpointMode::restart : db::CheckpointMode::passive);
            if (!done) return std::unexpected(done.error());
            JobSummary summary;
            summary.count("pages_in_log", done->pages_in_log);
            summary.count("pages_moved", done->pages_moved);
            return summary;
          }};
}

JobDefinition db_backup(BackupPlan plan, const Clock& clock) {
  auto period = plan.period;
  return {.name = "db_backup",
          .period = std::move(period),
          .timeout = Seconds(1800),
          .run = [plan = std::move(plan), &clock](const JobContext& context) -> Result<JobSummary> {
            JobSummary summary;
            summary.skipped = plan.directory.empty();
            if (summary.skipped) return summary;
            std::error_code error;
            if (std::filesystem::create_directories(plan.directory, error))
              std::filesystem::permissions(plan.directory, std::filesystem::perms::owner_all, error);
            const auto to = plan.directory / backup_name(clock.now());
            const auto made = make_backup(plan.database, to, plan.app_version, clock, context.stop);
            if (!made) return fail(ErrorCode::internal_error, made.error().code + ": " + made.error().detail);
            summary.count("bytes", made->bytes);
            summary.count("removed", remove_old_backups(plan.directory, plan.keep()));
            return summary;
          }};
}

JobDefinition db_check(db::ServedDatabase& database, metrics::Registry& metrics, LedgerCheck* ledger) {
  const auto failures = metrics.gauge("ee_db_check_failures", "Findings of the last database check.");
  return {.name = "db_check",
          .period = every(Seconds(86400)),
          .timeout = Seconds(1800),
          .run = [&database, failures, ledger](const JobContext& context) -> Result<JobSummary> {
            JobSummary summary;
            auto findings = database.check(context.stop);
            if (!findings) return std::unexpected(findings.error());
            const auto broken = check_chain(database, context, summary);
            if (!broken) return std::unexpected(broken.error());
            if (*broken) findings->push_back("the audit log's chain is broken at " + **broken);
            if (ledger != nullptr) {
              const auto different = ledger->full_pass(context.stop, summary);
              if (!different) return std::unexpected(different.error());
              for (const LedgerFinding& finding : *different)
                findings->push_back(fmt::format("the ledger is not sound: {} {}{}", finding.what, finding.account_id,
                                                finding.group_id));
            }
            failures.set(static_cast<double>(findings->size()));
            for (const std::string& finding : *findings) {
              log::error("database", "the database check found damage", {{"finding", finding}});
              if (summary.notes.size() < kFindingsNoted) summary.notes.push_back(finding);
            }
            summary.count("findings", static_cast<std::int64_t>(findings->size()));
            return summary;
          }};
}

}  // namespace ee::cp
