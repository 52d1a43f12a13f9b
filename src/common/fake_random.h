#pragma once
#include <atomic>
#include <mutex>
#include <random>

#include "common/random.h"

namespace ee {

/// Seeded, so that a test repeats; `fail_next` makes calls fail as a broken CSPRNG does. Thread-safe.
class FakeRandom final : public Random {
 public:
  explicit FakeRandom(std::uint64_t seed = 1) : engine_(seed) {}
  [[nodiscard]] bool fill(std::span<std::uint8_t> out) override {
    if (fail_) return false;
    const std::lock_guard lock(mutex_);
    for (auto& byte : out) byte = static_cast<std::uint8_t>(engine_());
    return true;
  }
  void set_failing(bool on) { fail_ = on; }

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_;
  std::atomic<bool> fail_ = false;
};

}  // namespace ee
