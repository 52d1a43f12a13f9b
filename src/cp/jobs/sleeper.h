#pragma once
#include <mutex>
#include <stop_token>

#include "common/clock.h"

namespace ee::cp {

/// A thread's sleep that another thread can end. A nudge while nobody sleeps ends the next sleep at once, so none is
/// lost.
class Sleeper {
 public:
  void nudge() {
    const std::lock_guard lock(mutex_);
    nudged_ = true;
    source_.request_stop();
  }
  void sleep_until(Clock& clock, SteadyTime deadline) {
    std::stop_token token;
    {
      const std::lock_guard lock(mutex_);
      if (!nudged_) {
        source_ = std::stop_source();
        token = source_.get_token();
      }
    }
    if (token.stop_possible()) clock.sleep_until(deadline, token);
    const std::lock_guard lock(mutex_);
    nudged_ = false;
  }

 private:
  std::mutex mutex_;
  std::stop_source source_;
  bool nudged_ = false;
};

}  // namespace ee::cp
