#include <algorithm>

#include "attestation/tdvf/sha384_stream.h"
#include "attestation/tdvf/tdvf.h"

namespace ee::attestation {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kChunk = 256;

/// What MRTD takes for one operation: its name, zeros up to byte 16, the address, zeros up to byte 128.
ByteArray<128> block(std::string_view name, std::uint64_t address) {
  ByteArray<128> out{};
  std::ranges::copy(name, out.begin());
  for (std::size_t i = 0; i < 8; ++i) out[16 + i] = static_cast<std::uint8_t>(address >> (8 * i));
  return out;
}

class Mrtd {
 public:
  explicit Mrtd(Bytes firmware) : firmware_(firmware) {}

  void take(const TdvfSection& section, PageOrder order) {
    for (std::uint64_t at = 0; at < section.memory_size; at += kPage) {
      add(section, at);
      if (order == PageOrder::single) extend(section, at);
    }
    for (std::uint64_t at = 0; order == PageOrder::two_pass && at < section.memory_size; at += kPage)
      extend(section, at);
  }
  Sha384Digest finish() { return hash_.finish(); }

 private:
  void add(const TdvfSection& section, std::uint64_t at) {
    if (!section.added_later) hash_.add(block("MEM.PAGE.ADD", section.address + at));
  }
  void extend(const TdvfSection& section, std::uint64_t page) {
    if (!section.extend) return;
    for (std::uint64_t at = page; at < page + kPage; at += kChunk) {
      hash_.add(block("MR.EXTEND", section.address + at));
      hash_.add(firmware_.subspan(section.data_offset + at, kChunk));  // raw size = memory size: read_tdvf saw to it
    }
  }

  Bytes firmware_;
  tdvf::Sha384Stream hash_;
};

}  // namespace

FirmwareResult<Sha384Digest> compute_mrtd(Bytes firmware, PageOrder order) {
  const auto sections = read_tdvf(firmware);
  if (!sections) return std::unexpected(sections.error());
  Mrtd mrtd(firmware);
  for (const TdvfSection& section : *sections) mrtd.take(section, order);
  return mrtd.finish();
}

}  // namespace ee::attestation
