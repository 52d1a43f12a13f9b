#include "net/stall_guard.h"

#include <gtest/gtest.h>

namespace ee::net {
namespace {

using namespace std::chrono_literals;

TEST(StallGuard, HoldsBackForAMomentAfterTheLoopStoodStill) {
  StallGuard guard;
  StallGuard::Time now{1h};
  EXPECT_TRUE(guard.may_judge(now, 0ms));
  EXPECT_TRUE(guard.may_judge(now += 100ms, 999ms)) << "a busy moment";
  EXPECT_FALSE(guard.may_judge(now += 90s, 89'900ms));
  EXPECT_FALSE(guard.may_judge(now += 1'999ms, 0ms));
  EXPECT_TRUE(guard.may_judge(now += 1ms, 0ms));
  EXPECT_FALSE(guard.may_judge(now += 2s, 1'000ms));
  EXPECT_FALSE(guard.may_judge(now += 999ms, 0ms)) << "as long as it stood still";
  EXPECT_TRUE(guard.may_judge(now += 1ms, 0ms));
}

TEST(StallGuard, JudgesAlsoWhenTheLoopIsAlwaysLate) {
  StallGuard guard;
  StallGuard::Time now{1h};
  int judged = 0;
  for (int tick = 0; tick < 20; ++tick) judged += guard.may_judge(now += 3s, 2'900ms) ? 1 : 0;
  EXPECT_EQ(judged, 10);
}

}  // namespace
}  // namespace ee::net
