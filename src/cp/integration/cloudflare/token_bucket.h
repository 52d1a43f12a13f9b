#pragma once
#include <mutex>
#include <optional>

#include "common/time.h"

namespace ee::cp::cloudflare {

/// The budget of calls: one bucket for all, and one of half its size and rate that deletions take from as well.
/// Rates may change at any time. Thread-safe.
class CallBudget {
 public:
  static constexpr std::int64_t kBurst = 50;
  static constexpr Seconds kPeriod{300};

  /// Takes one call. Nothing: taken. Else: how long until one is there.
  std::optional<Milliseconds> take(bool deletion, std::int64_t calls_per_period, SteadyTime now);
  /// Whole calls that could be made now.
  std::int64_t remaining(std::int64_t calls_per_period, SteadyTime now);

 private:
  /// Filled in millionths of a call, so that 3.33 calls per second add up.
  struct Bucket {
    std::int64_t millionths = 0;
    SteadyTime at = SteadyTime::min();  // never filled
    void refill(std::int64_t calls_per_period, std::int64_t burst, SteadyTime now);
  };
  static Milliseconds wait_of(const Bucket& bucket, std::int64_t calls_per_period);

  std::mutex mutex_;
  Bucket all_;
  Bucket deletions_;
};

}  // namespace ee::cp::cloudflare
