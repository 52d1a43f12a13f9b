#include "cp/service/last_uses.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

const UtcTime kNow = from_unix_ms(1'767'225'600'000);

class LastUsesTest : public ::testing::Test {
 protected:
  LastUses make(Seconds every) {
    return LastUses(every, [this](db::Transaction&, const std::vector<KeyUse>& uses) -> Result<std::int64_t> {
      if (broken_) return fail(ErrorCode::database_unavailable, "broken");
      largest_ = std::max(largest_, uses.size());
      for (const KeyUse& use : uses) written_[use.key_id].push_back(use.at);
      return static_cast<std::int64_t>(uses.size());
    });
  }
  Result<std::int64_t> flush(LastUses& uses, UtcTime now) { return uses.flush(*database_, {}, now); }

  testing::TestDatabase database_;
  std::map<std::string, std::vector<UtcTime>> written_;
  std::size_t largest_ = 0;
  bool broken_ = false;
};

TEST_F(LastUsesTest, WritesEachAtMostOncePerPeriod) {
  LastUses uses = make(Seconds(60));
  uses.note("a", "192.0.2.1", kNow);
  EXPECT_EQ(flush(uses, kNow), 1);
  uses.note("a", "192.0.2.1", kNow + Seconds(59));
  EXPECT_EQ(flush(uses, kNow + Seconds(59)), 0);
  uses.note("a", "192.0.2.1", kNow + Seconds(60));
  EXPECT_EQ(flush(uses, kNow + Seconds(60)), 1);
  EXPECT_EQ(written_["a"], (std::vector<UtcTime>{kNow, kNow + Seconds(60)}));
  EXPECT_EQ(uses.size(), 1U) << "remembered for its period";
  EXPECT_EQ(flush(uses, kNow + Seconds(120)), 0);
  EXPECT_EQ(uses.size(), 0U);
}

// Agents: 100,000 entries of a day would be 15 MiB for nothing.
TEST_F(LastUsesTest, WithoutAPeriodWhatIsWrittenIsForgotten) {
  LastUses uses = make(Seconds(0));
  for (int i = 0; i < 20'000; ++i) uses.note("key-" + std::to_string(i), {}, kNow);
  EXPECT_EQ(uses.size(), 20'000U);
  EXPECT_EQ(flush(uses, kNow), 20'000);
  EXPECT_EQ(written_.size(), 20'000U);
  EXPECT_LE(largest_, LastUses::kRowsAtOnce);
  EXPECT_EQ(uses.size(), 0U);
}

TEST_F(LastUsesTest, WhatCouldNotBeWrittenStaysDue) {
  LastUses uses = make(Seconds(0));
  uses.note("a", {}, kNow);
  broken_ = true;
  EXPECT_FALSE(flush(uses, kNow));
  EXPECT_EQ(uses.size(), 1U);
  broken_ = false;
  EXPECT_EQ(flush(uses, kNow), 1);
  EXPECT_EQ(written_["a"], std::vector<UtcTime>{kNow});
}

}  // namespace
}  // namespace ee::cp
