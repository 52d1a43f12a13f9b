#include "attestation/tsm/turnstile.h"

#include <algorithm>

namespace ee::attestation {

bool Turnstile::enter(Clock& clock, SteadyTime deadline) {
  std::stop_source turn;  // stopped when the turn is ours
  {
    const std::lock_guard lock(mutex_);
    if (!busy_) {
      busy_ = true;
      return true;
    }
    waiting_.push_back(&turn);
  }
  if (!clock.sleep_until(deadline, turn.get_token())) return true;
  const std::lock_guard lock(mutex_);
  const auto self = std::ranges::find(waiting_, &turn);
  if (self == waiting_.end()) return true;  // handed over just as the time ended
  waiting_.erase(self);
  return false;
}

void Turnstile::leave() {
  const std::lock_guard lock(mutex_);
  if (waiting_.empty()) {
    busy_ = false;
    return;
  }
  // Under the lock: the one woken may not destroy its source before this call is through with it.
  std::stop_source* const next = waiting_.front();
  waiting_.pop_front();
  std::stop_source(*next).request_stop();
}

}  // namespace ee::attestation
