#include "cp/service/audit_fold.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

TEST(AuditFold, OneRowAMinutePerKey) {
  AuditFold fold;
  SteadyTime now{std::chrono::hours(1)};
  EXPECT_EQ(fold.admit("a", now), 0);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(fold.admit("a", now), std::nullopt);
  EXPECT_EQ(fold.admit("b", now), 0);
  now += Seconds(59);
  EXPECT_EQ(fold.admit("a", now), std::nullopt);
  now += Seconds(1);
  EXPECT_EQ(fold.admit("a", now), 8);
  EXPECT_EQ(fold.admit("a", now), std::nullopt);
}

TEST(AuditFold, IsBoundedWhateverTheKeys) {
  AuditFold fold;
  const SteadyTime now{std::chrono::hours(1)};
  int rows = 0;
  for (std::size_t i = 0; i < AuditFold::kMaxKeys + 1000; ++i) rows += fold.admit("k" + std::to_string(i), now) ? 1 : 0;
  EXPECT_EQ(rows, static_cast<int>(AuditFold::kMaxKeys) + 1);  // the rest share one entry
  EXPECT_EQ(fold.admit("another", now + AuditFold::kPeriod), 999) << "room again, and what was folded is told";
}

TEST(AuditFold, IsNotFullForGoodWhenEveryKeyWasFoldedOnce) {
  AuditFold fold;
  SteadyTime now{std::chrono::hours(1)};
  for (std::size_t i = 0; i < 2 * AuditFold::kMaxKeys; ++i) {
    (void)fold.admit("k" + std::to_string(i / 2), now);  // each twice
  }
  now += AuditFold::kPeriod;
  EXPECT_EQ(fold.admit("first", now), static_cast<std::int64_t>(AuditFold::kMaxKeys));
  EXPECT_EQ(fold.admit("second", now), 0) << "each kind has a row of its own again";
}

}  // namespace
}  // namespace ee::cp
