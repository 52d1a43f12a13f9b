#include "cp/jobs/schedule.h"

#include <gtest/gtest.h>

#include <functional>

#include "common/fake_random.h"

namespace ee::cp {
namespace {

struct Range {
  Milliseconds low = Milliseconds::max();
  Milliseconds high = Milliseconds::min();
};

Range range_of(const std::function<Milliseconds(Random&)>& delay) {
  FakeRandom random;
  Range range;
  for (int i = 0; i < 5000; ++i) {
    const Milliseconds value = delay(random);
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  return range;
}

/// All draws lie within [low, high], and they use at least nine tenths of it.
void expect_spread(const Range& found, Milliseconds low, Milliseconds high) {
  EXPECT_GE(found.low, low);
  EXPECT_LE(found.high, high);
  EXPECT_GE((found.high - found.low).count(), (high - low).count() * 9 / 10);
}

// covers: S05_JOB_01
TEST(JobSchedule, TheWaitIsThePeriodAndTenPercentMoreOrLess) {
  expect_spread(range_of([](Random& random) { return next_delay(Seconds(60), random); }), Seconds(54), Seconds(66));
  expect_spread(range_of([](Random& random) { return next_delay(Seconds(1), random); }), Milliseconds(900),
                Milliseconds(1100));
}

TEST(JobSchedule, FirstRunsAreSpreadOverThePeriodOrHalfAMinute) {
  expect_spread(range_of([](Random& random) { return first_delay(Seconds(5), random); }), Seconds(0), Seconds(5));
  expect_spread(range_of([](Random& random) { return first_delay(Seconds(86400), random); }), Seconds(0), Seconds(30));
}

// covers: S05_JOB_03
TEST(JobSchedule, FailuresDoubleTheWaitUpToAQuarterOfAnHourOrThePeriod) {
  const auto around = [](Milliseconds period, std::int64_t failures, Milliseconds expected) {
    SCOPED_TRACE(failures);
    expect_spread(range_of([&](Random& random) { return retry_delay(period, failures, random); }), expected * 9 / 10,
                  expected * 11 / 10);
  };
  around(Seconds(60), 1, Seconds(60));
  around(Seconds(60), 2, Seconds(120));
  around(Seconds(60), 4, Seconds(480));
  around(Seconds(60), 5, Seconds(900));
  around(Seconds(60), 1000000, Seconds(900));
  around(Seconds(3600), 1, Seconds(3600));
  around(Seconds(3600), 9, Seconds(3600));
}

}  // namespace
}  // namespace ee::cp
