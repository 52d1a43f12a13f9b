#include "common/deadline_stop.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "common/fake_clock.h"

namespace ee {
namespace {

/// Returns when `token` has fired; a test that hangs here has failed.
void wait_for(const std::stop_token& token) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait(lock, token, [] { return false; });
}

TEST(DeadlineStop, FiresAtTheDeadlineAndNotBefore) {
  FakeClock clock;
  const DeadlineStop stop(clock, clock.steady_now() + Seconds(60), {});
  clock.advance(Seconds(59));
  EXPECT_FALSE(stop.token().stop_requested());
  clock.advance(Seconds(1));
  wait_for(stop.token());
  EXPECT_TRUE(stop.token().stop_requested());
}

TEST(DeadlineStop, FiresWithTheOuterToken) {
  FakeClock clock;
  std::stop_source outer;
  const DeadlineStop stop(clock, clock.steady_now() + Seconds(60), outer.get_token());
  EXPECT_FALSE(stop.token().stop_requested());
  outer.request_stop();
  EXPECT_TRUE(stop.token().stop_requested());
  const DeadlineStop late(clock, clock.steady_now() + Seconds(60), outer.get_token());
  EXPECT_TRUE(late.token().stop_requested());
}

TEST(DeadlineStop, EndsWithoutFiringAndMovesNoClock) {
  FakeClock clock;
  clock.set_auto_advance(true);
  const SteadyTime before = clock.steady_now();
  std::stop_token token;
  {
    const DeadlineStop stop(clock, before + Seconds(60), {});
    token = stop.token();
  }
  EXPECT_FALSE(token.stop_requested());
  EXPECT_EQ(clock.steady_now(), before);
}

}  // namespace
}  // namespace ee
