#include "cp/service/ledger.h"

#include <gmock/gmock.h>

#include <thread>

#include "cp/service/ledger_fixture.h"

namespace ee::cp {
namespace {

using Cause = CapacityRefundCause;

struct LedgerTest : ledger_tests::LedgerFixture {
  Result<UsdMicros> charge(std::int64_t micros, const std::string& ref) {
    return ledger.noted(db->write<UsdMicros>(
        [&](db::Transaction& tx) { return ledger.charge(tx, account, {micros}, ref, "account:key"); }));
  }
  Result<UsdMicros> refund(std::int64_t micros, const std::string& ref, Cause cause) {
    return ledger.noted(db->write<UsdMicros>(
        [&](db::Transaction& tx) { return ledger.refund(tx, ref, cause, {micros}, "system:capacity_orders"); }));
  }
  std::vector<std::string> keys() {
    return db.values<std::string>(
        "SELECT idempotency_key FROM ledger_groups WHERE kind='capacity' ORDER BY idempotency_key");
  }
};

TEST_F(LedgerTest, ACapacityPurchaseIsChargedOnceAndTellsTheNewBalance) {
  move(account, 1000);
  const auto charged = charge(600, "purchase-1");
  ASSERT_TRUE(charged) << charged.error().detail;
  EXPECT_EQ(charged->value, 400);
  EXPECT_EQ(charge(600, "purchase-1")->value, 400);  // the same purchase again
  EXPECT_EQ(balance(kPlatformAccount), 600);
  EXPECT_EQ(keys(), std::vector<std::string>{"capacity:purchase-1"});
  EXPECT_EQ(db.values<std::string>("SELECT tx_type FROM transactions WHERE group_id IN (SELECT id FROM ledger_groups "
                                   "WHERE kind='capacity') ORDER BY line_no"),
            (std::vector<std::string>{"platform_revenue", "capacity_charge"}));
}

TEST_F(LedgerTest, ACapacityPurchaseMayNotOverdraw) {
  move(account, 1000);
  const auto refused = charge(1001, "p");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::insufficient_funds);
  EXPECT_EQ(balance(account), 1000);
  EXPECT_TRUE(charge(1000, "p"));
}

TEST_F(LedgerTest, RefundsOfCapacityNeverExceedTheCharge) {
  move(account, 1000);
  ASSERT_TRUE(charge(600, "p"));
  EXPECT_EQ(refund(1, "other", Cause::undelivered).error().code, ErrorCode::not_found);
  EXPECT_EQ(refund(601, "p", Cause::undelivered).error().code, ErrorCode::invalid_amount);
  EXPECT_EQ(refund(200, "p", Cause::undelivered)->value, 600);
  EXPECT_EQ(refund(200, "p", Cause::undelivered)->value, 600);  // once
  EXPECT_EQ(refund(201, "p", Cause::undelivered).error().code, ErrorCode::ledger_key_conflict);
  EXPECT_EQ(refund(401, "p", Cause::admin).error().code, ErrorCode::invalid_amount);
  EXPECT_EQ(refund(400, "p", Cause::admin)->value, 1000);
  EXPECT_EQ(balance(kPlatformAccount), 0);
  EXPECT_EQ(keys(),
            (std::vector<std::string>{"capacity:p", "capacity:p:refund:admin", "capacity:p:refund:undelivered"}));
}

TEST_F(LedgerTest, AReferenceCannotStandForAnothersRefund) {
  move(account, 1000);
  for (const char* bad : {"", "p:refund:admin"}) {
    EXPECT_FALSE(charge(1, bad)) << bad;
    EXPECT_FALSE(refund(1, bad, Cause::admin)) << bad;
  }
  for (const std::int64_t amount : {std::int64_t{0}, std::int64_t{-1}, kLineMicrosMax + 1}) {
    EXPECT_EQ(charge(amount, "p").error().code, ErrorCode::amount_out_of_range);
    EXPECT_EQ(refund(amount, "p", Cause::admin).error().code, ErrorCode::amount_out_of_range);
  }
  EXPECT_EQ(balance(account), 1000);
}

TEST_F(LedgerTest, WhileHaltedCapacityIsNotChargedButRefunded) {
  move(account, 1000);
  ASSERT_TRUE(charge(600, "p"));
  ASSERT_TRUE(db->write<bool>([&](db::Transaction& tx) { return BillingMetaStore().halt(tx, "test", clock.now()); }));
  EXPECT_EQ(charge(1, "q").error().code, ErrorCode::billing_halted);
  EXPECT_TRUE(refund(600, "p", Cause::admin));
}

// covers: S04_LED_010
TEST_F(LedgerTest, APayoutAndAPurchaseRaceForTheLastDollar) {
  for (int round = 0; round < 50; ++round) {
    const AccountId poor = testing::add_test_account(db, 100 + round);
    move(poor, 1'000'000);
    const std::string name = std::to_string(round);
    Result<UsdMicros> bought = UsdMicros{};
    Result<PostOutcome> paid = PostOutcome{};
    std::thread buyer([&] {
      bought = db->write<UsdMicros>(
          [&](db::Transaction& tx) { return ledger.charge(tx, poor, {1'000'000}, "p" + name, "account:key"); });
    });
    std::thread payer([&] {
      paid = post({.kind = LedgerKind::payout,
                   .idempotency_key = "admin:" + name,
                   .lines = {{poor, -1'000'000, TransactionType::withdrawal},
                             {kPayoutsAccount, 1'000'000, TransactionType::withdrawal}},
                   .actor = "admin:a",
                   .must_not_overdraw = poor});
    });
    buyer.join();
    payer.join();
    EXPECT_NE(bought.has_value(), paid.has_value());
    EXPECT_EQ(bought ? paid.error().code : bought.error().code, ErrorCode::insufficient_funds);
    EXPECT_EQ(balance(poor), 0);
  }
}

TEST_F(LedgerTest, AKeyWithOtherLinesIsAuditedAndCounted) {
  move(account, 5);
  const LedgerPosting other{
      .kind = LedgerKind::credit,
      .idempotency_key = "move-1",
      .lines = {{account, 6, TransactionType::credit}, {kGrantsAccount, -6, TransactionType::credit}},
      .actor = "system:test"};
  const auto refused = post(other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::ledger_key_conflict);
  EXPECT_EQ(audits("ledger_key_conflict"), 1);
  EXPECT_THAT(metrics.text(), ::testing::HasSubstr("ee_ledger_key_conflicts_total 1"));
  EXPECT_EQ(balance(account), 5);
}

TEST_F(LedgerTest, ThePlatformIsTheSettingsAccountWhileThatIsActive) {
  const AccountId payee = testing::add_test_account(db, 2);
  const AccountId closed = testing::add_test_account(db, 3, 0, "closed");
  const auto platform = [&] {
    return db->write<std::string>([&](db::Transaction& tx) -> Result<std::string> {
      const auto id = ledger.platform_account(tx);
      if (!id) return std::unexpected(id.error());
      return id->str();
    });
  };
  EXPECT_EQ(*platform(), kPlatformAccount.str());
  for (const auto& [setting, expected] :
       {std::pair{payee.str(), payee}, std::pair{closed.str(), kPlatformAccount},
        std::pair{std::string("nobody"), kPlatformAccount}, std::pair{kGrantsAccount.str(), kPlatformAccount}}) {
    platform_setting = setting;
    EXPECT_EQ(*platform(), expected.str()) << setting;
  }
  platform_setting = payee.str();
  move(account, 100);
  ASSERT_TRUE(charge(60, "p"));
  EXPECT_EQ(balance(payee), 60);
  platform_setting = "";
  ASSERT_TRUE(refund(60, "p", Cause::undelivered));  // from whoever was paid
  EXPECT_EQ(balance(payee), 0);
  EXPECT_EQ(balance(kPlatformAccount), 0);
}

}  // namespace
}  // namespace ee::cp
