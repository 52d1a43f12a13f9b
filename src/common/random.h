#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "common/bytes.h"

namespace ee {

/// Where randomness enters. Thread-safe. The fake is in fake_random.h.
class Random {
 public:
  virtual ~Random() = default;
  /// Fills with random bytes of the operating system's CSPRNG. False when it fails; there is no weaker source.
  [[nodiscard]] virtual bool fill(std::span<std::uint8_t> out) = 0;

  /// For jitter and tie-breaks, never for secrets: uniform in [low, high]. Falls back to `low` when `fill` fails.
  std::int64_t between(std::int64_t low, std::int64_t high);
};

class SystemRandom final : public Random {
 public:
  [[nodiscard]] bool fill(std::span<std::uint8_t> out) override;
};

}  // namespace ee
