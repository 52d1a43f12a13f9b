#include "cp/service/charging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <thread>

#include "cp/domain/charge.h"
#include "tests/support/billing_fixture.h"

namespace ee::cp {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class ChargingTest : public testing::BillingTest {
 protected:
  const UtcTime ten_ = parse_rfc3339("2026-01-01T10:00:00.000Z").value();
  /// To the moment at which the hours before `time` are due.
  void settle(UtcTime time) { clock_.set_utc(time + Seconds(300)); }
};

// covers: S04_BILL_CHG_001
TEST_F(ChargingTest, S04_BILL_CHG_001_PostsTheLinesOfTheWorkedExample) {
  const AccountId payer = add_account(1);
  const AccountId owner = add_account(2);
  const AccountId a = add_account(3);
  const AccountId b = add_account(4);
  shares_.by_app["app"][UtcTime()] = {{a, 7000}, {b, 3000}};
  clock_.set_utc(parse_rfc3339("2026-01-01T10:17:23.456Z").value());
  RunningDeployment running = deployment(1, payer);
  running.agent_account_id = owner;
  running.app_id = "app";
  open(running);
  settle(ten_ + kHour);
  EXPECT_EQ(charge().value("rows"), 1);
  EXPECT_THAT(totals(),
              UnorderedElementsAre(payer.str() + " charge -127827", owner.str() + " earning 89478",
                                   a.str() + " contributor_credit 13421", b.str() + " contributor_credit 5752",
                                   kPlatformAccount.str() + " platform_revenue 19176"));
  EXPECT_EQ(number("SELECT pool_micros FROM usage_charges"), 19174);
  EXPECT_EQ(number("SELECT billed_ms FROM usage_charges"), 2556544);
  EXPECT_EQ(balance(payer), -127827);
  EXPECT_EQ(db_.value<std::string>("SELECT idempotency_key FROM ledger_groups"),
            "usage:" + std::to_string(unix_ms(ten_)) + ":" + db_.value<std::string>("SELECT id FROM ledger_groups"));
  expect_sound();
}

// covers: S04_BILL_CHG_002
TEST(ChargingProperty, S04_BILL_CHG_002_SumsDoNotDependOnTheBatches) {
  /// What a seed makes: payers, owners, apps, prices, splits and times at random.
  class Fleet : public ChargingTest {
   public:
    void TestBody() override {}
    /// Segments from `seed`; returns what pure arithmetic charges for five hours.
    std::int64_t make(std::uint32_t seed) {
      std::mt19937 engine(seed);
      const auto some = [&](std::int64_t from, std::int64_t to) {
        return std::uniform_int_distribution<std::int64_t>(from, to)(engine);
      };
      std::vector<AccountId> accounts;
      for (int n = 1; n <= 9; ++n) accounts.push_back(add_account(n));
      shares_.by_app["app-0"][UtcTime()] = {{accounts[6], some(1, 4000)}, {accounts[7], some(1, 6000)}};
      shares_.by_app["app-1"][UtcTime()] = {{accounts[8], 10000}};
      shares_.by_app["app-1"][ten_ + 2 * kHour] = {{accounts[0], some(1, 10000)}};
      std::int64_t expected = 0;
      for (int n = 1; n <= 40; ++n) {
        Raw raw{.account = accounts[static_cast<std::size_t>(some(0, 4))],
                .rate = some(0, 3) == 0 ? some(0, kMaxRateMicros) : some(0, 2'000'000),
                .from = ten_ + Milliseconds(some(0, 3 * kHourMs)),
                .operator_bps = some(0, 10000),
                .pool_bps = some(0, 10000)};
        if (some(0, 1) == 0) raw.to = raw.from + Milliseconds(some(0, 2 * kHourMs));
        if (some(0, 2) > 0) raw.owner = accounts[static_cast<std::size_t>(some(0, 6))];
        if (const auto app = some(0, 3); app < 3) raw.app = "app-" + std::to_string(app);
        insert(n, raw);
        for (int hour = 0; hour < 5; ++hour)
          expected += charge_of({.rate_micros = raw.rate,
                                 .operator_bps = raw.operator_bps,
                                 .pool_bps = raw.pool_bps,
                                 .has_operator = raw.owner.has_value(),
                                 .from_at = raw.from,
                                 .to_at = raw.to},
                                ten_ + hour * kHour)
                          .gross_micros;
      }
      db_.execute("UPDATE billing_meta SET next_hour_at=:ten", {{"ten", ten_}});
      return expected;
    }
    std::vector<std::string> run(std::int64_t batch, std::int64_t expected) {
      set_batch(batch);
      settle(ten_ + 5 * kHour);
      EXPECT_EQ(charge().value("hours"), 5);
      expect_sound();
      EXPECT_EQ(number("SELECT COALESCE(SUM(gross_micros), 0) FROM usage_charges"), expected);
      EXPECT_EQ(number("SELECT COUNT(*) FROM deployment_segments WHERE settled=0 AND to_at IS NOT NULL"), 0);
      return totals();
    }
  };
  for (const std::uint32_t seed : {1U, 2U, 3U, 4U}) {
    std::optional<std::vector<std::string>> first;
    for (const std::int64_t batch : {1, 7, 1000}) {
      Fleet fleet;
      const std::int64_t expected = fleet.make(seed);
      ASSERT_GT(expected, 0);
      const auto found = fleet.run(batch, expected);
      if (!first) first = found;
      EXPECT_EQ(found, *first) << "seed " << seed << ", batches of " << batch;
    }
  }
}

// covers: S04_BILL_CHG_003
TEST_F(ChargingTest, S04_BILL_CHG_003_AnHourIsChargedOnceHoweverOftenItIsRun) {
  const AccountId payer = add_account(1);
  for (int n = 1; n <= 30; ++n) insert(n, {.account = payer, .from = ten_});
  set_batch(7);
  settle(ten_ + kHour);
  EXPECT_EQ(charge().value("rows"), 30);
  EXPECT_EQ(charge().value("rows"), 0);
  const auto once = totals();
  // As after a loss of every cursor: the primary key of usage_charges is what still holds.
  db_.execute("DELETE FROM billing_hours");
  db_.execute("UPDATE billing_meta SET next_hour_at=:ten", {{"ten", ten_}});
  db_.execute("UPDATE deployment_segments SET charged_to_at=from_at");
  const JobSummary again = charge();
  EXPECT_EQ(again.value("hours"), 1);
  EXPECT_EQ(again.value("rows"), 0);
  EXPECT_EQ(totals(), once);
  EXPECT_EQ(balance(payer), -30 * 180000);
}

// covers: S04_BILL_CHG_003
TEST_F(ChargingTest, S04_BILL_CHG_003_TwoReplicasTogetherChargeOnce) {
  const AccountId payer = add_account(1);
  for (int n = 1; n <= 40; ++n) insert(n, {.account = payer, .from = ten_});
  set_batch(3);
  settle(ten_ + 2 * kHour);
  Charging first = charging();
  Charging second = charging();
  std::optional<JobSummary> other;
  std::jthread beside([&] {
    const auto done = second.run({}, {});
    if (done) other = *done;
  });
  const auto done = first.run({}, {});
  beside.join();
  ASSERT_TRUE(done && other);
  EXPECT_EQ(done->value("rows") + other->value("rows"), 80);
  EXPECT_EQ(balance(payer), -80 * 180000);
  expect_sound();
}

TEST_F(ChargingTest, OnePassAtATimeInAProcess) {
  const AccountId payer = add_account(1);
  insert(1, {.account = payer, .from = ten_});
  settle(ten_ + kHour);
  Charging* self = nullptr;
  std::optional<ErrorCode> inner;
  // Only the lock is asked: nothing of the database may be called in here.
  Charging pass = charging([&](ChargeStep) -> Result<void> {
    std::jthread([&] {
      const auto done = self->run({}, {});
      if (!done) inner = done.error().code;
    }).join();
    return {};
  });
  self = &pass;
  ASSERT_TRUE(pass.run({}, {}));
  EXPECT_EQ(inner, ErrorCode::job_running);
}

// covers: S04_BILL_CHG_003
TEST_F(ChargingTest, S04_BILL_CHG_003_AFailureAtAnyStepLosesAndDoublesNothing) {
  const AccountId payer = add_account(1);
  const AccountId owner = add_account(2);
  for (int n = 1; n <= 9; ++n) insert(n, {.account = payer, .from = ten_, .owner = owner});
  set_batch(4);
  for (const ChargeStep step : {ChargeStep::begun, ChargeStep::charged, ChargeStep::noted, ChargeStep::posted,
                                ChargeStep::cursor_moved, ChargeStep::finished}) {
    for (int at = 1; at <= 3; ++at) {
      if (step == ChargeStep::finished && at > 1) continue;
      const UtcTime hour = db_.value<UtcTime>("SELECT next_hour_at FROM billing_meta");
      settle(hour + kHour);
      const std::int64_t before = balance(payer);
      int seen = 0;
      Charging failing = charging([&](ChargeStep now) -> Result<void> {
        if (now != step || ++seen < at) return {};
        return fail(ErrorCode::database_unavailable, "gone");  // and stays away
      });
      const auto done = failing.run({}, {});
      ASSERT_FALSE(done);
      EXPECT_EQ(done.error().code, ErrorCode::database_unavailable);
      EXPECT_EQ(balance(payer), before - 4L * 180000 * (step == ChargeStep::finished ? 2 : at - 1));
      expect_sound();
      EXPECT_EQ(charge().value("hours"), 1);
      EXPECT_EQ(balance(payer), before - 9L * 180000);
      expect_sound();
    }
  }
}

TEST_F(ChargingTest, ADatabaseErrorIsTriedThreeTimesMore) {
  const AccountId payer = add_account(1);
  insert(1, {.account = payer, .from = ten_});
  settle(ten_ + kHour);
  int tries = 0;
  Charging pass = charging([&](ChargeStep step) -> Result<void> {
    if (step != ChargeStep::charged || ++tries > 3) return {};
    return fail(ErrorCode::database_unavailable, "busy");
  });
  const SteadyTime begun = clock_.steady_now();
  const auto done = pass.run({}, {});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->value("rows"), 1);
  EXPECT_EQ(tries, 4);
  const auto waited = std::chrono::duration_cast<Milliseconds>(clock_.steady_now() - begun);
  EXPECT_GE(waited, Milliseconds(1050));
  EXPECT_LE(waited, Milliseconds(3150));
  EXPECT_EQ(balance(payer), -180000);
}

