#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string_view>

#include "common/clock.h"
#include "common/error.h"
#include "cp/http/route.h"
#include "net/rate_limiter.h"

namespace ee::cp {

/// Too many requests: the error, and the bucket for the RateLimit fields.
struct RateRefusal {
  Error error;
  net::RateDecision decision;
};

/// One limiter per class of routes (05 section 13.5), and the bound on challenges in all (01 section 6.4). Thread-safe.
class RateLimits {
 public:
  /// `scale_percent`: setting `ops.rate_limit_scale_percent`, asked now and then; `refused(class)` counts for metrics.
  RateLimits(const Clock& clock, std::function<std::int64_t()> scale_percent,
             std::function<void(std::string_view)> refused = {});
  ~RateLimits();

  /// Takes one from the bucket of `key` (an address as the limiter groups them, or a principal). Nothing: go on.
  std::optional<RateRefusal> take(RateClass rate, std::string_view key);

 private:
  struct Buckets;
  std::unique_ptr<Buckets> buckets_;
  std::function<std::int64_t()> scale_percent_;
  std::function<void(std::string_view)> refused_;
  std::atomic<std::uint64_t> asked_ = 0;
};

std::string_view to_string(RateClass rate);

/// 429 with Retry-After and the RateLimit fields.
net::Response rate_limited_answer(const RateRefusal& refusal, std::string_view request_id);

}  // namespace ee::cp
