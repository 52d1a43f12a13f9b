#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "net/http.h"

namespace ee::net {

/// `count` requests per `period` in the long run, and up to `burst` at once.
struct RateRule {
  std::int64_t count = 1;
  Seconds period{1};
  std::int64_t burst = 1;
};

struct RateDecision {
  bool allowed = true;
  std::int64_t limit = 0;      ///< size of the bucket
  std::int64_t remaining = 0;  ///< whole requests that are left now
  Seconds reset{};             ///< until the bucket is full again, rounded up
  Seconds retry_after{};       ///< until the next request is allowed, rounded up; 0 when allowed
};

/// Token buckets by key for one class of requests (05 section 13.5). A bucket that is full again says nothing and is
/// forgotten as others are used, so memory follows those who asked a moment ago. At most `max_keys` are remembered;
/// beyond, the least recently used is forgotten, which fills its bucket. Keys are spread over shards, each with its
/// part of that bound. Thread-safe.
class RateLimiter {
 public:
  static constexpr std::size_t kMaxKeys = 65536;

  RateLimiter(RateRule rule, const Clock& clock, std::size_t max_keys = kMaxKeys);

  /// Takes one from the bucket of `key` if there is one. Refused requests cost nothing.
  RateDecision take(std::string_view key);
  /// Multiplies count and burst by `percent`/100 (at least one each), for buckets that exist too. 1..100000.
  void set_scale_percent(std::int64_t percent);
  std::size_t keys() const;

 private:
  // A bucket as the generic cell rate algorithm keeps it (ITU-T I.371): the time at which it is full again. That is one
  // number, exact, with nothing to refill; in the past means full.
  struct Entry {
    std::string key;
    std::int64_t full_at_ns = 0;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::list<Entry> by_use;                                                  ///< the latest first
    std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key;  ///< views into the entries
  };
  Entry& entry(Shard& shard, std::string_view key, std::int64_t now_ns) const;

  static constexpr std::size_t kShards = 16;
  const RateRule rule_;
  const Clock& clock_;
  const std::size_t max_keys_per_shard_;
  std::atomic<std::int64_t> scale_percent_ = 100;
  std::array<Shard, kShards> shards_;
};

/// `RateLimit-Limit`, `-Remaining`, `-Reset` and, when refused, `Retry-After`.
void add_rate_headers(std::vector<HttpHeader>& headers, const RateDecision& decision);

}  // namespace ee::net
