#include "cp/service/failure_throttle.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

TEST(FailureThrottle, SixtyAMinute) {
  FailureThrottle throttle(60, Milliseconds(1000), 100);
  SteadyTime now{std::chrono::hours(1)};
  for (int i = 0; i < 60; ++i) {
    EXPECT_FALSE(throttle.blocked("a", now)) << i;
    throttle.failed("a", now);
  }
  EXPECT_EQ(throttle.blocked("a", now), Seconds(1));
  EXPECT_FALSE(throttle.blocked("b", now));
  now += Milliseconds(999);
  EXPECT_TRUE(throttle.blocked("a", now));
  now += Milliseconds(1);
  EXPECT_FALSE(throttle.blocked("a", now));
  throttle.failed("a", now);
  EXPECT_TRUE(throttle.blocked("a", now));
  now += Seconds(60);
  for (int i = 0; i < 60; ++i) {
    EXPECT_FALSE(throttle.blocked("a", now)) << i;
    throttle.failed("a", now);
  }
  EXPECT_TRUE(throttle.blocked("a", now));
}

TEST(FailureThrottle, FurtherFailuresDoNotPushTheEndAway) {
  FailureThrottle throttle(60, Milliseconds(1000), 100);
  const SteadyTime now{std::chrono::hours(1)};
  for (int i = 0; i < 10000; ++i) throttle.failed("a", now);
  EXPECT_EQ(throttle.blocked("a", now), Seconds(1));
}

TEST(FailureThrottle, ForgetsWhoFailedLongestAgoWhenFull) {
  FailureThrottle throttle(1, Milliseconds(60'000), 3);
  const SteadyTime now{std::chrono::hours(1)};
  for (const char* key : {"a", "b", "c"}) throttle.failed(key, now);
  throttle.failed("a", now);
  throttle.failed("d", now);
  EXPECT_EQ(throttle.size(), 3U);
  EXPECT_FALSE(throttle.blocked("b", now));
  for (const char* key : {"a", "c", "d"}) EXPECT_TRUE(throttle.blocked(key, now)) << key;
}

}  // namespace
}  // namespace ee::cp