TEST_F(ChargingTest, WithoutTheLeaseNothingIsCharged) {
  const AccountId payer = add_account(1);
  for (int n = 1; n <= 5; ++n) insert(n, {.account = payer, .from = ten_});
  set_batch(2);
  settle(ten_ + kHour);
  int asked = 0;
  Charging pass = charging();
  const auto done = pass.run(
      [&](db::Transaction&) -> Result<void> {
        if (++asked < 3) return {};
        return fail(ErrorCode::concurrent_update, "the lease is lost");
      },
      {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::concurrent_update);
  EXPECT_EQ(asked, 3) << "and it is not tried again";
  EXPECT_EQ(balance(payer), -4 * 180000);
}

TEST_F(ChargingTest, AStopEndsThePassBetweenBatches) {
  const AccountId payer = add_account(1);
  for (int n = 1; n <= 5; ++n) insert(n, {.account = payer, .from = ten_});
  set_batch(2);
  settle(ten_ + kHour);
  std::stop_source stop;
  Charging pass = charging([&](ChargeStep step) -> Result<void> {
    if (step == ChargeStep::cursor_moved) stop.request_stop();
    return {};
  });
  const auto done = pass.run({}, stop.get_token());
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->stopped);
  EXPECT_EQ(balance(payer), -2 * 180000);
  EXPECT_EQ(charge().value("rows"), 3);
}

