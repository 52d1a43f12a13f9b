// Charging of what is out of the ordinary: rows that fail, hours that are waived, payees that are set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cp/service/charging.h"
#include "tests/support/billing_fixture.h"

namespace ee::cp {
namespace {

class ChargingAsideTest : public testing::BillingTest {
 protected:
  const UtcTime ten_ = parse_rfc3339("2026-01-01T10:00:00.000Z").value();
  /// To the moment at which the hours before `time` are due.
  void settle(UtcTime time) { clock_.set_utc(time + Seconds(300)); }
};

// covers: S04_BILL_CHG_007
TEST_F(ChargingAsideTest, S04_BILL_CHG_007_WithoutOperatorAppOrShares) {
  const AccountId payer = add_account(1);
  const AccountId owner = add_account(2);
  const AccountId a = add_account(3);
  shares_.by_app["shared"][UtcTime()] = {{a, 4000}};
  shares_.by_app["greedy"][UtcTime()] = {{a, 9000}, {owner, 1001}};
  struct Row {
    Raw raw;
    std::int64_t operators;
    std::int64_t contributors;
  };
  const std::vector<Row> rows = {
      {{.account = payer, .rate = 100'003}, 0, 0},
      {{.account = payer, .rate = 100'003, .owner = owner}, 70'002, 0},
      {{.account = payer, .rate = 100'003, .app = "shared"}, 0, 20'000},
      {{.account = payer, .rate = 100'003, .owner = owner, .app = "shared", .pool_bps = 0}, 70'002, 0},
      {{.account = payer, .rate = 100'003, .owner = owner, .app = "shared", .pool_bps = 10000}, 70'002, 12'000},
      {{.account = payer, .rate = 100'003, .owner = owner, .app = "shared", .operator_bps = 10000}, 100'003, 0},
      {{.account = payer, .rate = 100'003, .app = "unknown"}, 0, 0},
      {{.account = payer, .rate = 100'003, .app = "greedy"}, 0, 0},
      {{.account = payer, .rate = 0, .owner = owner, .app = "shared"}, 0, 0}};
  UtcTime hour = ten_;
  int n = 0;
  for (const Row& row : rows) {
    Raw raw = row.raw;
    raw.from = hour;
    raw.to = hour + kHour;
    insert(++n, raw);
    hour += kHour;
    settle(hour);
    const std::int64_t owned = balance(owner);
    const std::int64_t contributed = balance(a);
    const std::int64_t platform = balance(kPlatformAccount);
    EXPECT_EQ(charge().value("rows"), 1);
    EXPECT_EQ(balance(owner) - owned, row.operators) << n;
    EXPECT_EQ(balance(a) - contributed, row.contributors) << n;
    EXPECT_EQ(balance(kPlatformAccount) - platform, raw.rate - row.operators - row.contributors) << n;
  }
  EXPECT_EQ(number("SELECT COUNT(*) FROM ledger_groups"), n - 1) << "an hour for nothing has no group";
  EXPECT_EQ(audit_rows("share_set_invalid"), 1);
  expect_sound();
}

// covers: S04_BILL_CHG_007
TEST_F(ChargingAsideTest, S04_BILL_CHG_007_AChangeOfSharesCountsFromItsHour) {
  const AccountId payer = add_account(1);
  const AccountId a = add_account(2);
  const AccountId b = add_account(3);
  shares_.by_app["app"][UtcTime()] = {{a, 10000}};
  shares_.by_app["app"][ten_ + kHour] = {{b, 10000}};
  insert(1, {.account = payer, .rate = 100'000, .from = ten_, .app = "app"});
  settle(ten_ + kHour);
  charge();
  EXPECT_EQ(balance(a), 50'000);
  EXPECT_EQ(balance(b), 0);
  settle(ten_ + 2 * kHour);
  charge();
  EXPECT_EQ(balance(a), 50'000);
  EXPECT_EQ(balance(b), 50'000);
}

// covers: S04_BILL_CHG_008
TEST_F(ChargingAsideTest, S04_BILL_CHG_008_OneBadRowOfTenThousandIsSetAside) {
  const AccountId payer = add_account(1);
  const AccountId missing = testing::test_account_id(99);
  insert(0, {.account = payer, .from = ten_});
  db_.execute(
      "INSERT INTO deployment_segments SELECT '01900000-0000-7000-b000-'||substr(CAST(1000000000000+i AS TEXT), 2), "
      "'01900000-0000-7000-9000-'||substr(CAST(1000000000000+i AS TEXT), 2), 1, account_id, agent_id, "
      "agent_account_id, app_id, vcpus, "
      "memory_mib, gpu_count, extra_disk_gib, sla_class, machine_class, datacenter, rate_micros, rate_version, "
      "operator_bps, pool_bps, from_at, to_at, charged_to_at, 0, 0 FROM deployment_segments, "
      "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<9999) SELECT i+500000 AS i FROM n) AS "
      "numbers");
  const std::string bad = "01900000-0000-7000-b000-000000504321";
  // Its owner has no account: the ledger refuses the line.
  db_.execute("UPDATE deployment_segments SET agent_account_id=:missing WHERE id=:bad",
              {{"missing", missing}, {"bad", bad}});
  settle(ten_ + kHour);
  const JobSummary summary = charge();
  EXPECT_EQ(summary.value("rows"), 9999);
  EXPECT_EQ(summary.value("set_aside"), 1);
  EXPECT_EQ(balance(payer), -9999 * 180'000);
  EXPECT_EQ(db_.values<std::string>("SELECT id FROM deployment_segments WHERE settled=2"),
            std::vector<std::string>{bad});
  EXPECT_EQ(audit_rows("charge_failed"), 1);
  EXPECT_EQ(db_.value<std::string>("SELECT object_id FROM audit_log WHERE action='charge_failed'"), bad);
  EXPECT_NE(registry_.text().find("ee_billing_failed_rows 1"), std::string::npos);
  expect_sound();

  settle(ten_ + 3 * kHour);
  EXPECT_EQ(charge().value("rows"), 2 * 9999) << "the others go on";
  Charging pass = charging();
  const Actor admin{.name = "admin:session", .request_id = "r", .client_address = "192.0.2.1"};
  const auto refused = pass.retry(bad, "mended", admin);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::segment_unchargeable);
  EXPECT_EQ(number("SELECT settled FROM deployment_segments WHERE id=:bad", {{"bad", bad}}), 2);

  add_account(99);
  const auto retried = pass.retry(bad, "mended", admin);
  ASSERT_TRUE(retried) << retried.error().detail;
  EXPECT_EQ(retried->hours, 3);
  EXPECT_EQ(retried->amount.value, 3 * 180'000);
  EXPECT_EQ(balance(missing), 3 * 126'000);
  EXPECT_EQ(audit_rows("charge_retried"), 1);
  EXPECT_EQ(pass.retry(bad, "mended", admin).error().code, ErrorCode::segment_unchargeable)
      << "it is not set aside any more";
  settle(ten_ + 4 * kHour);
  EXPECT_EQ(charge().value("rows"), 10'000);
  EXPECT_EQ(balance(payer), -4LL * 10'000 * 180'000);
  expect_sound();
}

// covers: S04_BILL_CHG_008
TEST_F(ChargingAsideTest, S04_BILL_CHG_008_ARetryWithinAnHourThatIsUnderWayMissesNothing) {
  const AccountId payer = add_account(1);
  const AccountId missing = testing::test_account_id(99);
  std::string first;
  for (int n = 1; n <= 6; ++n) {
    const std::string id = insert(n, {.account = payer, .from = ten_});
    if (n == 1) first = id;
  }
  db_.execute("UPDATE deployment_segments SET agent_account_id=:missing WHERE id=:id",
              {{"missing", missing}, {"id", first}});
  set_batch(2);
  settle(ten_ + 2 * kHour);
  std::stop_source stop;
  int moved = 0;
  Charging halfway = charging([&](ChargeStep step) -> Result<void> {
    if (step == ChargeStep::cursor_moved && ++moved == 5) stop.request_stop();  // in the second hour
    return {};
  });
  ASSERT_TRUE(halfway.run({}, stop.get_token()));
  ASSERT_EQ(number("SELECT COUNT(*) FROM billing_hours WHERE status='charging'"), 1);
  add_account(99);
  const auto retried = charging().retry(first, "mended", {.name = "admin:s", .request_id = "r", .client_address = "a"});
  ASSERT_TRUE(retried) << retried.error().detail;
  EXPECT_EQ(retried->hours, 2) << "the hour under way has passed it";
  charge();
  EXPECT_EQ(balance(payer), -12 * 180'000);
  EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges WHERE segment_id=:id", {{"id", first}}), 2);
  expect_sound();
}

TEST_F(ChargingAsideTest, WhatFailsForEverybodyEndsThePass) {
  const AccountId payer = add_account(1);
  const AccountId missing = testing::test_account_id(99);
  for (int n = 1; n <= 150; ++n) insert(n, {.account = payer, .from = ten_, .owner = missing});
  settle(ten_ + kHour);
  const auto done = charging().run({}, {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::account_not_found);
  EXPECT_EQ(number("SELECT COUNT(*) FROM deployment_segments WHERE settled=2"), Charging::kSetAsideMax);
  // Nothing more is set aside until an administrator has looked.
  EXPECT_EQ(number("SELECT halted FROM billing_meta"), 1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM audit_log WHERE action='billing_halted'"), 1);
  ASSERT_TRUE(charging().run({}, {}));
  EXPECT_EQ(number("SELECT COUNT(*) FROM deployment_segments WHERE settled=2"), Charging::kSetAsideMax);
}

// covers: S04_BILL_CHG_009
TEST_F(ChargingAsideTest, S04_BILL_CHG_009_HoursWhileBillingIsOffAreWaivedForGood) {
  const AccountId payer = add_account(1);
  insert(1, {.account = payer, .from = ten_});
  const std::string ended = insert(2, {.account = payer, .from = ten_, .to = ten_ + kHour + Seconds(60)});
  settle(ten_ + kHour);
  charge();
  EXPECT_EQ(balance(payer), -2 * 180'000);
  settings_.enabled = false;
  settle(ten_ + 4 * kHour);
  const JobSummary off = charge();
  EXPECT_EQ(off.value("waived"), 3);
  EXPECT_EQ(off.value("rows"), 0);
  settings_.enabled = true;
  settle(ten_ + 5 * kHour);
  EXPECT_EQ(charge().value("rows"), 1);
  EXPECT_EQ(balance(payer), -3 * 180'000);
  EXPECT_EQ(number("SELECT COUNT(*) FROM billing_hours WHERE status='waived'"), 3);
  EXPECT_EQ(number("SELECT settled FROM deployment_segments WHERE id=:id", {{"id", ended}}), 1);
  expect_sound();
}

// covers: S04_BILL_CHG_009
TEST_F(ChargingAsideTest, S04_BILL_CHG_009_ARetryDoesNotChargeWaivedHours) {
  const AccountId payer = add_account(1);
  const AccountId missing = testing::test_account_id(99);
  const std::string id = insert(1, {.account = payer, .from = ten_, .owner = missing});
  settle(ten_ + kHour);
  EXPECT_EQ(charge().value("set_aside"), 1);
  settings_.enabled = false;
  settle(ten_ + 3 * kHour);
  charge();
  settings_.enabled = true;
  settle(ten_ + 4 * kHour);
  charge();
  add_account(99);
  const auto retried = charging().retry(id, "mended", {.name = "admin:s", .request_id = "r", .client_address = "a"});
  ASSERT_TRUE(retried) << retried.error().detail;
  EXPECT_EQ(retried->hours, 2);
  EXPECT_EQ(balance(payer), -2 * 180'000);
  expect_sound();
}

TEST_F(ChargingAsideTest, ThePlatformsPartGoesToTheAccountOfTheSetting) {
  const AccountId payer = add_account(1);
  const AccountId platform = add_account(2);
  settings_.platform_account = platform;
  insert(1, {.account = payer, .from = ten_});
  settle(ten_ + kHour);
  charge();
  EXPECT_EQ(balance(platform), 180'000);
  db_.execute("UPDATE accounts SET status='suspended' WHERE id=:id", {{"id", platform}});
  settle(ten_ + 2 * kHour);
  charge();
  EXPECT_EQ(balance(platform), 180'000);
  EXPECT_EQ(balance(kPlatformAccount), 180'000);
}

TEST_F(ChargingAsideTest, ClosedAndSuspendedAccountsAreChargedAllTheSame) {
  const AccountId payer = add_account(1);
  insert(1, {.account = payer, .from = ten_});
  db_.execute("UPDATE accounts SET status='closed' WHERE id=:id", {{"id", payer}});
  settle(ten_ + kHour);
  charge();
  EXPECT_EQ(balance(payer), -180'000);
}

}  // namespace
}  // namespace ee::cp
