#pragma once
#include "common/random.h"
#include "common/time.h"

namespace ee::agent {

/// When heartbeats are due: `T0 + k * interval + jitter`, T0 random in the interval once per boot, jitter uniform
/// within a tenth of the interval. A beat that was missed is not made up for.
class HeartbeatSchedule {
 public:
  /// `started` is any fixed time of this boot.
  HeartbeatSchedule(SteadyTime started, Random& random) : started_(started), random_(random) {
    phase_permille_ = random_.between(0, 999);
  }

  /// The next time after `now`. Requires interval > 0. Two calls at times within a tenth of the interval around one
  /// point of the grid both give the point after it: no beat is sent twice.
  SteadyTime next(SteadyTime now, Milliseconds interval) {
    const Milliseconds tenth = interval / 10;
    const SteadyTime origin = started_ + Milliseconds(interval.count() * phase_permille_ / 1000);
    const auto since = std::chrono::floor<Milliseconds>(now + tenth - origin);
    std::int64_t k = since.count() < 0 ? 0 : since / interval + 1;
    return origin + interval * k + Milliseconds(random_.between(-tenth.count(), tenth.count()));
  }

 private:
  SteadyTime started_;
  Random& random_;
  std::int64_t phase_permille_ = 0;
};

}  // namespace ee::agent
