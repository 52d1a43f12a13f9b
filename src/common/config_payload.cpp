#include "common/config_payload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace ee {
namespace {

// ECMA-119 (ISO 9660). Numbers in both byte orders are little-endian first.
constexpr std::size_t kSector = 2048;
constexpr std::size_t kDescriptorSector = 16;
constexpr std::size_t kTerminatorSector = 17;
constexpr std::size_t kPathTableLittleSector = 18;
constexpr std::size_t kPathTableBigSector = 19;
constexpr std::size_t kRootSector = 20;
constexpr std::size_t kFileSector = 21;
constexpr std::size_t kImageUnit = 1024UL * 1024;
constexpr std::size_t kMaxDirectoryBytes = 8 * kSector;
constexpr std::size_t kMaxDescriptors = 16;
constexpr std::string_view kVolume = "EECONFIG";
constexpr std::string_view kFile = "CONFIG.JSON;1";

using Sector = std::array<std::uint8_t, kSector>;

void put_text(Sector& to, std::size_t at, std::size_t size, std::string_view text) {
  for (std::size_t i = 0; i < size; ++i) to[at + i] = static_cast<std::uint8_t>(i < text.size() ? text[i] : ' ');
}
void put_16(std::uint8_t* to, std::uint16_t value) {
  to[0] = to[3] = static_cast<std::uint8_t>(value & 0xffU);
  to[1] = to[2] = static_cast<std::uint8_t>(value >> 8U);
}
void put_32(std::uint8_t* to, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) to[i] = to[7 - i] = static_cast<std::uint8_t>(value >> (8 * i));
}
std::uint32_t little_32(const std::uint8_t* from) {
  return from[0] | static_cast<std::uint32_t>(from[1]) << 8U | static_cast<std::uint32_t>(from[2]) << 16U |
         static_cast<std::uint32_t>(from[3]) << 24U;
}
/// A number in both orders; nothing when they differ.
std::optional<std::uint32_t> both_32(const std::uint8_t* from) {
  const std::uint32_t little = little_32(from);
  const std::uint32_t big = static_cast<std::uint32_t>(from[4]) << 24U | static_cast<std::uint32_t>(from[5]) << 16U |
                            static_cast<std::uint32_t>(from[6]) << 8U | from[7];
  if (little != big) return std::nullopt;
  return little;
}

/// A directory record (ECMA-119 9.1); the time stays that of 1970. The number of its bytes, even.
std::size_t put_record(std::uint8_t* to, std::uint32_t sector, std::uint32_t size, bool directory,
                       std::string_view name) {
  const std::size_t length = (33 + name.size() + 1) & ~std::size_t{1};
  to[0] = static_cast<std::uint8_t>(length);
  put_32(to + 2, sector);
  put_32(to + 10, size);
  to[18] = 70;  // years since 1900
  to[19] = to[20] = 1;
  to[25] = directory ? 2 : 0;
  put_16(to + 28, 1);
  to[32] = static_cast<std::uint8_t>(name.size());
  std::copy(name.begin(), name.end(), to + 33);
  return length;
}

Sector primary_descriptor(std::uint32_t sectors) {
  Sector out{};
  out[0] = 1;
  put_text(out, 1, 5, "CD001");
  out[6] = 1;
  put_text(out, 8, 32, "");
  put_text(out, 40, 32, kVolume);
  put_32(&out[80], sectors);
  put_16(&out[120], 1);
  put_16(&out[124], 1);
  put_16(&out[128], kSector);
  put_32(&out[132], 10);
  out[140] = kPathTableLittleSector;
  out[151] = kPathTableBigSector;
  put_record(&out[156], kRootSector, kSector, true, std::string_view("\0", 1));
  put_text(out, 190, 623, "");
  for (const std::size_t at : {813U, 830U, 847U, 864U}) {  // no dates: digits and an offset of zero
    put_text(out, at, 16, "0000000000000000");
    out[at + 16] = 0;
  }
  out[881] = 1;
  return out;
}

std::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorCode::invalid_request, fmt::format("the configuration disk: {}", what));
}

struct Extent {
  std::uint32_t sector = 0;
  std::uint32_t size = 0;
};

/// The file's place, by the directory's records. Nothing: no such file.
Result<std::optional<Extent>> find_file(const std::vector<std::uint8_t>& directory) {
  std::optional<Extent> found;
  for (std::size_t at = 0; at < directory.size();) {
    const std::size_t length = directory[at];
    if (length == 0) {  // records do not cross sectors: the rest of this one is unused
      at = (at / kSector + 1) * kSector;
      continue;
    }
    if (length < 34 || at % kSector + length > kSector || at + length > directory.size())
      return malformed("a record's length");
    const std::uint8_t* const record = &directory[at];
    const std::size_t name_length = record[32];
    if (33 + name_length > length) return malformed("a name's length");
    const std::string_view name(reinterpret_cast<const char*>(record + 33), name_length);
    if (name == kFile) {
      if (found) return malformed("the file is there twice");
      const auto sector = both_32(record + 2);
      const auto size = both_32(record + 10);
      if (!sector || !size || record[1] != 0 || record[25] != 0) return malformed("the file's record");
      found = Extent{.sector = *sector, .size = *size};
    }
    at += length;
  }
  return found;
}

