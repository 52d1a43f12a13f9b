#include "net/rate_limiter.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/fake_clock.h"
#include "net/client_address.h"

namespace ee::net {
namespace {

constexpr RateRule kChallenge{.count = 60, .period = Seconds(60), .burst = 30};

/// How many of `tries` are allowed at this moment.
int allowed(RateLimiter& limiter, std::string_view key, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += limiter.take(key).allowed ? 1 : 0;
  return count;
}

TEST(RateLimiter, AllowsTheBurstThenTheRate) {
  FakeClock clock;
  RateLimiter limiter(kChallenge, clock);

  EXPECT_EQ(allowed(limiter, "192.0.2.1", 40), 30);
  clock.advance(Milliseconds(999));
  EXPECT_EQ(allowed(limiter, "192.0.2.1", 2), 0);
  clock.advance(Milliseconds(1));
  EXPECT_EQ(allowed(limiter, "192.0.2.1", 2), 1);
  clock.advance(Milliseconds(10'000));
  EXPECT_EQ(allowed(limiter, "192.0.2.1", 40), 10);
  clock.advance(std::chrono::hours(5));
  EXPECT_EQ(allowed(limiter, "192.0.2.1", 40), 30);
}

TEST(RateLimiter, ServesItsRateAndNoMoreOverALongTime) {
  FakeClock clock;
  RateLimiter limiter({.count = 50, .period = Seconds(1), .burst = 100}, clock);

  int count = 0;
  for (int i = 0; i < 60'000; ++i) {  // one minute, a try each millisecond
    count += limiter.take("p").allowed ? 1 : 0;
    clock.advance(Milliseconds(1));
  }
  EXPECT_EQ(count, 100 + 60 * 50 - 1);  // the last millisecond is still to come
}

// covers: S05_RATE_02
TEST(RateLimiter, SaysExactlyWhenToComeBack) {
  FakeClock clock;
  RateLimiter limiter({.count = 30, .period = Seconds(60), .burst = 2}, clock);

  const RateDecision first = limiter.take("k");
  EXPECT_TRUE(first.allowed);
  EXPECT_EQ(first.limit, 2);
  EXPECT_EQ(first.remaining, 1);
  EXPECT_EQ(first.reset, Seconds(2));
  EXPECT_EQ(first.retry_after, Seconds(0));
  EXPECT_EQ(limiter.take("k").remaining, 0);
  clock.advance(Milliseconds(500));
  const RateDecision refused = limiter.take("k");
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.retry_after, Seconds(2));  // 1.5 s, whole seconds up
  EXPECT_EQ(refused.reset, Seconds(4));        // 3.5 s
  clock.advance(Milliseconds(500));
  EXPECT_EQ(limiter.take("k").retry_after, Seconds(1));
  clock.advance(Seconds(1));  // whoever comes back when told is served
  EXPECT_TRUE(limiter.take("k").allowed);
}

TEST(RateLimiter, KeepsKeysApart) {
  FakeClock clock;
  RateLimiter limiter(kChallenge, clock);

  EXPECT_EQ(allowed(limiter, "a", 31), 30);
  EXPECT_EQ(allowed(limiter, "b", 31), 30);
}

// covers: S05_RATE_03
TEST(RateLimiter, ForgetsTheLeastRecentlyUsedKeyBeyondItsBound) {
  FakeClock clock;
  RateLimiter limiter({.count = 1, .period = Seconds(3600), .burst = 1}, clock);

  ASSERT_TRUE(limiter.take("first").allowed);
  for (int i = 0; i < 100'000; ++i) {
    limiter.take("key-" + std::to_string(i));
    if (i % 1000 == 0) {
      ASSERT_FALSE(limiter.take("first").allowed) << "in use, so never forgotten";
    }
    ASSERT_LE(limiter.keys(), RateLimiter::kMaxKeys);
  }
  EXPECT_GT(limiter.keys(), RateLimiter::kMaxKeys * 9 / 10);
  EXPECT_TRUE(limiter.take("key-0").allowed) << "a dropped key starts full";
  EXPECT_FALSE(limiter.take("key-99999").allowed);
}

// A fleet of agents that beat now and then: only those of the last moments are remembered.
TEST(RateLimiter, ForgetsBucketsThatAreFullAgain) {
  FakeClock clock;
  RateLimiter limiter({.count = 30, .period = Seconds(60), .burst = 20}, clock, 262144);

  for (int i = 0; i < 30'000; ++i) {
    ASSERT_TRUE(limiter.take("agent-" + std::to_string(i)).allowed);
    clock.advance(Milliseconds(1));
  }
  EXPECT_LT(limiter.keys(), 3000U) << "2 s until a bucket is full again";
  EXPECT_GT(limiter.keys(), 1500U) << "those that are not full are kept";
  EXPECT_EQ(limiter.take("agent-29999").remaining, 18);
  EXPECT_EQ(limiter.take("agent-0").remaining, 19) << "as if it had been kept: it was full";
}

TEST(RateLimiter, ForgettingFullBucketsGivesNobodyMore) {
  FakeClock clock;
  RateLimiter limiter({.count = 1, .period = Seconds(10), .burst = 5}, clock);

  EXPECT_EQ(allowed(limiter, "greedy", 9), 5);
  for (int second = 1; second <= 40; ++second) {
    clock.advance(Seconds(1));
    for (int i = 0; i < 100; ++i) limiter.take("other-" + std::to_string(second) + "-" + std::to_string(i));
    EXPECT_EQ(allowed(limiter, "greedy", 3), second % 10 == 0 ? 1 : 0) << second;
  }
}

// covers: S05_RATE_04
TEST(RateLimiter, ScalesRateAndBurst) {
  FakeClock clock;
  RateLimiter limiter({.count = 10, .period = Seconds(1), .burst = 30}, clock);

  limiter.set_scale_percent(1000);
  EXPECT_EQ(allowed(limiter, "k", 400), 300);
  clock.advance(Seconds(1));
  EXPECT_EQ(allowed(limiter, "k", 400), 100);
  limiter.set_scale_percent(10);
  EXPECT_EQ(limiter.take("k").limit, 3);
  EXPECT_EQ(limiter.take("k").retry_after, Seconds(1));
  clock.advance(Seconds(1));
  EXPECT_EQ(allowed(limiter, "k", 10), 1);
  limiter.set_scale_percent(0);  // never locks everyone out
  EXPECT_TRUE(limiter.take("other").allowed);
}

TEST(RateLimiter, NeverAllowsMoreThanTheBurstToManyThreads) {
  FakeClock clock;
  RateLimiter limiter({.count = 1, .period = Seconds(60), .burst = 1000}, clock);
  std::atomic<int> count = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(8);
    for (int t = 0; t < 4; ++t) threads.emplace_back([&] { count += allowed(limiter, "k", 500); });
  }
  EXPECT_EQ(count, 1000);
}

TEST(RateLimiter, WritesTheHeaders) {
  std::vector<HttpHeader> headers;

  add_rate_headers(headers,
                   {.allowed = false, .limit = 30, .remaining = 0, .reset = Seconds(60), .retry_after = Seconds(2)});

  ASSERT_EQ(headers.size(), 4U);
  EXPECT_EQ(headers[0].name + "=" + headers[0].value, "RateLimit-Limit=30");
  EXPECT_EQ(headers[1].name + "=" + headers[1].value, "RateLimit-Remaining=0");
  EXPECT_EQ(headers[2].name + "=" + headers[2].value, "RateLimit-Reset=60");
  EXPECT_EQ(headers[3].name + "=" + headers[3].value, "Retry-After=2");
  headers.clear();
  add_rate_headers(headers, {.allowed = true});
  EXPECT_EQ(headers.size(), 3U);
}

TEST(RateLimiter, TakesAnIpv6NetworkForOneClient) {
  EXPECT_EQ(rate_limit_key("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(rate_limit_key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(rate_limit_key("2001:db8:1:2:ffff::"), "2001:db8:1:2::/64");
  EXPECT_NE(rate_limit_key("2001:db8:1:3::1"), rate_limit_key("2001:db8:1:2::1"));
  EXPECT_EQ(rate_limit_key("::ffff:192.0.2.1"), rate_limit_key("192.0.2.1"));
  EXPECT_EQ(rate_limit_key("unix"), "unix");
}

}  // namespace
}  // namespace ee::net
