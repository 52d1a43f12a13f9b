#include "agent/waker.h"

namespace ee::agent {

Waker::Why Waker::wait_until(Clock& clock, SteadyTime deadline, const std::stop_token& stop) {
  std::stop_source sleep;
  {
    const std::lock_guard lock(mutex_);
    if (stop.stop_requested()) return Why::stopped;
    if (pending_) {
      pending_ = false;
      return Why::woken;
    }
    sleep_ = sleep;
  }
  bool passed = false;
  {
    const std::stop_callback forward(stop, [&] { sleep.request_stop(); });
    passed = clock.sleep_until(deadline, sleep.get_token());
  }
  const std::lock_guard lock(mutex_);
  sleep_ = std::stop_source(std::nostopstate);
  const bool woken = pending_;
  pending_ = false;
  if (stop.stop_requested()) return Why::stopped;
  return woken || !passed ? Why::woken : Why::deadline;
}

void Waker::wake() {
  std::stop_source sleep(std::nostopstate);
  {
    const std::lock_guard lock(mutex_);
    pending_ = true;
    sleep = sleep_;
  }
  sleep.request_stop();
}

}  // namespace ee::agent