/// The volume's descriptor; nothing when the device is not ours.
std::optional<Sector> find_descriptor(const ReadAt& read) {
  for (std::size_t i = 0; i < kMaxDescriptors; ++i) {
    Sector sector{};
    if (!read((kDescriptorSector + i) * kSector, sector)) return std::nullopt;
    const std::string_view id(reinterpret_cast<const char*>(&sector[1]), 5);
    if (id != "CD001" || sector[6] != 1 || sector[0] == 255) return std::nullopt;
    if (sector[0] != 1) continue;
    std::string_view volume(reinterpret_cast<const char*>(&sector[40]), 32);
    while (volume.ends_with(' ')) volume.remove_suffix(1);
    if (volume != kVolume) return std::nullopt;
    return sector;
  }
  return std::nullopt;
}

}  // namespace

Result<std::string> encode_config_disk(std::string_view payload) {
  if (payload.size() > kMaxConfigPayload)
    return fail(ErrorCode::body_too_large, fmt::format("the configuration has {} bytes", payload.size()));
  const std::size_t bytes = (kFileSector + (payload.size() + kSector - 1) / kSector) * kSector;
  std::string image((bytes + kImageUnit - 1) / kImageUnit * kImageUnit, '\0');
  const auto place = [&](std::size_t sector, const Sector& content) {
    std::copy(content.begin(), content.end(), image.begin() + static_cast<std::ptrdiff_t>(sector * kSector));
  };
  place(kDescriptorSector, primary_descriptor(static_cast<std::uint32_t>(image.size() / kSector)));
  Sector terminator{};
  terminator[0] = 255;
  put_text(terminator, 1, 5, "CD001");
  terminator[6] = 1;
  place(kTerminatorSector, terminator);
  Sector path_table{};
  path_table[0] = 1;
  path_table[2] = kRootSector;
  path_table[6] = 1;
  place(kPathTableLittleSector, path_table);
  path_table = {};
  path_table[0] = 1;
  path_table[5] = kRootSector;
  path_table[7] = 1;
  place(kPathTableBigSector, path_table);
  Sector root{};
  std::size_t at = put_record(root.data(), kRootSector, kSector, true, std::string_view("\0", 1));
  at += put_record(&root[at], kRootSector, kSector, true, std::string_view("\1", 1));
  put_record(&root[at], kFileSector, static_cast<std::uint32_t>(payload.size()), false, kFile);
  place(kRootSector, root);
  std::copy(payload.begin(), payload.end(), image.begin() + kFileSector * kSector);
  return image;
}

Result<std::optional<std::string>> read_config_disk(const ReadAt& read) {
  const auto descriptor = find_descriptor(read);
  if (!descriptor) return std::optional<std::string>();
  constexpr std::array<std::uint8_t, 4> kBlockSize = {0x00, 0x08, 0x08, 0x00};  // 2048 in both orders
  if (!std::equal(kBlockSize.begin(), kBlockSize.end(), descriptor->begin() + 128))
    return malformed("the size of its blocks");
  const auto root_sector = both_32(&(*descriptor)[158]);
  const auto root_size = both_32(&(*descriptor)[166]);
  if ((*descriptor)[156] != 34 || !root_sector || !root_size || *root_size == 0 || *root_size % kSector != 0 ||
      *root_size > kMaxDirectoryBytes)
    return malformed("its root directory");
  std::vector<std::uint8_t> directory(*root_size);
  if (!read(std::uint64_t{*root_sector} * kSector, directory)) return malformed("its root directory cannot be read");
  const auto file = find_file(directory);
  if (!file) return fail(file.error());
  if (!*file) return malformed("config.json is missing");
  if ((*file)->size > kMaxConfigPayload) return malformed("config.json is larger than 64 KiB");
  std::string payload((*file)->size, '\0');
  if (!read(std::uint64_t{(*file)->sector} * kSector,
            {reinterpret_cast<std::uint8_t*>(payload.data()), payload.size()}))
    return malformed("config.json cannot be read");
  return std::optional(std::move(payload));
}

Result<std::optional<std::string>> decode_config_disk(std::string_view image) {
  return read_config_disk([image](std::uint64_t offset, std::span<std::uint8_t> out) {
    if (offset > image.size() || out.size() > image.size() - offset) return false;
    std::copy_n(image.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return true;
  });
}

}  // namespace ee
