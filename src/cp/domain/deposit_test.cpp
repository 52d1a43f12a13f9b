#include "cp/domain/deposit.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace ee::cp {
namespace {

using enum DepositStatus;

TEST(DepositStates, MoveUpTheRankOnly) {
  constexpr std::array kAll = {creating, requires_payment, processing, failed, canceled, succeeded};
  for (const DepositStatus now : kAll) {
    EXPECT_EQ(next_status(now, creating), std::nullopt);
    EXPECT_EQ(next_status(now, now), std::nullopt);
    // "any but succeeded: succeeded", late truth included
    EXPECT_EQ(next_status(now, succeeded), now == succeeded ? std::nullopt : std::optional(succeeded));
    EXPECT_EQ(next_status(succeeded, now), std::nullopt);
  }
  EXPECT_EQ(next_status(creating, requires_payment), requires_payment);
  EXPECT_EQ(next_status(creating, processing), processing);
  EXPECT_EQ(next_status(creating, failed), failed);
  EXPECT_EQ(next_status(requires_payment, processing), processing);
  EXPECT_EQ(next_status(processing, requires_payment), std::nullopt);
  EXPECT_EQ(next_status(processing, canceled), canceled);
  EXPECT_EQ(next_status(canceled, processing), std::nullopt);
  EXPECT_EQ(next_status(canceled, failed), std::nullopt);
  EXPECT_EQ(next_status(failed, canceled), canceled);
}

TEST(DepositAmount, IsADecimalStringOfWholeCentsWithinBounds) {
  const UsdMicros least{5'000'000};
  const UsdMicros most{10'000'000'000};
  const auto amount = [&](std::string_view text) { return parse_deposit_amount(text, least, most); };
  EXPECT_EQ(amount("5").value().value, 5'000'000);
  EXPECT_EQ(amount("25.10").value().value, 25'100'000);
  EXPECT_EQ(amount("10000.000000").value().value, 10'000'000'000);
  for (const std::string_view bad :
       {"", "-5", "4.99", "10000.01", "5.001", "5.", ".5", "05.00", "1e9", "0.0000001", "5 ", "+5", "5,00", "NaN"})
    EXPECT_EQ(amount(bad).error().code, ErrorCode::invalid_amount) << bad;
}

}  // namespace
}  // namespace ee::cp
