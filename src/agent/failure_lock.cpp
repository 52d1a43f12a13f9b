#include "agent/failure_lock.h"

namespace ee::agent {
namespace {

constexpr int kFailuresForLock = 20;
constexpr Seconds kFailureWindow{60};
constexpr Seconds kLockTime{60};

}  // namespace

Error FailureLock::refusal_of(Error error) {
  const SteadyTime now = clock_.steady_now();
  const std::lock_guard lock(mutex_);
  if (now >= locked_until_) {
    if (failures_ == 0 || now - failures_since_ > kFailureWindow) {
      failures_ = 0;
      failures_since_ = now;
    }
    if (++failures_ < kFailuresForLock) return error;
    failures_ = 0;
    locked_until_ = now + kLockTime;
    return error;  // the one that fills the measure is still answered as what it is
  }
  Error limited{.code = ErrorCode::rate_limited, .detail = "too many failed authentications"};
  limited.retry_after = std::chrono::ceil<Seconds>(locked_until_ - now);
  return limited;
}

}  // namespace ee::agent
