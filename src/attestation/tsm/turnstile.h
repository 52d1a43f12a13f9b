#pragma once
#include <deque>
#include <mutex>
#include <stop_token>

#include "common/clock.h"

namespace ee::attestation {

/// Lets one caller in at a time, in the order of coming; waiting ends at a deadline of the given clock.
class Turnstile {
 public:
  /// True: the caller is in, and must `leave`. False: the deadline came first.
  [[nodiscard]] bool enter(Clock& clock, SteadyTime deadline);
  void leave();

 private:
  std::mutex mutex_;
  bool busy_ = false;
  std::deque<std::stop_source*> waiting_;  // each waits in `enter`, and owns its source
};

}  // namespace ee::attestation
