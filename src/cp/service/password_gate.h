#pragma once
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "common/error.h"

namespace ee::cp {

/// A password check takes 64 MiB, so they run one at a time and only a few wait. Thread-safe.
class PasswordGate {
 public:
  static constexpr int kMaxWaiting = 8;

  /// Held while a check runs; lets the next one in when it goes.
  class Turn {
   public:
    explicit Turn(PasswordGate& gate) : gate_(&gate) {}
    Turn(Turn&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    PasswordGate* gate_;
  };

  /// Waits for its turn. Error: overloaded (8 wait already, or stopped while waiting), with a time to come back.
  Result<Turn> enter(const std::stop_token& stop);
  int waiting() const;

 private:
  void leave();
  mutable std::mutex mutex_;
  std::condition_variable_any free_;
  bool busy_ = false;
  int waiting_ = 0;
};

}  // namespace ee::cp
