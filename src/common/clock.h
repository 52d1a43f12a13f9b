#pragma once
#include <stop_token>
#include <utility>

#include "common/time.h"

namespace ee {

/// Where time enters. Thread-safe. The fake is in fake_clock.h.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual UtcTime now() const = 0;
  virtual SteadyTime steady_now() const = 0;
  /// Waits until `deadline` of the monotonic clock. True when it has passed, false when `stop` was requested before.
  virtual bool sleep_until(SteadyTime deadline, std::stop_token stop) = 0;
  /// The same, for a watch that is mostly stopped before its time: nobody's progress depends on it, so a fake clock
  /// that moves by itself does not move for it.
  virtual bool await_deadline(SteadyTime deadline, std::stop_token stop) {
    return sleep_until(deadline, std::move(stop));
  }
  bool sleep_for(Milliseconds duration, std::stop_token stop) {
    return sleep_until(steady_now() + duration, std::move(stop));
  }
};

class SystemClock final : public Clock {
 public:
  UtcTime now() const override;
  SteadyTime steady_now() const override;
  bool sleep_until(SteadyTime deadline, std::stop_token stop) override;
};

}  // namespace ee