TEST_F(ChargingTest, WhileBillingIsHaltedNothingIsCharged) {
  const AccountId payer = add_account(1);
  insert(1, {.account = payer, .from = ten_});
  settle(ten_ + kHour);
  db_.execute("UPDATE billing_meta SET halted=1");
  const JobSummary summary = charge();
  EXPECT_THAT(summary.notes, ElementsAre("billing_halted"));
  EXPECT_EQ(balance(payer), 0);
  EXPECT_EQ(number("SELECT COUNT(*) FROM billing_hours"), 0);
  db_.execute("UPDATE billing_meta SET halted=0");
  EXPECT_EQ(charge().value("rows"), 1);
}

// covers: S04_BILL_CHG_004
TEST_F(ChargingTest, S04_BILL_CHG_004_FiftyHoursOfDowntimeAreCaughtUpInOrder) {
  const AccountId payer = add_account(1);
  const AccountId other = add_account(2);
  insert(1, {.account = payer, .from = ten_ + Milliseconds(1234)});
  insert(2, {.account = other, .rate = 777'777, .from = ten_ + 3 * kHour, .to = ten_ + 30 * kHour + Milliseconds(5)});
  settle(ten_ + 50 * kHour);
  EXPECT_EQ(charge().value("hours"), 24);
  EXPECT_EQ(charge().value("hours"), 24);
  EXPECT_EQ(charge().value("hours"), 2);
  EXPECT_EQ(charge().value("hours"), 0);
  const auto late = totals();
  EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges"), 50 + 28);
  EXPECT_EQ(number("SELECT COUNT(*) FROM billing_hours WHERE status='done'"), 50);
  EXPECT_EQ(
      number("SELECT COUNT(*) FROM billing_hours a JOIN billing_hours b ON b.hour_start_at=a.hour_start_at+3600000 "
             "WHERE b.finished_at<a.finished_at"),
      0);
  expect_sound();
  // The same without downtime.
  db_.execute("UPDATE billing_meta SET next_hour_at=:ten", {{"ten", ten_}});
  std::int64_t payer_sum = 0;
  std::int64_t other_sum = 0;
  for (int hour = 0; hour < 50; ++hour) {
    const UtcTime hs = ten_ + hour * kHour;
    payer_sum += charge_of({.rate_micros = 180'000, .from_at = ten_ + Milliseconds(1234)}, hs).gross_micros;
    other_sum +=
        charge_of({.rate_micros = 777'777, .from_at = ten_ + 3 * kHour, .to_at = ten_ + 30 * kHour + Milliseconds(5)},
                  hs)
            .gross_micros;
  }
  EXPECT_THAT(late, UnorderedElementsAre(
                        payer.str() + " charge -" + std::to_string(payer_sum),
                        other.str() + " charge -" + std::to_string(other_sum),
                        kPlatformAccount.str() + " platform_revenue " + std::to_string(payer_sum + other_sum)));
}

TEST_F(ChargingTest, AnHourIsNotDueBeforeItHasSettled) {
  const AccountId payer = add_account(1);
  insert(1, {.account = payer, .from = ten_});
  clock_.set_utc(ten_ + kHour + Seconds(300) - Milliseconds(1));
  EXPECT_EQ(charge().value("hours"), 0);
  clock_.advance(Milliseconds(1));
  EXPECT_EQ(charge().value("hours"), 1);
  EXPECT_EQ(metrics_.lag(), Seconds(0));
  clock_.advance(Seconds(3 * 3600));
  EXPECT_EQ(metrics_.lag(), Seconds(2 * 3600 + 300));
  EXPECT_FALSE(metrics_.in_time());
}

// covers: S04_BILL_CHG_005
TEST_F(ChargingTest, S04_BILL_CHG_005_StartsAndStopsAreChargedToTheMillisecond) {
  const AccountId payer = add_account(1);
  const auto at = [&](std::int64_t ms) { return ten_ + Milliseconds(ms); };
  clock_.set_utc(at(0));
  insert(1, {.account = payer, .rate = 3'600'000, .from = at(1'000), .to = at(61'000)});         // inside an hour
  insert(2, {.account = payer, .rate = 3'600'000, .from = at(1'800'000), .to = at(9'000'000)});  // over hours
  insert(3, {.account = payer, .rate = 3'600'000, .from = at(0), .to = at(3'600'000)});          // on the boundary
  insert(4, {.account = payer, .rate = 3'600'000, .from = at(3'599'999), .to = at(3'600'000)});  // 1 ms
  insert(5, {.account = payer, .rate = 3'600'000, .from = at(3'600'000), .to = at(3'600'000)});  // nothing
  clock_.set_utc(at(7'200'000));
  open(deployment(9, payer), at(7'200'000));
  clock_.set_utc(at(7'201'000));
  close(9);
  open(deployment(9, payer));  // two segments in one hour
  clock_.set_utc(at(7'203'500));
  close(9);
  settle(ten_ + 3 * kHour);
  charge();
  const auto charged = [&](std::string_view where) {
    return number("SELECT COALESCE(SUM(charged_micros), 0) FROM deployment_segments WHERE " + std::string(where));
  };
  EXPECT_EQ(charged("deployment_id='" + deployment_id(1).str() + "'"), 60'000);
  EXPECT_EQ(charged("deployment_id='" + deployment_id(2).str() + "'"), 7'200'000);
  EXPECT_EQ(charged("deployment_id='" + deployment_id(3).str() + "'"), 3'600'000);
  EXPECT_EQ(charged("deployment_id='" + deployment_id(4).str() + "'"), 1);
  EXPECT_EQ(charged("deployment_id='" + deployment_id(5).str() + "'"), 0);
  EXPECT_EQ(charged("deployment_id='" + deployment_id(9).str() + "'"), 50 + 125);
  EXPECT_EQ(number("SELECT COUNT(*) FROM deployment_segments WHERE settled<>1"), 0);
  EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges WHERE deployment_id=:id", {{"id", deployment_id(2)}}), 3);
  expect_sound();
}

}  // namespace
}  // namespace ee::cp
