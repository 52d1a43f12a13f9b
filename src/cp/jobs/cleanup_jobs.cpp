#include <algorithm>

#include "cp/jobs/maintenance_jobs.h"
#include "cp/store/attestation_audit_store.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/idempotency_store.h"
#include "cp/store/nonce_store.h"
#include "cp/store/observed_store.h"
#include "cp/store/stripe_event_store.h"

namespace ee::cp {

namespace {
constexpr std::int64_t kNoncesAtOnce = 1000;
constexpr int kNonceStatements = 20;
constexpr std::int64_t kRowsAtOnce = 1000;
constexpr std::int64_t kAttestationRowsAtOnce = 5000;
constexpr std::int64_t kRetentionDaysMin = 90;
constexpr std::chrono::days kObservedKept{90};

using Delete = std::function<Result<std::int64_t>(db::Transaction&)>;

/// Deletes batch by batch, each in a transaction of its own, until a batch is not full, the token fires or
/// `batches_max` have been done (0: no bound but the time-out).
Result<JobSummary> delete_in_batches(db::Database& database, const JobContext& context, std::int64_t batch,
                                     int batches_max, const Delete& work) {
  JobSummary summary;
  std::int64_t deleted = 0;
  for (int done = 0; batches_max == 0 || done < batches_max; ++done) {
    if (context.stop.stop_requested()) {
      summary.stopped = true;
      break;
    }
    const auto count = database.write<std::int64_t>(work);
    if (!count) return std::unexpected(count.error());
    deleted += *count;
    if (*count < batch) break;
  }
  summary.count("deleted", deleted);
  return summary;
}

UtcTime retention_limit(const Clock& clock, const std::function<std::int64_t()>& days) {
  return clock.now() - std::chrono::days(std::max(days(), kRetentionDaysMin));
}
}  // namespace

JobDefinition nonce_cleanup(db::Database& database, const Clock& clock) {
  return {.name = "nonce_cleanup",
          .period = every(Seconds(60)),
          .timeout = Seconds(10),
          .run = [&database, &clock](const JobContext& context) {
            return delete_in_batches(database, context, kNoncesAtOnce, kNonceStatements, [&](db::Transaction& tx) {
              return NonceStore().remove_expired(tx, clock.now(), kNoncesAtOnce);
            });
          }};
}

JobDefinition idempotency_cleanup(db::Database& database, const Clock& clock) {
  return {.name = "idempotency_cleanup",
          .period = every(Seconds(3600)),
          .timeout = Seconds(60),
          .run = [&database, &clock](const JobContext& context) {
            return delete_in_batches(database, context, kRowsAtOnce, 0, [&](db::Transaction& tx) {
              return IdempotencyStore().remove_expired(tx, clock.now(), kRowsAtOnce);
            });
          }};
}

JobDefinition stripe_event_retention(db::Database& database, const Clock& clock) {
  return {.name = "stripe_event_retention",
          .period = every(Seconds(86400)),
          .timeout = Seconds(600),
          .run = [&database, &clock](const JobContext& context) {
            return delete_in_batches(database, context, kRowsAtOnce, 0, [&](db::Transaction& tx) {
              return StripeEventStore().remove_before(tx, clock.now() - kStripeEventsKept, kRowsAtOnce);
            });
          }};
}

JobDefinition audit_retention(db::Database& database, const Clock& clock,
                              std::function<std::int64_t()> retention_days) {
  return {.name = "audit_retention",
          .period = every(Seconds(86400)),
          .timeout = Seconds(600),
          .run = [&database, &clock, days = std::move(retention_days)](const JobContext& context) {
            return delete_in_batches(database, context, kRowsAtOnce, 0, [&](db::Transaction& tx) {
              return AuditLogStore().remove_before(tx, retention_limit(clock, days), kRowsAtOnce);
            });
          }};
}

JobDefinition attestation_audit_retention(db::Database& database, const Clock& clock,
                                          std::function<std::int64_t()> retention_days) {
  return {.name = "attestation_audit_retention",
          .period = every(Seconds(86400)),
          .timeout = Seconds(600),
          .run = [&database, &clock, days = std::move(retention_days)](const JobContext& context) {
            return delete_in_batches(
                database, context, kAttestationRowsAtOnce, 0, [&](db::Transaction& tx) -> Result<std::int64_t> {
                  const auto audit =
                      AttestationAuditStore().remove_before(tx, retention_limit(clock, days), kAttestationRowsAtOnce);
                  if (!audit) return audit;
                  const auto observed =
                      ObservedStore().remove_unseen(tx, clock.now() - kObservedKept, kAttestationRowsAtOnce);
                  if (!observed) return observed;
                  return *audit + *observed;
                });
          }};
}

}  // namespace ee::cp
