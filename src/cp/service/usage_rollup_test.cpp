#include "cp/service/usage_rollup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cp/store/usage_store.h"
#include "tests/support/billing_fixture.h"

namespace ee::cp {
namespace {

using ::testing::ElementsAre;

class UsageRollupTest : public testing::BillingTest {
 protected:
  const UtcTime day_ = parse_rfc3339("2026-01-01T00:00:00.000Z").value();
  std::int64_t roll() {
    const auto done = roll_up_usage(*db_, clock_, settings_, {});
    EXPECT_TRUE(done) << done.error().detail;
    return done ? done->value("rows") : -1;
  }
  std::int64_t gross() {
    return number(
        "SELECT (SELECT COALESCE(SUM(gross_micros), 0) FROM usage_charges)+"
        "(SELECT COALESCE(SUM(gross_micros), 0) FROM usage_daily)");
  }
};

TEST_F(UsageRollupTest, KeepsOldUsageByDay) {
  settings_.usage_detail_days = 35;
  settings_.max_hours_per_tick = 720;
  const AccountId one = add_account(1);
  const AccountId two = add_account(2);
  insert(1, {.account = one, .from = day_, .to = day_ + 30 * kHour, .app = "app"});
  insert(2, {.account = two, .rate = 7, .from = day_ + 5 * kHour, .to = day_ + 50 * kHour});
  clock_.set_utc(day_ + 60 * kHour);
  charge();
  const std::int64_t whole = gross();
  ASSERT_GT(whole, 0);
  EXPECT_EQ(roll(), 0) << "nothing is old enough";
  clock_.set_utc(day_ + std::chrono::days(36) + Seconds(1));
  EXPECT_EQ(roll(), 24 + 19);
  EXPECT_EQ(gross(), whole);
  EXPECT_THAT(
      db_.values<std::string>("SELECT account_id || ' ' || day_start_at || ' ' || COALESCE(app_id, '-') || ' ' "
                              "|| billed_ms || ' ' || gross_micros FROM usage_daily ORDER BY 1"),
      ElementsAre(one.str() + " " + std::to_string(unix_ms(day_)) + " app 86400000 " + std::to_string(24 * 180'000),
                  two.str() + " " + std::to_string(unix_ms(day_)) + " - 68400000 " + std::to_string(19 * 7)));
  EXPECT_EQ(roll(), 0);
  clock_.set_utc(day_ + std::chrono::days(37));
  EXPECT_EQ(roll(), 6 + 24);
  EXPECT_EQ(gross(), whole);
  clock_.set_utc(day_ + std::chrono::days(50));
  EXPECT_EQ(roll(), 2);
  EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges"), 0);
  EXPECT_EQ(gross(), whole);
}

TEST_F(UsageRollupTest, HoursThatAreNotFinishedStayAsTheyAre) {
  settings_.usage_detail_days = 35;
  const AccountId one = add_account(1);
  insert(1, {.account = one, .from = day_});
  clock_.set_utc(day_ + std::chrono::days(100));
  charge();  // 24 hours of many
  db_.execute("UPDATE billing_meta SET next_hour_at=:next", {{"next", day_ + 10 * kHour}});
  EXPECT_EQ(roll(), 10);
  EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges"), 14);
}

TEST_F(UsageRollupTest, ABatchOfADayAddsToWhatIsThere) {
  const AccountId one = add_account(1);
  insert(1, {.account = one, .from = day_, .to = day_ + 24 * kHour});
  clock_.set_utc(day_ + 25 * kHour);
  charge();
  for (const std::int64_t limit : {5, 7, 100}) {
    const auto moved = db_->write<std::int64_t>(
        [&](db::Transaction& tx) { return UsageStore().roll_up(tx, one, day_ + 24 * kHour, limit); });
    ASSERT_TRUE(moved);
    EXPECT_EQ(*moved, std::min<std::int64_t>(limit, 12));
  }
  EXPECT_EQ(number("SELECT gross_micros FROM usage_daily"), 24 * 180'000);
  EXPECT_EQ(number("SELECT billed_ms FROM usage_daily"), 24 * kHourMs);
}

}  // namespace
}  // namespace ee::cp
