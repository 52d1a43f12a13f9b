#include "cp/http/backend_health.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_random.h"

namespace ee::cp {
namespace {

BackendRoute backend(const std::string& id) {
  BackendRoute route;
  route.deployment_id = id;
  return route;
}

TEST(BackendHealth, WaitsLongerAfterEachEjectionAndForgetsThemWithOneSuccess) {
  FakeRandom random;
  FakeClock clock;
  BackendHealth health(random);
  const BackendRoute only = backend("a");
  for (const int seconds : {10, 20, 40, 80, 160, 300, 300}) {
    for (int i = 1; i < BackendHealth::kFailures; ++i) EXPECT_FALSE(health.failed(only, clock.steady_now()));
    EXPECT_TRUE(health.failed(only, clock.steady_now()));
    clock.advance(Seconds(seconds) - Milliseconds(1));
    EXPECT_EQ(health.ejected(clock.steady_now()), 1) << seconds;
    clock.advance(Milliseconds(1));
    EXPECT_EQ(health.ejected(clock.steady_now()), 0) << seconds;
  }
  health.succeeded(only);
  for (int i = 0; i < BackendHealth::kFailures; ++i) health.failed(only, clock.steady_now());
  clock.advance(Seconds(10));
  EXPECT_EQ(health.ejected(clock.steady_now()), 0);
}

TEST(BackendHealth, ForgetsBackendsThatAreGoneButNoneInUse) {
  FakeRandom random;
  FakeClock clock;
  BackendHealth health(random);
  ServiceRoute kept;
  kept.backends = {backend("in use")};
  ASSERT_TRUE(health.choose(kept, {}, 8, clock.steady_now()));
  for (std::size_t i = 0; i < 10 * BackendHealth::kTrimAt; ++i) {
    ServiceRoute service;
    service.backends = {backend(std::to_string(i))};
    ASSERT_TRUE(health.choose(service, {}, 8, clock.steady_now()));
    health.release(service.backends[0]);
    clock.advance(Seconds(1));
    ASSERT_LE(health.known(), 2 * BackendHealth::kTrimAt + 1);
  }
  clock.advance(Seconds(3600));
  ServiceRoute full = kept;
  EXPECT_FALSE(health.choose(full, {}, 1, clock.steady_now())) << "its request is still in flight";
}

}  // namespace
}  // namespace ee::cp
