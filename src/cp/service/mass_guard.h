#pragma once
#include <cstdint>
#include <optional>

#include "common/time.h"

namespace ee::cp {

/// Keeps a job from judging the whole fleet by an outage of the control plane itself: more than 30 % at once (and more
/// than one agent) is believed only when it is still so 60 s later. One object per job; not thread-safe.
class MassGuard {
 public:
  static constexpr std::int64_t kPercent = 30;
  static constexpr std::int64_t kFew = 1;
  static constexpr Seconds kConfirmAfter{60};

  /// Whether a pass may mark `affected` of `fleet` agents.
  bool allows(std::int64_t affected, std::int64_t fleet, UtcTime now) {
    if (affected <= kFew || affected * 100 <= fleet * kPercent) {
      first_seen_at_.reset();
      return true;
    }
    // Nobody looked for a while (another replica had the job), or the clock went back: what was seen before confirms
    // nothing.
    if (!first_seen_at_ || now - last_seen_at_ > 2 * kConfirmAfter || now < last_seen_at_) first_seen_at_ = now;
    last_seen_at_ = now;
    return now - *first_seen_at_ >= kConfirmAfter;
  }

 private:
  std::optional<UtcTime> first_seen_at_;
  UtcTime last_seen_at_{};
};

}  // namespace ee::cp
