#pragma once
#include <mutex>

#include "common/clock.h"
#include "common/error.h"

namespace ee::agent {

/// Slows down whoever guesses credentials: after 20 failed authentications within 60 s, all further failures of the
/// next 60 s are `rate_limited`; a valid credential still passes. 02 section 15.2. Thread-safe.
class FailureLock {
 public:
  /// `clock` outlives the object.
  explicit FailureLock(const Clock& clock) : clock_(clock) {}

  /// What to answer to this failure: itself, or rate_limited with Retry-After.
  Error refusal_of(Error error);

 private:
  const Clock& clock_;
  std::mutex mutex_;
  SteadyTime failures_since_{};
  int failures_ = 0;
  SteadyTime locked_until_{};
};

}  // namespace ee::agent
