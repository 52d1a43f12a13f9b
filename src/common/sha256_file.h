#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>

#include "common/bytes.h"

namespace ee {

/// SHA-256 of a file's bytes and how many they are.
struct FileDigest {
  ByteArray<32> sha256 = {};
  std::int64_t bytes = 0;
};

/// Read in pieces: a large file costs no memory. Nothing when it cannot be read.
std::optional<FileDigest> sha256_file(const std::filesystem::path& path);

}  // namespace ee
