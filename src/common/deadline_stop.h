#pragma once
#include <functional>
#include <stop_token>
#include <thread>

#include "common/clock.h"

namespace ee {

/// A stop token that fires at a deadline, or when an outer one does: for calls that wait on behalf of something that
/// must end in time. Keeps a thread while it lives; make one only around what can wait.
class DeadlineStop {
 public:
  /// `clock` must outlive it.
  DeadlineStop(Clock& clock, SteadyTime deadline, const std::stop_token& outer)
      : forward_(outer, [this] { source_.request_stop(); }),
        watch_([this, &clock, deadline](const std::stop_token& ended) {
          if (clock.await_deadline(deadline, ended)) source_.request_stop();
        }) {}
  DeadlineStop(const DeadlineStop&) = delete;
  DeadlineStop& operator=(const DeadlineStop&) = delete;
  ~DeadlineStop() = default;

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::stop_callback<std::function<void()>> forward_;
  std::jthread watch_;  // last: ends first
};

}  // namespace ee
