#include "cp/store/login_throttle_store.h"

#include <gtest/gtest.h>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

constexpr const char* kBucket = "ip:192.0.2.1";

class LoginThrottleStoreTest : public ::testing::Test {
 protected:
  bool raise(const std::string& bucket = kBucket, const ThrottleRule& rule = kAddressThrottle) {
    return database_->write<bool>([&](db::Transaction& tx) { return store_.raise(tx, bucket, rule, now_); }).value();
  }
  /// How many attempts may be made before the lock; then how long it is.
  int attempts_until_locked() {
    int count = 0;
    while (count < 1000 && raise()) ++count;
    return count;
  }
  Milliseconds locked_for(const std::string& bucket = kBucket) {
    const auto until = database_->read<std::optional<UtcTime>>(
        [&](db::Transaction& tx) { return store_.locked_until(tx, bucket, now_); });
    return until.value() ? **until - now_ : Milliseconds(0);
  }

  UtcTime now_ = from_unix_ms(1'767'225'600'000);
  testing::TestDatabase database_;
  LoginThrottleStore store_;
};

// covers: S04_AUTH_LOCK_001
TEST_F(LoginThrottleStoreTest, FiveAttemptsThenAQuarterOfAnHour) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(raise());
  EXPECT_EQ(locked_for(), Milliseconds(0));
  EXPECT_TRUE(raise());
  EXPECT_EQ(locked_for(), Seconds(900));
  EXPECT_FALSE(raise());
  now_ += Seconds(899);
  EXPECT_FALSE(raise());
  EXPECT_TRUE(raise("ip:192.0.2.2"));
  now_ += Seconds(1);
  EXPECT_EQ(locked_for(), Milliseconds(0));
  EXPECT_EQ(attempts_until_locked(), 5);
}

TEST_F(LoginThrottleStoreTest, LocksDoubleUpToADay) {
  const int expected_minutes[] = {15, 30, 60, 120, 240, 480, 960, 1440, 1440, 1440};
  for (const int minutes : expected_minutes) {
    EXPECT_EQ(attempts_until_locked(), 5);
    EXPECT_EQ(locked_for(), std::chrono::minutes(minutes));
    now_ += locked_for();
  }
}

TEST_F(LoginThrottleStoreTest, ADayWithoutALockForgetsTheDoubling) {
  attempts_until_locked();
  now_ += locked_for() + Seconds(86399);
  attempts_until_locked();
  EXPECT_EQ(locked_for(), Seconds(1800));
  now_ += locked_for() + Seconds(86400);
  attempts_until_locked();
  EXPECT_EQ(locked_for(), Seconds(900));
}

TEST_F(LoginThrottleStoreTest, FailuresCountWithinTheWindowOnly) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(raise());
  now_ += Seconds(900);
  EXPECT_EQ(attempts_until_locked(), 5);
}

TEST_F(LoginThrottleStoreTest, ASuccessClearsTheCountAndTheLock) {
  for (int i = 0; i < 5; ++i) raise();
  EXPECT_TRUE(database_->write<int>([&](db::Transaction& tx) -> Result<int> {
    if (auto done = store_.clear(tx, kBucket); !done) return std::unexpected(done.error());
    return 0;
  }));
  EXPECT_EQ(locked_for(), Milliseconds(0));
  EXPECT_EQ(attempts_until_locked(), 5);
  EXPECT_EQ(locked_for(), Seconds(900));
}

TEST_F(LoginThrottleStoreTest, TheGlobalLockDoesNotGrow) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(raise("global", kGlobalThrottle));
    EXPECT_FALSE(raise("global", kGlobalThrottle));
    EXPECT_EQ(locked_for("global"), Seconds(300));
    now_ += Seconds(300);
  }
}

// covers: S04_AUTH_LOCK_003
TEST_F(LoginThrottleStoreTest, ALockSurvivesARestart) {
  attempts_until_locked();
  database_.restart();
  EXPECT_FALSE(raise());
  EXPECT_EQ(locked_for(), Seconds(900));
}

TEST_F(LoginThrottleStoreTest, IdleBucketsAreRemoved) {
  raise("old");
  now_ += Seconds(10);
  raise("new");
  const auto removed =
      database_->write<std::int64_t>([&](db::Transaction& tx) { return store_.remove_idle(tx, now_, 100); });
  EXPECT_EQ(removed, 1);
  EXPECT_EQ(database_.values<std::string>("SELECT bucket FROM login_throttle"), std::vector<std::string>{"new"});
  for (int i = 0; i < 5; ++i) raise("new");
  now_ += Seconds(100);  // the window's start is old, the lock is not over
  EXPECT_EQ(database_->write<std::int64_t>([&](db::Transaction& tx) { return store_.remove_idle(tx, now_, 100); }), 0);
}

}  // namespace
}  // namespace ee::cp
