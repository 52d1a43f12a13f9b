#include "cp/service/settings_cache.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/fake_clock.h"

namespace ee::cp {
namespace {

const SettingsContext kDev{.stage = Stage::dev};

SettingsPtr snapshot(std::int64_t version) {
  return std::make_shared<SettingsSnapshot>(resolve_settings({}, {}, kDev), StoredSettings{}, version);
}

class SettingsCacheTest : public ::testing::Test {
 protected:
  std::unique_ptr<SettingsCache> make() {
    return std::make_unique<SettingsCache>(
        snapshot(0), Milliseconds(1000), clock_, [this] { return read(); },
        [this](const SettingsSnapshot& now) {
          EXPECT_GE(now.version(), last_told_) << "listeners see changes in order";
          last_told_ = now.version();
        },
        [](const Error&) {});
  }
  Result<SettingsPtr> read() {
    ++reads_;
    if (failing_) return fail(ErrorCode::database_unavailable);
    const std::int64_t version = stored_version_;
    if (during_read_) during_read_();
    return snapshot(version);
  }

  FakeClock clock_;
  std::atomic<int> reads_ = 0;
  std::atomic<bool> failing_ = false;
  std::atomic<std::int64_t> stored_version_ = 1;
  std::function<void()> during_read_;
  std::int64_t last_told_ = 0;
};

TEST_F(SettingsCacheTest, ReadsNothingBeforeItIsLoaded) {
  const auto cache = make();
  clock_.advance(std::chrono::hours(1));
  EXPECT_EQ(cache->get()->version(), 0);
  cache->settle();
  EXPECT_EQ(reads_, 0);
  ASSERT_TRUE(cache->load());
  EXPECT_EQ(cache->get()->version(), 1);
}

TEST_F(SettingsCacheTest, NeverGoesBackToAnOlderSnapshot) {
  const auto cache = make();
  ASSERT_TRUE(cache->load());
  cache->replace(snapshot(5));
  cache->replace(snapshot(4));
  EXPECT_EQ(cache->get()->version(), 5);
  clock_.advance(Milliseconds(1001));
  cache->get();
  cache->settle();
  EXPECT_EQ(cache->get()->version(), 5) << "the reload had read version 1";
}

TEST_F(SettingsCacheTest, TriesAFailedReloadAgainOnlyAfterTheTtl) {
  const auto cache = make();
  ASSERT_TRUE(cache->load());
  failing_ = true;
  clock_.advance(Milliseconds(1001));
  cache->get();
  cache->settle();
  const int reads = reads_;
  for (int i = 0; i < 100; ++i) cache->get();
  cache->settle();
  EXPECT_EQ(reads_, reads);
  clock_.advance(std::chrono::minutes(1));
  EXPECT_EQ(cache->get()->version(), 1) << "waited for one attempt, then took what there is";
  EXPECT_EQ(reads_, reads + 1);
  EXPECT_EQ(cache->failing_for(), std::chrono::minutes(1));
}

TEST_F(SettingsCacheTest, ReadsAnewWhenItIsToldTo) {
  const auto cache = make();
  cache->refresh();
  cache->settle();
  EXPECT_EQ(reads_, 0) << "not before it is loaded";
  ASSERT_TRUE(cache->load());
  stored_version_ = 2;
  cache->refresh();
  cache->settle();
  EXPECT_EQ(cache->get()->version(), 2) << "although no time has passed";
  stored_version_ = 3;
  failing_ = true;
  cache->refresh();
  cache->settle();
  EXPECT_EQ(cache->get()->version(), 2);
  failing_ = false;
  clock_.advance(Milliseconds(1001));
  cache->get();
  cache->settle();
  EXPECT_EQ(cache->get()->version(), 3) << "the TTL finds what the failed reading missed";
}

TEST_F(SettingsCacheTest, WhatIsToldWhileItReadsIsReadToo) {
  const auto cache = make();
  ASSERT_TRUE(cache->load());
  std::atomic<bool> reading = false;
  std::atomic<bool> told = false;
  during_read_ = [&] {
    reading = true;
    while (!told) std::this_thread::yield();
  };
  cache->refresh();
  while (!reading) std::this_thread::yield();
  stored_version_ = 2;  // too late for the reading that is under way
  cache->refresh();
  told = true;
  cache->settle();
  EXPECT_EQ(cache->get()->version(), 2);
  EXPECT_EQ(reads_, 3) << "load, and two";
}

TEST_F(SettingsCacheTest, ServesManyThreadsWhileItChanges) {
  const auto cache = make();
  ASSERT_TRUE(cache->load());
  std::atomic<bool> done = false;
  std::vector<std::jthread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([&] {
      std::int64_t last = 0;
      while (!done) {
        const std::int64_t version = cache->get()->version();
        EXPECT_GE(version, last);
        last = version;
      }
    });
  for (std::int64_t version = 2; version <= 300; ++version) {
    stored_version_ = version;
    if (version % 2 == 0) cache->replace(snapshot(version));
    clock_.advance(Milliseconds(1001));
  }
  done = true;
  readers.clear();
  clock_.advance(Milliseconds(1001));
  cache->get();
  cache->settle();
  EXPECT_EQ(cache->get()->version(), 300);
}

}  // namespace
}  // namespace ee::cp
