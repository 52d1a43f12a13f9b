// Disks that a host makes: whatever the bytes, nothing but an answer; a payload within its bound.
#include <cstdint>
#include <string_view>

#include "common/config_payload.h"
#include "common/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The descriptor is at byte 32768: what is given stands there, so that inputs stay short.
  static constexpr std::size_t kStart = 16UL * 2048;
  const auto read = ee::read_config_disk([&](std::uint64_t offset, std::span<std::uint8_t> out) {
    if (offset < kStart || offset - kStart > size || out.size() > size - (offset - kStart)) return false;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = data[offset - kStart + i];
    return true;
  });
  if (read && *read) ee::require((*read)->size() <= ee::kMaxConfigPayload);
  return 0;
}
