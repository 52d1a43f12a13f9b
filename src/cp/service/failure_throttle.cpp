#include "cp/service/failure_throttle.h"

#include <algorithm>

namespace ee::cp {

std::optional<Seconds> FailureThrottle::blocked(std::string_view key, SteadyTime now) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  // One is left as long as the bucket is full again within `burst - 1` refills.
  const auto over = found->second->full_at - now - refill_ * (burst_ - 1);
  if (over <= SteadyTime::duration::zero()) return std::nullopt;
  return std::chrono::ceil<Seconds>(over);
}

void FailureThrottle::failed(std::string_view key, SteadyTime now) {
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    by_use_.splice(by_use_.begin(), by_use_, found->second);
  } else {
    if (by_use_.size() == max_keys_) {
      by_key_.erase(by_use_.back().key);
      by_use_.pop_back();
    }
    by_use_.push_front({.key = std::string(key), .full_at = now});
    by_key_.emplace(by_use_.front().key, by_use_.begin());
  }
  Entry& entry = by_use_.front();
  entry.full_at = std::min(std::max(entry.full_at, now) + refill_, now + refill_ * burst_);
}

std::size_t FailureThrottle::size() const {
  const std::lock_guard lock(mutex_);
  return by_use_.size();
}

}  // namespace ee::cp
