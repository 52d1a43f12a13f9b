#include "cp/service/billing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "tests/support/billing_fixture.h"

namespace ee::cp {
namespace {

using ::testing::ElementsAre;

class BillingServiceTest : public testing::BillingTest {
 protected:
  const UtcTime ten_ = parse_rfc3339("2026-01-01T10:00:00.000Z").value();
  void SetUp() override { clock_.set_utc(ten_); }

  std::optional<SegmentRow> segment(int n) {
    return db_
        ->read<std::optional<SegmentRow>>(
            [&](db::Transaction& tx) { return SegmentStore().last(tx, deployment_id(n)); })
        .value();
  }
  Result<void> admit(const AccountId& account, std::int64_t rate, std::int64_t replicas = 1) {
    return db_->run_write([&](db::Transaction& tx) { return billing_.admit(tx, account, UsdMicros{rate}, replicas); });
  }
  std::string code(const AccountId& account, std::int64_t rate, std::int64_t replicas = 1) {
    const auto done = admit(account, rate, replicas);
    return done ? "ok" : std::string(slug(done.error().code));
  }
};

TEST_F(BillingServiceTest, TheFirstCardOfTheSchemaIsTheOneOfTheCode) {
  const auto cards =
      db_->read<std::vector<RateCardVersion>>([](db::Transaction& tx) { return RateCardStore().all(tx); });
  ASSERT_TRUE(cards);
  ASSERT_EQ(cards->size(), 1U);
  EXPECT_EQ(cards->front().version, 1);
  EXPECT_EQ(unix_ms(cards->front().effective_at), 0);
  EXPECT_EQ(cards->front().card, first_rate_card());
}

TEST_F(BillingServiceTest, ASegmentFreezesPriceAndShares) {
  const AccountId payer = add_account(1);
  const AccountId owner = add_account(2);
  RunningDeployment running = deployment(1, payer);
  running.agent_account_id = owner;
  running.app_id = "app";
  running.sla_class = SlaClass::three_nines;
  settings_.operator_bps = 6000;
  settings_.pool_bps = 4000;
  clock_.advance(Milliseconds(1234));
  open(running);
  settings_.operator_bps = 1;
  const auto row = segment(1);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->rate_micros.value, 270'000);
  EXPECT_EQ(row->rate_version, 1);
  EXPECT_EQ(row->operator_bps, 6000);
  EXPECT_EQ(row->pool_bps, 4000);
  EXPECT_EQ(row->seq, 1);
  EXPECT_EQ(row->from_at, ten_ + Milliseconds(1234));
  EXPECT_EQ(row->charged_to_at, row->from_at);
  EXPECT_EQ(row->agent_account_id, owner);
  EXPECT_EQ(row->app_id, "app");
  EXPECT_EQ(db_.value<UtcTime>("SELECT next_hour_at FROM billing_meta"), ten_);
  open(running);  // a no-op
  EXPECT_EQ(number("SELECT COUNT(*) FROM deployment_segments"), 1);
  close(1);
  close(1);
  clock_.advance(Seconds(1));
  open(running);
  EXPECT_EQ(segment(1)->seq, 2);
}

TEST_F(BillingServiceTest, SegmentsNeverOverlapNorReachIntoTheFuture) {
  const AccountId payer = add_account(1);
  open(deployment(1, payer), ten_ + Seconds(60));
  EXPECT_EQ(segment(1)->from_at, ten_) << "not later than now";
  clock_.advance(Seconds(100));
  close(1, ten_ + Seconds(500));
  EXPECT_EQ(segment(1)->to_at, ten_ + Seconds(100));
  open(deployment(1, payer), ten_ + Seconds(50));
  EXPECT_EQ(segment(1)->from_at, ten_ + Seconds(100)) << "not before the last one's end";
  close(1, ten_ - Seconds(500));
  EXPECT_EQ(segment(1)->to_at, segment(1)->from_at);
}

TEST_F(BillingServiceTest, APriceOutOfRangeOpensNothing) {
  const AccountId payer = add_account(1);
  RunningDeployment running = deployment(1, payer);
  running.resources.machine_class = "unknown";
  const auto done = db_->run_write([&](db::Transaction& tx) { return billing_.open_segment(tx, running, ten_); });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::rate_out_of_range);
  EXPECT_FALSE(segment(1));
}

// covers: S04_BILL_CHG_006
TEST_F(BillingServiceTest, S04_BILL_CHG_006_ALostAgentIsChargedToItsLastHeartbeat) {
  const AccountId payer = add_account(1);
  open(deployment(1, payer));
  open(deployment(2, payer));
  // Lost within the hour, before it is charged: pro rata.
  clock_.set_utc(ten_ + kHour + Seconds(200));
  close(1, ten_ + kHour - Seconds(1800));
  EXPECT_EQ(audit_rows("usage_close_clamped"), 0);
  clock_.set_utc(ten_ + kHour + Seconds(300));
  EXPECT_EQ(charge().value("rows"), 2);
  EXPECT_EQ(balance(payer), -90'000 - 180'000);
  // Lost before the end of an hour that is charged already: the clamp.
  close(2, ten_ + kHour - Seconds(60));
  EXPECT_EQ(segment(2)->to_at, ten_ + kHour);
  EXPECT_EQ(audit_rows("usage_close_clamped"), 1);
  clock_.set_utc(ten_ + 2 * kHour + Seconds(300));
  EXPECT_EQ(charge().value("rows"), 0);
  EXPECT_EQ(balance(payer), -270'000);
  EXPECT_EQ(segment(2)->settled, 1);
  expect_sound();
}

// covers: S04_BILL_CHG_010
TEST_F(BillingServiceTest, S04_BILL_CHG_010_ANewCardCountsForNewSegmentsOnly) {
  const AccountId payer = add_account(1);
  open(deployment(1, payer));
  RateCard dearer = first_rate_card();
  dearer.vcpu_hour_micros *= 2;
  ASSERT_TRUE(db_->write<RateCardVersion>([&](db::Transaction& tx) {
    return RateCardStore().append(tx, dearer, ten_ + kHour, "admin:s", "dearer", clock_.now());
  }));
  clock_.advance(Seconds(1800));
  open(deployment(2, payer));
  EXPECT_EQ(segment(2)->rate_version, 1);
  clock_.set_utc(ten_ + kHour - Milliseconds(1));
  open(deployment(3, payer));
  EXPECT_EQ(segment(3)->rate_version, 1);
  clock_.set_utc(ten_ + kHour + Seconds(60));
  open(deployment(4, payer));
  EXPECT_EQ(segment(4)->rate_version, 2);
  EXPECT_EQ(segment(4)->rate_micros.value, 340'000);
  clock_.set_utc(ten_ + 3 * kHour + Seconds(300));
  charge();
  const auto charged = [&](int n) {
    return db_.value<std::int64_t>("SELECT charged_micros FROM deployment_segments WHERE deployment_id=:id",
                                   {{"id", deployment_id(n)}});
  };
  EXPECT_EQ(charged(1), 3 * 180'000) << "the price is locked";
  EXPECT_EQ(charged(4), 340'000 * 119 / 60);
}

TEST_F(BillingServiceTest, ACardThatIsKnownTakesEffectAtItsHour) {
  RateCard dearer = first_rate_card();
  dearer.vcpu_hour_micros *= 2;
  ASSERT_TRUE(db_->write<RateCardVersion>([&](db::Transaction& tx) {
    return RateCardStore().append(tx, dearer, ten_ + kHour, "admin:s", "dearer", clock_.now());
  }));
  const auto version = [&] {
    return db_->write<RateCardVersion>([&](db::Transaction& tx) { return rates_.in_force(tx, clock_.now()); })
        .value()
        .version;
  };
  clock_.advance(Seconds(3590));
  EXPECT_EQ(version(), 1);
  clock_.advance(Seconds(10));
  EXPECT_EQ(version(), 2);
  const auto early = db_->write<RateCardVersion>([&](db::Transaction& tx) {
    return RateCardStore().append(tx, dearer, ten_ + kHour, "admin:s", "again", clock_.now());
  });
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, ErrorCode::rate_effective_in_past);
}

TEST_F(BillingServiceTest, WhatIsUsedAndNotChargedIsAccrued) {
  const AccountId payer = add_account(1);
  open(deployment(1, payer));
  clock_.advance(Seconds(1800));
  const auto use = [&] {
    return db_->read<AccountUse>([&](db::Transaction& tx) { return SegmentStore().use_of(tx, payer, clock_.now()); })
        .value();
  };
  EXPECT_EQ(use().accrued.value, 90'000);
  EXPECT_EQ(use().burn.value, 180'000);
  db_.execute("UPDATE deployment_segments SET settled=2");
  EXPECT_EQ(use().accrued.value, 90'000) << "set aside or not";
  db_.execute("UPDATE deployment_segments SET settled=0, rate_micros=100000000000");
  clock_.set_utc(ten_ + 1000 * kHour + Milliseconds(1));
  EXPECT_EQ(use().accrued.value, 1000 * 100'000'000'000 + 27'777) << "no overflow";
}

TEST_F(BillingServiceTest, AdmitsWhoCanPayForAllOfIt) {
  const AccountId payer = add_account(1, 1'000'000);
  EXPECT_EQ(code(payer, 1'000'000), "ok");
  EXPECT_EQ(code(payer, 1'000'001), "insufficient_funds");
  EXPECT_EQ(code(payer, 333'333, 3), "ok");
  EXPECT_EQ(code(payer, 333'334, 3), "insufficient_funds");
  EXPECT_EQ(code(payer, kMaxRateMicros, 1'000'000'000), "insufficient_funds");
  open(deployment(1, payer));  // 180,000 an hour
  EXPECT_EQ(code(payer, 820'000), "ok");
  EXPECT_EQ(code(payer, 820'001), "insufficient_funds");
  clock_.advance(Seconds(1800));  // 90,000 accrued
  EXPECT_EQ(code(payer, 730'000), "ok");
  EXPECT_EQ(code(payer, 730'001), "insufficient_funds");
  deployments_.pending[payer] = UsdMicros{30'000};
  EXPECT_EQ(code(payer, 700'001), "insufficient_funds");
  db_.execute("UPDATE accounts SET credit_limit_micros=1 WHERE id=:id", {{"id", payer}});
  EXPECT_EQ(code(payer, 700'001), "ok");
  settings_.min_prepaid_hours = 2;
  EXPECT_EQ(code(payer, 700'001), "insufficient_funds");
  settings_.min_prepaid_hours = 0;
  EXPECT_EQ(code(payer, kMaxRateMicros), "ok");
  EXPECT_EQ(code(testing::test_account_id(77), 1), "account_not_found");
}

TEST_F(BillingServiceTest, ARefusalNamesBalanceAndWhatIsNeeded) {
  const AccountId payer = add_account(1, 1'000'000);
  const auto refused = admit(payer, 2'500'000);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().members,
              ElementsAre(ErrorMember{"balance", "1.000000"}, ErrorMember{"available", "1.000000"},
                          ErrorMember{"required", "2.500000"}));
}

TEST_F(BillingServiceTest, StatesAndHoldsRefuse) {
  const AccountId payer = add_account(1, 100 * kUsd);
  for (const auto& [state, expected] : std::vector<std::pair<std::string, std::string>>{
           {"ok", "ok"}, {"low", "ok"}, {"grace", "insufficient_funds"}, {"exhausted", "insufficient_funds"}}) {
    db_.execute("UPDATE account_balances SET billing_state=:state WHERE account_id=:id",
                {{"state", state}, {"id", payer}});
    EXPECT_EQ(code(payer, 1), expected) << state;
  }
  db_.execute("UPDATE account_balances SET billing_state='ok', dispute_hold=1 WHERE account_id=:id", {{"id", payer}});
  EXPECT_EQ(code(payer, 1), "account_on_hold");
  settings_.enabled = false;
  EXPECT_EQ(code(payer, kMaxRateMicros), "ok") << "nothing is checked while billing is off";
}

// covers: S04_BILL_FUND_007
TEST_F(BillingServiceTest, S04_BILL_FUND_007_OfTwoParallelDeploysWithMoneyForOneOneIsRefused) {
  const AccountId payer = add_account(1, 180'000);
  std::latch start(2);
  std::atomic<int> admitted = 0;
  std::atomic<int> refused = 0;
  const auto deploy = [&](int n) {
    start.arrive_and_wait();
    const auto done = db_->run_write([&](db::Transaction& tx) -> Result<void> {
      if (auto ok = billing_.admit(tx, payer, UsdMicros{180'000}, 1); !ok) return ok;
      return billing_.open_segment(tx, deployment(n, payer), clock_.now());
    });
    if (done)
      ++admitted;
    else if (done.error().code == ErrorCode::insufficient_funds)
      ++refused;
  };
  {
    std::jthread one(deploy, 1);
    std::jthread two(deploy, 2);
  }
  EXPECT_EQ(admitted, 1);
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM deployment_segments"), 1);
}

// covers: S04_BILL_FUND_008
TEST_F(BillingServiceTest, S04_BILL_FUND_008_AtTheSpendLimitNothingNewIsAdmitted) {
  const AccountId payer = add_account(1, 100 * kUsd);
  db_.execute("UPDATE accounts SET spend_limit_micros=360000 WHERE id=:id", {{"id", payer}});
  open(deployment(1, payer));
  clock_.set_utc(ten_ + kHour + Seconds(300));
  charge();  // 180,000 charged, 15,000 accrued
  EXPECT_EQ(code(payer, 1), "ok");
  clock_.set_utc(ten_ + 2 * kHour - Milliseconds(20));
  EXPECT_EQ(code(payer, 1), "ok");
  clock_.advance(Milliseconds(20));
  EXPECT_EQ(code(payer, 1), "spend_limit_reached");
  close(1);
  clock_.set_utc(ten_ + 3 * kHour);
  charge();
  EXPECT_EQ(code(payer, 1), "spend_limit_reached") << "charged by now";
  clock_.set_utc(parse_rfc3339("2026-02-01T00:00:00Z").value());
  EXPECT_EQ(code(payer, 1), "ok") << "another month";
}

}  // namespace
}  // namespace ee::cp
