#pragma once
#include <algorithm>

#include "common/random.h"
#include "common/time.h"

namespace ee::agent {

/// Exponential back-off with full jitter: the n-th delay is uniform in [0, min(first * 2^n, most)], so that a fleet
/// that failed together does not come back together.
class Backoff {
 public:
  constexpr Backoff(Milliseconds first, Milliseconds most) : first_(first), most_(most) {}

  Milliseconds next(Random& random) { return Milliseconds(random.between(0, next_bound().count())); }
  /// The bound of the next delay, which it moves on.
  Milliseconds next_bound() {
    const Milliseconds bound = std::min(current_.count() == 0 ? first_ : current_, most_);
    current_ = std::min(bound * 2, most_);
    return bound;
  }
  void reset() { current_ = Milliseconds(0); }

 private:
  Milliseconds first_;
  Milliseconds most_;
  Milliseconds current_{0};
};

}  // namespace ee::agent
