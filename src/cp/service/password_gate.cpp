#include "cp/service/password_gate.h"

#include "common/time.h"

namespace ee::cp {

Result<PasswordGate::Turn> PasswordGate::enter(const std::stop_token& stop) {
  const auto overloaded = [] {
    return fail(Error{.code = ErrorCode::overloaded, .detail = "too many password checks", .retry_after = Seconds(2)});
  };
  std::unique_lock lock(mutex_);
  if (busy_) {
    if (waiting_ >= kMaxWaiting) return overloaded();
    ++waiting_;
    const bool is_free = free_.wait(lock, stop, [&] { return !busy_; });
    --waiting_;
    if (!is_free) return overloaded();
  }
  busy_ = true;
  return Turn(*this);
}

void PasswordGate::leave() {
  const std::lock_guard lock(mutex_);
  busy_ = false;
  free_.notify_one();
}

int PasswordGate::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

}  // namespace ee::cp
