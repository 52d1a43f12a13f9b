#pragma once
#include <algorithm>
#include <chrono>

#include "common/time.h"

namespace ee::net {

/// Says whether time-outs may be judged. Not for a moment after the loop itself stood still, because its machine slept
/// or others had the processor: an answer that came meanwhile, or of somebody who stood still too, is not late. Never
/// holds back twice in a row, so that time-outs are judged however bad it gets.
class StallGuard {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr Milliseconds kStall{1'000};
  static constexpr Milliseconds kLongestWait{2'000};

  /// Asked at each tick; `late`: how much later than planned it comes.
  bool may_judge(Time now, Milliseconds late) {
    if (now < wait_until_) return false;
    const bool wait = late >= kStall && !waited_;
    if (wait) wait_until_ = now + std::min(late, kLongestWait);
    waited_ = wait;
    return !wait;
  }

 private:
  Time wait_until_{};
  bool waited_ = false;
};

}  // namespace ee::net
