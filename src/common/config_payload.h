#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/error.h"

namespace ee {

/// The configuration that a launcher hands to a VM on a disk: ISO 9660 level 2, volume `EECONFIG`, one file
/// `/CONFIG.JSON;1`. 06 sections 5.2 and 5.3. The reader works on bytes in user space, so that no kernel mounts a file
/// system made by the host, and takes nothing for granted.
constexpr std::size_t kMaxConfigPayload = 65536;

/// The disk's image: equal payloads give equal bytes, a multiple of 1 MiB. Error: body_too_large.
Result<std::string> encode_config_disk(std::string_view payload);

/// Fills `out` from `offset` of the device; false when it is shorter or cannot be read.
using ReadAt = std::function<bool(std::uint64_t offset, std::span<std::uint8_t> out)>;

/// The payload. Nothing when the device holds no volume named EECONFIG. Error: invalid_request when it does and is
/// malformed, or its file is missing or larger than 64 KiB.
Result<std::optional<std::string>> read_config_disk(const ReadAt& read);
/// The same of an image in memory.
Result<std::optional<std::string>> decode_config_disk(std::string_view image);

}  // namespace ee
