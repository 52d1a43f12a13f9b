#pragma once
#include <cstdint>
#include <vector>

#include "common/bytes.h"

namespace ee::testing {

struct RawSection {
  std::uint32_t data_offset = 0;
  std::uint32_t raw_size = 0;
  std::uint64_t address = 0;
  std::uint64_t memory_size = 0;
  std::uint32_t type = 0;
  std::uint32_t attributes = 0;
};

inline constexpr std::uint8_t kTableFooterGuid[] = {0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
                                                    0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d};
inline constexpr std::uint8_t kMetadataOffsetGuid[] = {0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47,
                                                       0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2};
inline constexpr std::uint8_t kMetadataGuid[] = {0xf3, 0xf9, 0xea, 0xe9, 0x8e, 0x16, 0xd5, 0x44,
                                                 0xa8, 0xeb, 0x7f, 0x4d, 0x87, 0x38, 0xf6, 0xae};

template <class T>
void put(ByteVector& to, std::size_t offset, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) to[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
}
inline void put(ByteVector& to, std::size_t offset, Bytes bytes) {
  std::copy(bytes.begin(), bytes.end(), to.begin() + static_cast<std::ptrdiff_t>(offset));
}

/// `data`, whole pages, and one page more: the metadata at its start, the table of GUIDs at its end.
inline ByteVector make_tdvf(ByteVector data, const std::vector<RawSection>& sections) {
  const std::size_t page = data.size();
  data.resize(page + 4096);
  put(data, page, Bytes(kMetadataGuid));
  std::size_t at = page + 16;
  put(data, at, bytes_of("TDVF"));
  put(data, at + 4, static_cast<std::uint32_t>(16 + 32 * sections.size()));
  put(data, at + 8, std::uint32_t{1});
  put(data, at + 12, static_cast<std::uint32_t>(sections.size()));
  at += 16;
  for (const RawSection& section : sections) {
    put(data, at, section.data_offset);
    put(data, at + 4, section.raw_size);
    put(data, at + 8, section.address);
    put(data, at + 16, section.memory_size);
    put(data, at + 24, section.type);
    put(data, at + 28, section.attributes);
    at += 32;
  }
  const std::size_t footer = data.size() - 50;
  put(data, footer - 22, static_cast<std::uint32_t>(data.size() - page - 16));
  put(data, footer - 18, std::uint16_t{22});
  put(data, footer - 16, Bytes(kMetadataOffsetGuid));
  put(data, footer, std::uint16_t{40});
  put(data, footer + 2, Bytes(kTableFooterGuid));
  return data;
}

/// The file of 01 section 19.
inline ByteVector vector_tdvf() {
  ByteVector data(8192);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>((i * 7 + 3) & 255);
  return make_tdvf(std::move(data),
                   {{0, 8192, 0xFFFFD000, 8192, 0, 1}, {4096, 0, 0x810000, 8192, 3, 0}, {0, 0, 0x809000, 4096, 2, 0}});
}
inline constexpr const char* kVectorMrtdSingle =
    "a4ea0368a6b5631af250c667d87550a5f66c38755649e1427df0b40ff47a6a4b645a20e639096c20e2572379538e1cc3";
inline constexpr const char* kVectorMrtdTwoPass =
    "6c53d5b53e99e7a806b3153ccdbff8f585871aaed1a585968f3c3829b0045181ffcd43efc2870849a07dd958e099fd03";

/// A PE32+ image: 512 bytes of headers, two sections whose headers stand in the order opposite to their data, 100 bytes
/// behind them, and a certificate table of 24 bytes.
inline ByteVector make_pe() {
  ByteVector out(512 + 512 + 512 + 100 + 24);
  for (std::size_t i = 512; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i * 31 + i / 256);
  put(out, 0, bytes_of("MZ"));
  put(out, 0x3c, std::uint32_t{0x80});
  put(out, 0x80, bytes_of(std::string_view("PE\0\0", 4)));
  put(out, 0x86, std::uint16_t{2});    // sections
  put(out, 0x94, std::uint16_t{240});  // optional header
  constexpr std::size_t kOptional = 0x98;
  put(out, kOptional, std::uint16_t{0x20b});
  put(out, kOptional + 60, std::uint32_t{512});         // headers
  put(out, kOptional + 64, std::uint32_t{0x12345678});  // checksum
  put(out, kOptional + 108, std::uint32_t{16});         // directories
  put(out, kOptional + 112 + 32, static_cast<std::uint32_t>(out.size() - 24));
  put(out, kOptional + 112 + 36, std::uint32_t{24});
  constexpr std::size_t kSections = kOptional + 240;
  put(out, kSections + 16, std::uint32_t{512});
  put(out, kSections + 20, std::uint32_t{1024});
  put(out, kSections + 40 + 16, std::uint32_t{512});
  put(out, kSections + 40 + 20, std::uint32_t{512});
  return out;
}

}  // namespace ee::testing
