#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "common/time.h"

namespace ee::net {

/// Watches how fast a body arrives: the bytes of the last window, counted in tenths of it. The tenth that has begun
/// comes on top, so that a peer is never judged by less than a whole window.
class BodyRate {
 public:
  void start(SteadyTime now, Milliseconds window) {
    start_ = now;
    window_ = window;
    slot_size_ = std::max(window / (kSlots - 1), Milliseconds(1));
    slots_.fill(0);
    current_ = 0;
  }
  void received(SteadyTime now, std::uint64_t bytes) {
    move_to(now);
    slots_[static_cast<std::size_t>(current_ % kSlots)] += bytes;
  }
  /// Whether a whole window has passed and brought less than `min_bytes`.
  bool too_slow(SteadyTime now, std::uint64_t min_bytes) {
    move_to(now);
    if (now - start_ < window_) return false;
    std::uint64_t sum = 0;
    for (const std::uint64_t bytes : slots_) sum += bytes;
    return sum < min_bytes;
  }

 private:
  static constexpr std::int64_t kSlots = 11;

  void move_to(SteadyTime now) {
    const std::int64_t slot = (now - start_) / slot_size_;
    if (slot - current_ >= kSlots)
      slots_.fill(0);
    else
      for (std::int64_t i = current_ + 1; i <= slot; ++i) slots_[static_cast<std::size_t>(i % kSlots)] = 0;
    if (slot > current_) current_ = slot;
  }

  SteadyTime start_{};
  Milliseconds window_{1};
  Milliseconds slot_size_{1};
  std::array<std::uint64_t, kSlots> slots_{};
  std::int64_t current_ = 0;
};

}  // namespace ee::net
