#include "net/rate_limiter.h"

#include <algorithm>
#include <functional>

#include "common/require.h"

namespace ee::net {
namespace {

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr std::int64_t kMaxSecondsToRefill = 1000L * 86400;  // so that no product below leaves 64 bits
constexpr std::int64_t kMaxScalePercent = 100'000;
constexpr int kForgottenAtOnce = 4;

Seconds seconds_up(std::int64_t nanoseconds) {
  return Seconds(nanoseconds <= 0 ? 0 : (nanoseconds + kNanosecondsPerSecond - 1) / kNanosecondsPerSecond);
}

}  // namespace

RateLimiter::RateLimiter(RateRule rule, const Clock& clock, std::size_t max_keys)
    : rule_(rule), clock_(clock), max_keys_per_shard_(std::max<std::size_t>(max_keys / kShards, 1)) {
  require(rule.count > 0 && rule.count <= 1'000'000 && rule.burst > 0 && rule.burst <= 1'000'000 &&
          rule.period > Seconds(0) && rule.period <= Seconds(86400) &&
          rule.burst * rule.period.count() / rule.count <= kMaxSecondsToRefill);
}

void RateLimiter::set_scale_percent(std::int64_t percent) {
  scale_percent_.store(std::clamp<std::int64_t>(percent, 1, kMaxScalePercent), std::memory_order_relaxed);
}

RateLimiter::Entry& RateLimiter::entry(Shard& shard, std::string_view key, std::int64_t now_ns) const {
  if (const auto found = shard.by_key.find(key); found != shard.by_key.end()) {
    shard.by_use.splice(shard.by_use.begin(), shard.by_use, found->second);
    return *found->second;
  }
  // More than one for each that comes, so that what piled up in a rush goes away; few, so that nobody pays for a heap.
  for (int i = 0; i < kForgottenAtOnce && !shard.by_use.empty(); ++i) {
    if (shard.by_use.back().full_at_ns > now_ns && shard.by_key.size() < max_keys_per_shard_) break;
    shard.by_key.erase(shard.by_use.back().key);
    shard.by_use.pop_back();
  }
  shard.by_use.push_front({.key = std::string(key)});
  shard.by_key.emplace(shard.by_use.front().key, shard.by_use.begin());
  return shard.by_use.front();
}

RateDecision RateLimiter::take(std::string_view key) {
  const std::int64_t scale = scale_percent_.load(std::memory_order_relaxed);
  const std::int64_t burst = std::max<std::int64_t>(rule_.burst * scale / 100, 1);
  const std::int64_t per_request_ns =
      std::max<std::int64_t>(rule_.period.count() * kNanosecondsPerSecond * 100 / (rule_.count * scale), 1);
  const std::int64_t now_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(clock_.steady_now().time_since_epoch()).count();
  // The bucket holds (now + capacity - full_at) / per_request.
  const std::int64_t capacity_ns = burst * per_request_ns;

  Shard& shard = shards_[std::hash<std::string_view>()(key) % kShards];
  const std::lock_guard lock(shard.mutex);
  Entry& bucket = entry(shard, key, now_ns);
  // Not further ahead than an empty bucket: the scale may have changed, and waiting has to end as it says now.
  std::int64_t full_at_ns = std::clamp(bucket.full_at_ns, now_ns, now_ns + capacity_ns);
  RateDecision decision{.allowed = now_ns + capacity_ns - full_at_ns >= per_request_ns, .limit = burst};
  if (decision.allowed)
    full_at_ns += per_request_ns;
  else
    decision.retry_after = seconds_up(full_at_ns + per_request_ns - capacity_ns - now_ns);
  bucket.full_at_ns = full_at_ns;
  decision.remaining = (now_ns + capacity_ns - full_at_ns) / per_request_ns;
  decision.reset = seconds_up(full_at_ns - now_ns);
  return decision;
}

std::size_t RateLimiter::keys() const {
  std::size_t sum = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    sum += shard.by_key.size();
  }
  return sum;
}

void add_rate_headers(std::vector<HttpHeader>& headers, const RateDecision& decision) {
  headers.push_back({"RateLimit-Limit", std::to_string(decision.limit)});
  headers.push_back({"RateLimit-Remaining", std::to_string(decision.remaining)});
  headers.push_back({"RateLimit-Reset", std::to_string(decision.reset.count())});
  if (!decision.allowed) headers.push_back({"Retry-After", std::to_string(decision.retry_after.count())});
}

}  // namespace ee::net
