#include "cp/jobs/billing_jobs.h"

#include <gtest/gtest.h>

#include "tests/support/billing_fixture.h"

namespace ee::cp {
namespace {

class BillingJobsTest : public testing::BillingTest {
 protected:
  const UtcTime ten_ = parse_rfc3339("2026-01-01T10:00:00.000Z").value();

  /// Takes the job as the runner does.
  JobLease acquire(const std::string& owner) {
    const auto row = db_->write<std::optional<JobRow>>([&](db::Transaction& tx) -> Result<std::optional<JobRow>> {
      if (auto made = JobStore().ensure(tx, "hourly_charging", UtcTime()); !made) return std::unexpected(made.error());
      return JobStore().acquire(tx, "hourly_charging", owner, clock_.now());
    });
    EXPECT_TRUE(row && *row);
    return {.name = "hourly_charging", .owner = owner, .fence = (*row)->lease_fence};
  }
};

TEST_F(BillingJobsTest, AreAsTheRegisterSays) {
  Charging pass = charging();
  FundsWatch funds({.database = *db_,
                    .deployments = deployments_,
                    .clock = clock_,
                    .random = random_,
                    .settings = [this] { return settings_; },
                    .metrics = metrics_});
  const JobDefinition charge_job = hourly_charging(pass);
  EXPECT_EQ(charge_job.kind, JobKind::singleton);
  EXPECT_EQ(charge_job.period(), Seconds(60));
  EXPECT_EQ(charge_job.timeout, Seconds(600));
  EXPECT_TRUE(charge_job.own_thread);
  const JobDefinition funds_job = insufficient_funds(funds);
  EXPECT_EQ(funds_job.period(), Seconds(60));
  EXPECT_EQ(funds_job.timeout, Seconds(55));
  const JobDefinition rollup = usage_rollup(*db_, clock_, [this] { return settings_; });
  EXPECT_EQ(rollup.period(), Seconds(3600));
  EXPECT_EQ(rollup.timeout, Seconds(600));
}

// covers: S04_BILL_CHG_003
TEST_F(BillingJobsTest, S04_BILL_CHG_003_AReplicaThatLostTheLeaseChargesNothing) {
  const AccountId payer = add_account(1);
  insert(1, {.account = payer, .from = ten_});
  clock_.set_utc(ten_ + kHour + Seconds(300));
  Charging pass = charging();
  const JobDefinition job = hourly_charging(pass);
  const JobLease lost = acquire("first");
  clock_.advance(Seconds(31));
  const JobLease held = acquire("second");
  const auto context = [&](const JobLease& lease) {
    return JobContext{.stop = {}, .deadline = clock_.steady_now() + job.timeout, .lease = lease};
  };
  const auto refused = job.run(context(lost));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::concurrent_update);
  EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges"), 0);
  EXPECT_EQ(number("SELECT COUNT(*) FROM billing_hours"), 0);
  const auto done = job.run(context(held));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->value("rows"), 1);
}

}  // namespace
}  // namespace ee::cp
