#pragma once
#include <mutex>
#include <stop_token>

#include "common/clock.h"

namespace ee::agent {

/// A sleep that another thread can end. One thread waits; any thread wakes. A `wake` while nobody waits ends the next
/// wait at once, so none is lost.
class Waker {
 public:
  enum class Why { deadline, woken, stopped };

  Why wait_until(Clock& clock, SteadyTime deadline, const std::stop_token& stop);
  void wake();

 private:
  std::mutex mutex_;
  bool pending_ = false;
  std::stop_source sleep_{std::nostopstate};  // of the wait under way
};

}  // namespace ee::agent
