#include "cp/jobs/maintenance_jobs.h"

#include <gmock/gmock.h>

#include "cp/jobs/job_fixture.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/nonce_store.h"
#include "tests/support/test_trigger.h"

namespace ee::cp {
namespace {

using job_test::JobTest;

class MaintenanceJobsTest : public JobTest {
 protected:
  // The guard of the audit tables asks the real clock.
  MaintenanceJobsTest() { clock_.set_utc(SystemClock().now()); }

  JobSummary run(const JobDefinition& job, std::stop_token stop = {}) {
    const auto result = job.run({.stop = std::move(stop), .deadline = clock_.steady_now() + job.timeout, .lease = {}});
    EXPECT_TRUE(result) << result.error().detail;
    return result.value_or(JobSummary{});
  }
  std::int64_t count(const std::string& table) { return db_.value<std::int64_t>("SELECT count(*) FROM " + table); }
  /// `rows` rows made by the engine: `columns` is a SELECT list over `i`.
  void fill(const std::string& into, const std::string& columns, int rows, const db::Params& params) {
    db::Params all = params;
    all.emplace_back("rows", rows);
    db_.execute("INSERT INTO " + into +
                    " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) "
                    "SELECT " +
                    columns + " FROM n",
                all);
  }
};

TEST_F(MaintenanceJobsTest, NonceCleanUpDeletesAtMostTwentyThousandARun) {
  fill("attestation_nonces (nonce_hash, purpose, vm_name, expires_at, consumed_at, consumed_by)",
       "i, 'register', 'v', :at, 0, 'r'", 20500, {{"at", clock_.now() - Seconds(3601)}});
  fill("attestation_nonces (nonce_hash, purpose, vm_name, expires_at, consumed_at, consumed_by)",
       "-i, 'register', 'v', :at, 0, 'r'", 3, {{"at", clock_.now() - Seconds(3600)}});
  const JobDefinition job = nonce_cleanup(*db_, clock_);
  EXPECT_EQ(job.period(), Seconds(60));
  EXPECT_EQ(run(job).value("deleted"), 20000);
  EXPECT_EQ(run(job).value("deleted"), 500);
  EXPECT_EQ(run(job).value("deleted"), 0);
  EXPECT_EQ(count("attestation_nonces"), 3);
}

TEST_F(MaintenanceJobsTest, ACleanUpThatIsStoppedSaysSo) {
  fill("attestation_nonces (nonce_hash, purpose, vm_name, expires_at, consumed_at, consumed_by)",
       "i, 'register', 'v', 0, 0, 'r'", 10, {});
  std::stop_source stop;
  stop.request_stop();
  const JobSummary summary = run(nonce_cleanup(*db_, clock_), stop.get_token());
  EXPECT_TRUE(summary.stopped);
  EXPECT_EQ(count("attestation_nonces"), 10);
}

TEST_F(MaintenanceJobsTest, IdempotencyCleanUpDeletesEverythingExpired) {
  const std::string table =
      "idempotency_keys (principal, method, path, key, body_sha256, status, response, created_at, expires_at)";
  fill(table, "'p', 'POST', '/', i, 'b', 200, '{}', 0, :at", 2500, {{"at", clock_.now()}});
  fill(table, "'p', 'POST', '/', -i, 'b', 200, '{}', 0, :at", 2, {{"at", clock_.now() + Milliseconds(1)}});
  EXPECT_EQ(run(idempotency_cleanup(*db_, clock_)).value("deleted"), 2500);
  EXPECT_EQ(count("idempotency_keys"), 2);
}

TEST_F(MaintenanceJobsTest, AuditRetentionFollowsTheSettingButNeverBelowNinetyDays) {
  const AuditLogStore audit;
  const auto append = [&](int days_ago) {
    ASSERT_TRUE(db_->write<std::string>([&](db::Transaction& tx) {
      return audit.append(tx, {.actor = "system:x", .action = std::to_string(days_ago)},
                          clock_.now() - std::chrono::days(days_ago), random_);
    }));
  };
  for (const int days_ago : {500, 401, 399, 91, 89, 1}) append(days_ago);
  std::int64_t days = 400;
  const JobDefinition job = audit_retention(*db_, clock_, [&] { return days; });
  EXPECT_EQ(run(job).value("deleted"), 2);
  days = 1;  // whatever the setting says
  EXPECT_EQ(run(job).value("deleted"), 2);
  EXPECT_THAT(db_.values<std::string>("SELECT action FROM audit_log ORDER BY at"), ::testing::ElementsAre("89", "1"));
}

TEST_F(MaintenanceJobsTest, AttestationAuditRetentionDeletesInBatches) {
  fill("attestation_audit (id, at, event, result)", "i, :at, 'policy_relaxed', 'info'", 6000,
       {{"at", clock_.now() - std::chrono::days(401)}});
  fill("attestation_audit (id, at, event, result)", "-i, :at, 'policy_relaxed', 'info'", 1, {{"at", clock_.now()}});
  EXPECT_EQ(run(attestation_audit_retention(*db_, clock_, [] { return 400; })).value("deleted"), 6000);
  EXPECT_EQ(count("attestation_audit"), 1);
}

TEST_F(MaintenanceJobsTest, TheCheckpointMovesTheLog) {
  EE_SKIP_ON_POSTGRES("its log");
  fill("meta (key, value)", "i, i", 100, {});
  const JobSummary summary = run(wal_checkpoint(db_.sqlite()));
  EXPECT_GT(summary.value("pages_in_log"), 0);
  EXPECT_EQ(summary.value("pages_moved"), summary.value("pages_in_log"));
}

TEST_F(MaintenanceJobsTest, TheCheckFindsABrokenAuditChain) {
  ASSERT_TRUE(db_->write<std::string>([&](db::Transaction& tx) {
    return AuditLogStore().append(tx, {.actor = "system:x", .action = "x"}, clock_.now(), random_);
  }));
  const JobDefinition job = db_check(*db_, metrics_);
  EXPECT_EQ(run(job).value("findings"), 0);
  EXPECT_EQ(run(job).value("audit_rows"), 1);
  EXPECT_TRUE(metric("ee_db_check_failures 0"));
  drop_trigger(db_, "audit_log_no_update", "audit_log");
  db_.execute("UPDATE audit_log SET actor='somebody'");
  const JobSummary broken = run(job);
  EXPECT_EQ(broken.value("findings"), 1);
  EXPECT_THAT(broken.notes, ::testing::ElementsAre(::testing::HasSubstr("chain")));
  EXPECT_TRUE(metric("ee_db_check_failures 1"));
}

}  // namespace
}  // namespace ee::cp
