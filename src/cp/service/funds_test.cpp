#include "cp/service/funds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/billing_fixture.h"

namespace ee::cp {
namespace {

using ::testing::ElementsAre;

class FundsWatchTest : public testing::BillingTest {
 protected:
  const UtcTime ten_ = parse_rfc3339("2026-01-01T10:00:00.000Z").value();
  void SetUp() override { clock_.set_utc(ten_); }

  FundsWatch watch_{{.database = *db_,
                     .deployments = deployments_,
                     .clock = clock_,
                     .random = random_,
                     .settings = [this] { return settings_; },
                     .metrics = metrics_}};
  JobSummary watch() {
    const auto done = watch_.run({});
    EXPECT_TRUE(done) << done.error().detail;
    return done.value_or(JobSummary{});
  }
  std::string state(const AccountId& account) {
    return db_.value<std::string>("SELECT billing_state FROM account_balances WHERE account_id=:id", {{"id", account}});
  }
  void set_balance(const AccountId& account, std::int64_t micros) {
    db_.execute("UPDATE account_balances SET balance_micros=:micros, version=version+1 WHERE account_id=:id",
                {{"micros", micros}, {"id", account}});
  }
  std::vector<std::string> actions() {
    return db_.values<std::string>("SELECT action FROM audit_log WHERE action LIKE 'funds%' ORDER BY at, id");
  }
};

// covers: S04_BILL_FUND_003
TEST_F(FundsWatchTest, S04_BILL_FUND_003_GoesFromOkToLowGraceAndExhausted) {
  const AccountId payer = add_account(1, 24L * 180'000);
  open(deployment(1, payer));
  deployments_.live[payer] = {deployment_id(1)};
  watch();
  EXPECT_EQ(state(payer), "ok");
  clock_.advance(Seconds(1));
  watch();
  EXPECT_EQ(state(payer), "low");
  watch();
  EXPECT_THAT(actions(), ElementsAre("funds_low")) << "once per transition";
  clock_.set_utc(ten_ + 24 * kHour);
  EXPECT_EQ(watch().value("changed"), 1);
  EXPECT_EQ(state(payer), "grace");
  EXPECT_EQ(db_.value<UtcTime>("SELECT grace_ends_at FROM account_balances WHERE account_id=:id", {{"id", payer}}),
            ten_ + 25 * kHour);
  EXPECT_TRUE(deployments_.asked.empty());
  clock_.set_utc(ten_ + 25 * kHour - Milliseconds(1));
  EXPECT_EQ(watch().value("changed"), 0);
  clock_.advance(Milliseconds(1));
  watch();
  EXPECT_EQ(state(payer), "exhausted");
  EXPECT_THAT(deployments_.asked, ElementsAre(deployment_id(1)));
  EXPECT_THAT(deployments_.why, ElementsAre("insufficient_funds system:funds"));
  EXPECT_THAT(actions(), ElementsAre("funds_low", "funds_grace", "funds_exhausted"));
  EXPECT_NE(registry_.text().find("ee_accounts_by_billing_state{state=\"exhausted\"} 1"), std::string::npos);
}

// covers: S04_BILL_FUND_004
TEST_F(FundsWatchTest, S04_BILL_FUND_004_AnOverdraftHasNoGrace) {
  const AccountId payer = add_account(1, -25 * kUsd);
  open(deployment(1, payer));
  deployments_.live[payer] = {deployment_id(1)};
  watch();
  EXPECT_EQ(state(payer), "grace");
  set_balance(payer, -25 * kUsd - 1);
  watch();
  EXPECT_EQ(state(payer), "exhausted");
  EXPECT_EQ(deployments_.asked.size(), 1U);
  const AccountId deep = add_account(2, -100 * kUsd);
  open(deployment(2, deep));
  watch();
  EXPECT_EQ(state(deep), "exhausted") << "both transitions at once";
  EXPECT_EQ(audit_rows("funds_grace"), 2);
  EXPECT_EQ(audit_rows("funds_exhausted"), 2);
}

// covers: S04_BILL_FUND_005
TEST_F(FundsWatchTest, S04_BILL_FUND_005_ADepositRestoresAndStoppedDeploymentsStayStopped) {
  const AccountId payer = add_account(1, 0);
  open(deployment(1, payer));
  deployments_.live[payer] = {deployment_id(1)};
  watch();
  EXPECT_EQ(state(payer), "grace");
  set_balance(payer, 1);
  watch();
  EXPECT_EQ(state(payer), "low");
  EXPECT_EQ(db_.values<std::int64_t>("SELECT 1 FROM account_balances WHERE account_id=:id AND grace_ends_at IS NULL",
                                     {{"id", payer}})
                .size(),
            1U);
  set_balance(payer, 0);
  watch();
  EXPECT_EQ(state(payer), "grace");
  set_balance(payer, 30L * 180'000);
  watch();
  EXPECT_EQ(state(payer), "ok");
  set_balance(payer, -100 * kUsd);
  watch();
  EXPECT_EQ(state(payer), "exhausted");
  close(1);
  set_balance(payer, kUsd);
  watch();
  EXPECT_EQ(state(payer), "ok");
  EXPECT_THAT(deployments_.asked, ElementsAre(deployment_id(1)));
  EXPECT_TRUE(deployments_.live[payer].empty());
}

// covers: S04_BILL_FUND_006
TEST_F(FundsWatchTest, S04_BILL_FUND_006_ACrashOfTheTerminatorIsMadeUpFor) {
  const AccountId payer = add_account(1, -100 * kUsd);
  for (int n = 1; n <= 5; ++n) {
    open(deployment(n, payer));
    deployments_.live[payer].push_back(deployment_id(n));
  }
  deployments_.stops_until_crash = 2;
  EXPECT_FALSE(watch_.run({}));
  EXPECT_THAT(deployments_.asked, ElementsAre(deployment_id(5), deployment_id(4))) << "the newest first";
  EXPECT_EQ(state(payer), "exhausted");
  deployments_.stops_until_crash = -1;
  watch();
  EXPECT_THAT(deployments_.asked,
              ElementsAre(deployment_id(5), deployment_id(4), deployment_id(3), deployment_id(2), deployment_id(1)));
  watch();
  EXPECT_EQ(deployments_.asked.size(), 5U);
  EXPECT_EQ(audit_rows("funds_exhausted"), 1);
}

TEST_F(FundsWatchTest, OneAccountsTroubleDoesNotHinderTheOthers) {
  const AccountId first = add_account(1, -100 * kUsd);
  const AccountId second = add_account(2, 0);
  open(deployment(1, first));
  open(deployment(2, second));
  deployments_.live[first] = {deployment_id(1)};
  deployments_.stops_until_crash = 0;
  EXPECT_FALSE(watch_.run({}));
  EXPECT_EQ(state(second), "grace");
}

TEST_F(FundsWatchTest, OneDeploymentThatCannotBeStoppedDoesNotKeepTheOthersRunning) {
  const AccountId payer = add_account(1, -100 * kUsd);
  for (int n = 1; n <= 3; ++n) {
    open(deployment(n, payer));
    deployments_.live[payer].push_back(deployment_id(n));
  }
  deployments_.stuck = deployment_id(3);  // the newest, so the first to be asked
  EXPECT_FALSE(watch_.run({})) << "the job says that something is wrong";
  EXPECT_THAT(deployments_.asked, ElementsAre(deployment_id(2), deployment_id(1)));
  deployments_.stuck.reset();
  EXPECT_EQ(watch().value("stops"), 1);
}

TEST_F(FundsWatchTest, AsksForTwoHundredStopsOfAnAccountAtOnce) {
  const AccountId payer = add_account(1, -100 * kUsd);
  open(deployment(1, payer));
  for (int n = 1; n <= 201; ++n) deployments_.live[payer].push_back(deployment_id(n));
  EXPECT_EQ(watch().value("stops"), 200);
  EXPECT_EQ(watch().value("stops"), 1);
}

// covers: S04_BILL_FUND_008
TEST_F(FundsWatchTest, S04_BILL_FUND_008_TheSpendLimitStopsWhereItSaysSo) {
  const AccountId block = add_account(1, 100 * kUsd);
  const AccountId stop = add_account(2, 100 * kUsd);
  db_.execute(
      "UPDATE accounts SET spend_limit_micros=180000, spend_limit_action=CASE id WHEN :stop THEN 'stop' ELSE "
      "'block' END WHERE account_type='deployer'",
      {{"stop", stop}});
  open(deployment(1, block));
  open(deployment(2, stop));
  deployments_.live[block] = {deployment_id(1)};
  deployments_.live[stop] = {deployment_id(2)};
  clock_.set_utc(ten_ + kHour - Milliseconds(20));
  watch();
  EXPECT_TRUE(deployments_.asked.empty());
  clock_.set_utc(ten_ + kHour);
  watch();
  EXPECT_THAT(deployments_.asked, ElementsAre(deployment_id(2)));
  EXPECT_EQ(state(stop), "ok") << "it has money";
}

TEST_F(FundsWatchTest, WithBillingOffNobodyIsJudged) {
  const AccountId payer = add_account(1, -100 * kUsd);
  open(deployment(1, payer));
  settings_.enabled = false;
  EXPECT_TRUE(watch().skipped);
  EXPECT_EQ(state(payer), "ok");
}

TEST_F(FundsWatchTest, APostingBetweenReadAndWriteWins) {
  const AccountId payer = add_account(1, 0);
  open(deployment(1, payer));
  const auto page = db_->read<std::vector<FundsOfAccount>>(
      [&](db::Transaction& tx) { return FundsStore().page(tx, AccountId(), clock_.now(), 10); });
  ASSERT_TRUE(page);
  ASSERT_EQ(page->size(), 1U);
  set_balance(payer, 100 * kUsd);
  const auto changed = db_->write<bool>([&](db::Transaction& tx) {
    return FundsStore().change_state(tx, page->front(), BillingState::grace, clock_.now(), clock_.now());
  });
  ASSERT_TRUE(changed);
  EXPECT_FALSE(*changed);
  EXPECT_EQ(state(payer), "ok");
}

TEST_F(FundsWatchTest, PagesReachEveryAccount) {
  for (int n = 1; n <= 25; ++n) open(deployment(n, add_account(n, 0)));
  db_.execute("UPDATE deployment_segments SET settled=2 WHERE deployment_id=:id", {{"id", deployment_id(7)}});
  const AccountId idle = add_account(30, kUsd);
  db_.execute("UPDATE account_balances SET billing_state='low' WHERE account_id=:id", {{"id", idle}});
  add_account(31, 0);  // no usage, nothing to judge
  AccountId after;
  std::size_t seen = 0;
  for (;;) {
    const auto page = db_->read<std::vector<FundsOfAccount>>(
        [&](db::Transaction& tx) { return FundsStore().page(tx, after, clock_.now(), 4); });
    ASSERT_TRUE(page);
    if (page->empty()) break;
    EXPECT_LE(page->size(), 4U);
    seen += page->size();
    after = page->back().account_id;
  }
  EXPECT_EQ(seen, 26U);
}

}  // namespace
}  // namespace ee::cp
