#pragma once
#include <condition_variable>
#include <mutex>

#include "common/clock.h"

namespace ee {

/// A clock that moves only when told. `advance` moves both clocks and wakes sleepers whose deadline has passed.
/// With `set_auto_advance(true)` a sleep moves the time to its deadline itself and returns at once (single-threaded
/// tests of retry loops). Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(UtcTime now = from_unix_ms(1767225600000))  // 2026-01-01T00:00:00Z
      : now_(now), steady_(std::chrono::hours(1)) {}

  UtcTime now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  SteadyTime steady_now() const override {
    const std::lock_guard lock(mutex_);
    return steady_;
  }
  bool sleep_until(SteadyTime deadline, std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    if (auto_advance_) {
      if (deadline > steady_) move(std::chrono::ceil<Milliseconds>(deadline - steady_));
      return !stop.stop_requested();
    }
    ++sleepers_;
    wake_.notify_all();
    wake_.wait(lock, stop, [&] { return steady_ >= deadline; });
    --sleepers_;
    return !stop.stop_requested();
  }
  bool await_deadline(SteadyTime deadline, std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, stop, [&] { return steady_ >= deadline; });
    return !stop.stop_requested();
  }
  void advance(Milliseconds by) {
    const std::lock_guard lock(mutex_);
    move(by);
  }
  /// Moves the UTC clock alone, as an administrator or a lying host does.
  void set_utc(UtcTime now) {
    const std::lock_guard lock(mutex_);
    now_ = now;
  }
  void set_auto_advance(bool on) {
    const std::lock_guard lock(mutex_);
    auto_advance_ = on;
  }
  /// Blocks until `count` threads sleep on this clock.
  void wait_for_sleepers(int count) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return sleepers_ >= count; });
  }

 private:
  void move(Milliseconds by) {
    now_ += by;
    steady_ += by;
    wake_.notify_all();
  }
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  UtcTime now_;
  SteadyTime steady_;
  bool auto_advance_ = false;
  int sleepers_ = 0;
};

}  // namespace ee
