#include "cp/domain/funds.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace ee::cp {
namespace {

using enum BillingState;
const UtcTime kNow = from_unix_ms(1'767'225'600'000);
constexpr std::int64_t kUsd = 1'000'000;

std::optional<FundsChange> next(BillingState state, std::int64_t available, std::int64_t burn,
                                std::optional<UtcTime> grace_ends_at = kNow + Seconds(1)) {
  return next_funds_state({.state = state, .grace_ends_at = grace_ends_at, .available = {available}, .burn = {burn}},
                          {}, kNow);
}

// covers: S04_BILL_FUND_001
TEST(FundsState, S04_BILL_FUND_001_IsTheTable) {
  struct Row {
    BillingState from;
    std::int64_t available;
    std::int64_t burn;
    std::optional<BillingState> to;
    std::string_view action;
  };
  const std::vector<Row> rows = {{ok, 24 * kUsd, kUsd, {}, ""},
                                 {ok, 24 * kUsd - 1, kUsd, low, "funds_low"},
                                 {ok, 1, 0, {}, ""},
                                 {ok, 0, 0, grace, "funds_grace"},
                                 {ok, -1, kUsd, grace, "funds_grace"},
                                 {low, 24 * kUsd, kUsd, {}, ""},
                                 {low, 30 * kUsd - 1, kUsd, {}, ""},
                                 {low, 30 * kUsd, kUsd, ok, "funds_restored"},
                                 {low, 1, 0, ok, "funds_restored"},
                                 {low, 0, kUsd, grace, "funds_grace"},
                                 {low, 0, 0, grace, "funds_grace"},
                                 {grace, 0, kUsd, {}, ""},
                                 {grace, -25 * kUsd, kUsd, {}, ""},
                                 {grace, -25 * kUsd - 1, kUsd, exhausted, "funds_exhausted"},
                                 {grace, 1, kUsd, low, "funds_restored"},
                                 {grace, 24 * kUsd, kUsd, ok, "funds_restored"},
                                 {grace, 1, 0, ok, "funds_restored"},
                                 {exhausted, 0, kUsd, {}, ""},
                                 {exhausted, -100 * kUsd, 0, {}, ""},
                                 {exhausted, 1, kUsd, low, "funds_restored"},
                                 {exhausted, 24 * kUsd, kUsd, ok, "funds_restored"}};
  for (const Row& row : rows) {
    const auto change = next(row.from, row.available, row.burn);
    ASSERT_EQ(change.has_value(), row.to.has_value())
        << static_cast<int>(row.from) << " " << row.available << " " << row.burn;
    if (!change) continue;
    EXPECT_EQ(change->to, *row.to) << row.available;
    EXPECT_EQ(change->action, row.action) << row.available;
    EXPECT_EQ(change->grace_ends_at.has_value(), *row.to == grace);
  }
}

// covers: S04_BILL_FUND_002
TEST(FundsState, S04_BILL_FUND_002_GraceLastsExactlyItsTime) {
  EXPECT_EQ(next(ok, 0, kUsd)->grace_ends_at, kNow + Seconds(3600));
  EXPECT_FALSE(next(grace, 0, kUsd, kNow + Milliseconds(1)));
  EXPECT_EQ(next(grace, 0, kUsd, kNow)->to, exhausted);
  EXPECT_EQ(next(grace, 0, kUsd, std::nullopt)->to, exhausted) << "a grace without an end has ended";
}

TEST(FundsState, DoesNotOverflow) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(next(ok, kMost - 1, kMost)->to, low);
  EXPECT_EQ(saturated_product(kMost, 2), kMost);
  EXPECT_EQ(saturated_sum(kMost, 1), kMost);
  EXPECT_EQ(saturated_sum(-kMost, -kMost), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(saturated_sum(3, -5), -2);
}

}  // namespace
}  // namespace ee::cp
