#include "attestation/tdvf/tdvf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "attestation/tdvf/little_endian.h"

namespace ee::attestation {
namespace {

using tdvf::load;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMaxMemory = std::uint64_t{4} << 30;
constexpr std::size_t kMaxSections = 64;

using Guid = ByteArray<16>;
// As they are stored: the first three fields are little-endian.
// 96b582de-1fb2-45f7-baea-a366c55a082d
constexpr Guid kTableFooter = {0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
                               0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d};
// e47a6535-984a-4798-865e-4685a7bf8ec2
constexpr Guid kMetadataOffset = {0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47,
                                  0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2};

// The table of GUIDs ends 32 bytes before the end of the file. Each entry: data, u16 length of all of it, GUID.
constexpr std::size_t kAfterTable = 32;
constexpr std::size_t kEntryTail = 18;

// The descriptor: signature, u32 length, u32 version, u32 number of sections; then the sections.
constexpr std::array<std::uint8_t, 4> kSignature = {'T', 'D', 'V', 'F'};
constexpr std::size_t kHeaderSize = 16;
constexpr std::size_t kSectionSize = 32;
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kExtend = 1;
constexpr std::uint32_t kPageAug = 2;

std::unexpected<FirmwareFault> fault(std::string detail) { return std::unexpected(FirmwareFault{std::move(detail)}); }

bool is_guid(Bytes bytes, std::size_t offset, const Guid& guid) {
  return std::ranges::equal(bytes.subspan(offset, guid.size()), guid);
}

/// The table without its footer.
FirmwareResult<Bytes> guid_table(Bytes firmware) {
  if (firmware.size() > kMaxFirmwareBytes) return fault("the file is longer than 64 MiB");
  if (firmware.size() < kAfterTable + kEntryTail) return fault("the file is too short for a table of GUIDs");
  const std::size_t footer = firmware.size() - kAfterTable - kEntryTail;
  if (!is_guid(firmware, footer + 2, kTableFooter)) return fault("there is no table of GUIDs at the end of the file");
  const std::size_t length = load<std::uint16_t>(firmware, footer);
  if (length < kEntryTail || length - kEntryTail > footer) return fault("the table of GUIDs has an impossible length");
  return firmware.subspan(footer - (length - kEntryTail), length - kEntryTail);
}

/// Where the descriptor begins.
FirmwareResult<std::size_t> descriptor_offset(Bytes firmware) {
  auto table = guid_table(firmware);
  if (!table) return std::unexpected(table.error());
  Bytes rest = *table;
  while (!rest.empty()) {
    if (rest.size() < kEntryTail) return fault("an entry of the table of GUIDs is cut off");
    const std::size_t tail = rest.size() - kEntryTail;
    const std::size_t length = load<std::uint16_t>(rest, tail);
    if (length < kEntryTail || length > rest.size())
      return fault("an entry of the table of GUIDs has an impossible length");
    if (is_guid(rest, tail + 2, kMetadataOffset)) {
      if (length != kEntryTail + 4) return fault("the entry of the TDX metadata has an impossible length");
      const std::size_t distance = load<std::uint32_t>(rest, rest.size() - length);
      if (distance > firmware.size() || distance < kHeaderSize) return fault("the TDX metadata lies outside the file");
      return firmware.size() - distance;
    }
    rest = rest.first(rest.size() - length);
  }
  return fault("the firmware has no TDX metadata");
}

FirmwareResult<TdvfSection> read_section(Bytes raw, std::size_t file_size, std::size_t index) {
  const auto wrong = [&](std::string_view what) { return fault(fmt::format("section {}: {}", index, what)); };
  const auto type = load<std::uint32_t>(raw, 24);
  const auto attributes = load<std::uint32_t>(raw, 28);
  if (type > static_cast<std::uint32_t>(TdvfSectionType::payload_parameters)) return wrong("unknown type");
  if ((attributes & ~(kExtend | kPageAug)) != 0) return wrong("unknown attributes");
  const TdvfSection out{.data_offset = load<std::uint32_t>(raw, 0),
                        .raw_size = load<std::uint32_t>(raw, 4),
                        .address = load<std::uint64_t>(raw, 8),
                        .memory_size = load<std::uint64_t>(raw, 16),
                        .type = static_cast<TdvfSectionType>(type),
                        .extend = (attributes & kExtend) != 0,
                        .added_later = (attributes & kPageAug) != 0};
  if (out.address % kPage != 0) return wrong("the address is not a multiple of 4096");
  if (out.memory_size % kPage != 0) return wrong("the memory size is not a multiple of 4096");
  if (out.memory_size > kMaxMemory) return wrong("it takes more than 4 GiB");
  if (out.address + out.memory_size < out.address) return wrong("the address is too high");
  if (out.raw_size > out.memory_size) return wrong("it has more data than memory");
  if (out.data_offset > file_size || out.raw_size > file_size - out.data_offset)
    return wrong("its data lies outside the file");
  if (out.extend && out.raw_size != out.memory_size)
    return wrong("its data, which is measured, does not fill its memory");
  return out;
}

FirmwareResult<void> check_together(const std::vector<TdvfSection>& sections) {
  std::uint64_t sum = 0;  // 64 sections of at most 4 GiB: no overflow
  for (const TdvfSection& section : sections) sum += section.memory_size;
  if (sum > kMaxMemory) return fault("the sections take more than 4 GiB");
  std::vector<TdvfSection> sorted = sections;
  std::ranges::sort(sorted, {}, &TdvfSection::address);
  std::uint64_t end = 0;
  for (const TdvfSection& section : sorted) {
    if (section.memory_size == 0) continue;
    if (section.address < end) return fault("sections overlap in memory");
    end = section.address + section.memory_size;
  }
  return {};
}

}  // namespace

FirmwareResult<std::vector<TdvfSection>> read_tdvf(Bytes firmware) {
  const auto offset = descriptor_offset(firmware);
  if (!offset) return std::unexpected(offset.error());
  const Bytes descriptor = firmware.subspan(*offset);
  if (!std::ranges::equal(descriptor.first(kSignature.size()), kSignature))
    return fault("the TDX metadata does not begin with TDVF");
  const std::size_t length = load<std::uint32_t>(descriptor, 4);
  const std::size_t count = load<std::uint32_t>(descriptor, 12);
  if (load<std::uint32_t>(descriptor, 8) != kVersion) return fault("the TDX metadata has an unknown version");
  if (count < 1 || count > kMaxSections) return fault("the TDX metadata has no or more than 64 sections");
  if (length != kHeaderSize + count * kSectionSize || length > descriptor.size())
    return fault("the TDX metadata has an impossible length");
  std::vector<TdvfSection> out;
  for (std::size_t i = 0; i < count; ++i) {
    auto section = read_section(descriptor.subspan(kHeaderSize + i * kSectionSize, kSectionSize), firmware.size(), i);
    if (!section) return std::unexpected(std::move(section.error()));
    out.push_back(*section);
  }
  if (auto together = check_together(out); !together) return std::unexpected(std::move(together.error()));
  return out;
}

}  // namespace ee::attestation
