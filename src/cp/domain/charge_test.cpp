#include "cp/domain/charge.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "cp/domain/price.h"

namespace ee::cp {
namespace {

const UtcTime kTen = parse_rfc3339("2026-01-01T10:00:00.000Z").value();

ChargedSegment segment(std::int64_t rate, UtcTime from, std::optional<UtcTime> to = {}) {
  return {
      .rate_micros = rate, .operator_bps = 7000, .pool_bps = 5000, .has_operator = true, .from_at = from, .to_at = to};
}

// covers: S04_BILL_CHG_001
TEST(Charge, S04_BILL_CHG_001_IsTheWorkedExample) {
  const UtcTime from = parse_rfc3339("2026-01-01T10:17:23.456Z").value();
  const HourCharge charge = charge_of(segment(180000, from), kTen);
  EXPECT_EQ(charge, (HourCharge{2556544, 127827, 89478, 19174}));
  EXPECT_EQ(contributor_part(charge.pool_micros, 7000), 13421);
  EXPECT_EQ(contributor_part(charge.pool_micros, 3000), 5752);
  ChargedSegment own = segment(180000, from);
  own.has_operator = false;
  EXPECT_EQ(charge_of(own, kTen), (HourCharge{2556544, 127827, 0, 63913}));
}

// covers: S04_BILL_CHG_005
TEST(Charge, S04_BILL_CHG_005_CountsMillisecondsAndBoundaries) {
  EXPECT_EQ(charge_of(segment(3'600'000, kTen), kTen).gross_micros, 3'600'000);
  EXPECT_EQ(charge_of(segment(3'600'000, kTen, kTen), kTen), HourCharge{});
  EXPECT_EQ(charge_of(segment(3'600'000, kTen + kHour), kTen), HourCharge{});
  EXPECT_EQ(charge_of(segment(3'600'000, kTen - kHour, kTen), kTen), HourCharge{});
  EXPECT_EQ(charge_of(segment(3'600'000, kTen, kTen + Milliseconds(1)), kTen), (HourCharge{1, 1, 0, 0}));
  EXPECT_EQ(charge_of(segment(1'800'000, kTen, kTen + Milliseconds(1)), kTen).gross_micros, 1) << "half goes up";
  EXPECT_EQ(charge_of(segment(1'799'999, kTen, kTen + Milliseconds(1)), kTen).gross_micros, 0);
  EXPECT_EQ(charge_of(segment(kMaxRateMicros, kTen), kTen).gross_micros, kMaxRateMicros) << "no overflow";
}

// covers: S04_BILL_CHG_005
RC_GTEST_PROP(Charge, S04_BILL_CHG_005_AdjacentHoursSumToTheWholeWithinAMicroEach, ()) {
  const auto rate = *rc::gen::inRange<std::int64_t>(0, kMaxRateMicros + 1);
  const auto from = *rc::gen::inRange<std::int64_t>(0, kHourMs);
  const auto length = *rc::gen::inRange<std::int64_t>(1, 6 * kHourMs);
  const ChargedSegment one = segment(rate, kTen + Milliseconds(from), kTen + Milliseconds(from + length));
  std::int64_t gross = 0;
  std::int64_t ms = 0;
  for (int hour = 0; hour < 8; ++hour) {
    const HourCharge charge = charge_of(one, kTen + hour * kHour);
    RC_ASSERT(charge.operator_micros + charge.pool_micros <= charge.gross_micros);
    gross += charge.gross_micros;
    ms += charge.billed_ms;
  }
  RC_ASSERT(ms == length);
  const auto exact = static_cast<long double>(rate) * static_cast<long double>(length) / kHourMs;
  RC_ASSERT(static_cast<long double>(gross) >= exact - 8 && static_cast<long double>(gross) <= exact + 8);
}

TEST(Charge, RefusesSharesOfMoreThanThereIs) {
  const AccountId a("a");
  const AccountId b("b");
  EXPECT_TRUE(is_valid({}));
  EXPECT_TRUE(is_valid({{a, 7000}, {b, 3000}}));
  EXPECT_FALSE(is_valid({{a, 7000}, {b, 3001}}));
  EXPECT_FALSE(is_valid({{a, 0}}));
  EXPECT_FALSE(is_valid({{a, 20000}, {b, -10000}}));
}

}  // namespace
}  // namespace ee::cp
