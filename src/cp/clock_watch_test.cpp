#include "cp/clock_watch.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_log.h"

namespace ee::cp {
namespace {

TEST(ClockWatch, CountsStepsBackBeyondTwoSeconds) {
  FakeClock clock;
  metrics::Registry registry;
  CaptureLogs logs;
  ClockWatch watch(clock, registry);
  const auto steps = [&] { return registry.text().find("ee_clock_step_total 1") != std::string::npos; };
  watch.look();
  clock.advance(Seconds(10));
  watch.look();
  const UtcTime before = clock.now();
  clock.advance(Seconds(10));
  clock.set_utc(before + Seconds(8));
  watch.look();
  EXPECT_FALSE(steps()) << "two seconds are within what clocks do";
  clock.advance(Seconds(10));
  clock.set_utc(before);
  watch.look();
  EXPECT_TRUE(steps());
  EXPECT_TRUE(logs->contains("the system's clock went back"));
  clock.advance(Seconds(10));
  watch.look();
  EXPECT_TRUE(steps()) << "told once";
}

TEST(ClockWatch, ShowsHowFarTheOthersClockIs) {
  const FakeClock clock;
  metrics::Registry registry;
  CaptureLogs logs;
  ClockWatch watch(clock, registry);
  const auto shows = [&](const std::string& seconds) {
    return registry.text().find("\nee_clock_offset_seconds " + seconds + "\n") != std::string::npos;
  };
  watch.compare(Milliseconds(2000));
  EXPECT_FALSE(logs->contains("the system's clock is not the database's"));
  watch.compare(Milliseconds(-4500));
  EXPECT_TRUE(shows("-4.5")) << registry.text();
  EXPECT_TRUE(logs->contains("the system's clock is not the database's"));
  watch.compare(Milliseconds(0));
  EXPECT_TRUE(shows("0")) << registry.text();
}

}  // namespace
}  // namespace ee::cp
