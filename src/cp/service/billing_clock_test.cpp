#include "cp/service/billing_clock.h"

#include <gtest/gtest.h>

#include "cp/store/meta_store.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using namespace std::chrono_literals;

class BillingClockTest : public ::testing::Test {
 protected:
  ClockLeap look(BillingClock& clock) {
    const auto leap = clock.look(db_);
    EXPECT_TRUE(leap) << leap.error().detail;
    return leap.value_or(ClockLeap{});
  }
  void leap(Milliseconds by) { system_.set_utc(system_.now() + by); }
  void accept() {
    ASSERT_TRUE(
        db_->write<std::int64_t>([](db::Transaction& tx) { return MetaStore().raise(tx, kClockLeapsAcceptedKey); }));
  }

  testing::TestDatabase db_;
  FakeClock system_;
};

TEST_F(BillingClockTest, FollowsAClockThatKeepsTime) {
  BillingClock clock(system_, "boot");
  for (int n = 0; n < 3; ++n) {
    EXPECT_EQ(clock.now(), system_.now());
    EXPECT_EQ(look(clock).ahead, 0ms);
    system_.advance(1000h);  // a process may sleep, and nothing may look
  }
  leap(BillingClock::kTolerance);
  EXPECT_EQ(clock.now(), system_.now()) << "what clocks and their corrections have";
  EXPECT_EQ(look(clock).ahead, 0ms);
}

TEST_F(BillingClockTest, DoesNotLeapAheadWithIt) {
  BillingClock clock(system_, "boot");
  look(clock);
  system_.advance(10min);
  const UtcTime right = clock.now();
  leap(24h);
  EXPECT_EQ(clock.now(), right) << "also before anybody looks";
  ClockLeap seen = look(clock);
  EXPECT_EQ(seen.ahead, 24h);
  EXPECT_FALSE(seen.lasting) << "it may be put right in a moment";
  system_.advance(BillingClock::kPatience);
  EXPECT_EQ(clock.now(), right + BillingClock::kPatience) << "time passes all the same";
  EXPECT_TRUE(look(clock).lasting);
  leap(-24h);
  EXPECT_EQ(look(clock).ahead, 0ms);
  EXPECT_EQ(clock.now(), system_.now());
}

TEST_F(BillingClockTest, ManySmallLeapsAreALargeOne) {
  BillingClock clock(system_, "boot");
  for (int n = 0; n < 3; ++n) {
    leap(50min);
    look(clock);
  }
  EXPECT_EQ(look(clock).ahead, 150min);
  EXPECT_EQ(clock.now() + 150min, system_.now());
}

TEST_F(BillingClockTest, WhatWentBackIsSeenWhenItComesForward) {
  BillingClock clock(system_, "boot");
  leap(-24h);
  EXPECT_EQ(look(clock).ahead, 0ms);
  EXPECT_EQ(clock.now(), system_.now());
  leap(24h);
  EXPECT_EQ(look(clock).ahead, 24h);
}

TEST_F(BillingClockTest, ARestartOfTheProcessForgetsNothing) {
  {
    BillingClock before(system_, "boot");
    look(before);
  }
  system_.advance(50h);  // nothing runs
  BillingClock after_downtime(system_, "boot");
  EXPECT_EQ(look(after_downtime).ahead, 0ms);
  EXPECT_EQ(after_downtime.now(), system_.now()) << "time without a process has passed as well";
  leap(24h);
  BillingClock after_leap(system_, "boot");
  EXPECT_EQ(look(after_leap).ahead, 24h);
  EXPECT_EQ(after_leap.now() + 24h, system_.now());
}

TEST_F(BillingClockTest, AMachineThatWasOffIsBelieved) {
  BillingClock before(system_, "boot");
  look(before);
  FakeClock later(system_.now() + 50h);  // its monotonic clock began anew
  BillingClock after(later, "another boot");
  EXPECT_EQ(after.look(db_)->ahead, 0ms);
  EXPECT_EQ(after.now(), later.now());
}

TEST_F(BillingClockTest, AnAcceptedLeapCountsOnEveryReplica) {
  BillingClock first(system_, "boot");
  BillingClock second(system_, "boot");
  look(first);
  look(second);
  leap(24h);
  EXPECT_EQ(look(first).ahead, 24h);
  EXPECT_EQ(look(second).ahead, 24h);
  accept();
  for (BillingClock* clock : {&first, &second}) {
    EXPECT_EQ(look(*clock).ahead, 0ms);
    EXPECT_EQ(clock->now(), system_.now());
  }
  BillingClock restarted(system_, "boot");
  EXPECT_EQ(look(restarted).ahead, 0ms);
  leap(24h);
  EXPECT_EQ(look(first).ahead, 24h) << "the next one is another";
}

TEST_F(BillingClockTest, WhatWasKeptMayBeUnreadable) {
  db_.execute("INSERT INTO meta (key, value) VALUES ('billing_clock', '{')");
  BillingClock clock(system_, "boot");
  EXPECT_EQ(look(clock).ahead, 0ms);
  leap(24h);
  BillingClock restarted(system_, "boot");
  EXPECT_EQ(look(restarted).ahead, 24h) << "it was replaced";
}

}  // namespace
}  // namespace ee::cp
