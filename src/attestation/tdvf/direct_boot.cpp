#include <algorithm>
#include <array>
#include <optional>

#include "attestation/tdvf/little_endian.h"
#include "attestation/tdvf/sha384_stream.h"
#include "attestation/tdvf/tdvf.h"
#include "common/crypto.h"
#include "common/utf8.h"

namespace ee::attestation {
namespace {

using tdvf::load;

// Source: Microsoft PE Format; offsets from the start of the optional header unless said otherwise.
constexpr std::size_t kNewHeaderPointer = 0x3c;  // in the file
constexpr std::size_t kCoffSize = 24;            // with the signature "PE\0\0"
constexpr std::size_t kSectionHeaderSize = 40;
constexpr std::size_t kSizeOfHeaders = 60;
constexpr std::size_t kCheckSum = 64;
constexpr std::uint16_t kMagic32 = 0x10b;
constexpr std::uint16_t kMagic64 = 0x20b;
constexpr std::size_t kDirectories32 = 96;
constexpr std::size_t kDirectories64 = 112;
constexpr std::size_t kSecurityDirectory = 4;
constexpr std::size_t kMaxPeSections = 96;  // what the format allows

std::unexpected<FirmwareFault> fault(const char* detail) { return std::unexpected(FirmwareFault{detail}); }

struct Range {
  std::size_t offset = 0;
  std::size_t size = 0;
};

/// The parts of a PE file that its hash needs. All lie inside the file.
struct PeLayout {
  std::size_t checksum = 0;                  ///< 4 bytes
  std::optional<std::size_t> security = {};  ///< 8 bytes: the directory entry of the certificate table
  std::size_t headers_end = 0;
  std::size_t certificates = 0;      ///< bytes of the certificate table, at the end of the file
  std::vector<Range> sections = {};  ///< with data, by file offset
};

/// The optional header, with what precedes its data directories.
FirmwareResult<Range> optional_header(Bytes file) {
  if (file.size() < kNewHeaderPointer + 4 || file[0] != 'M' || file[1] != 'Z')
    return fault("the kernel is not a PE image");
  const std::size_t start = load<std::uint32_t>(file, kNewHeaderPointer);
  if (start > file.size() || file.size() - start < kCoffSize) return fault("the kernel's PE header is cut off");
  if (load<std::uint32_t>(file, start) != 0x00004550) return fault("the kernel is not a PE image");
  const Range out{.offset = start + kCoffSize, .size = load<std::uint16_t>(file, start + 20)};
  if (out.size < kDirectories32 || out.size > file.size() - out.offset)
    return fault("the kernel's optional header is cut off");
  return out;
}

FirmwareResult<std::vector<Range>> sections_of(Bytes file, const Range& optional) {
  const std::size_t count = load<std::uint16_t>(file, optional.offset - kCoffSize + 6);
  const std::size_t table = optional.offset + optional.size;
  if (count > kMaxPeSections || (file.size() - table) / kSectionHeaderSize < count)
    return fault("the kernel's section table is cut off");
  std::vector<Range> out;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t header = table + i * kSectionHeaderSize;
    const Range section{.offset = load<std::uint32_t>(file, header + 20),
                        .size = load<std::uint32_t>(file, header + 16)};
    if (section.size == 0) continue;
    if (section.offset > file.size() || section.size > file.size() - section.offset)
      return fault("a section of the kernel lies outside the file");
    out.push_back(section);
  }
  std::ranges::sort(out, {}, &Range::offset);
  return out;
}

FirmwareResult<PeLayout> pe_layout(Bytes file) {
  const auto optional = optional_header(file);
  if (!optional) return std::unexpected(optional.error());
  const Bytes header = file.subspan(optional->offset, optional->size);
  const auto magic = load<std::uint16_t>(header, 0);
  if (magic != kMagic32 && magic != kMagic64) return fault("the kernel's optional header has an unknown magic");
  const std::size_t directories = magic == kMagic32 ? kDirectories32 : kDirectories64;
  if (header.size() < directories) return fault("the kernel's optional header is cut off");
  PeLayout out{.checksum = optional->offset + kCheckSum, .headers_end = load<std::uint32_t>(header, kSizeOfHeaders)};
  const std::size_t count = load<std::uint32_t>(header, directories - 4);
  if (count > (header.size() - directories) / 8) return fault("the kernel's data directories are cut off");
  if (count > kSecurityDirectory) {
    out.security = optional->offset + directories + kSecurityDirectory * 8;
    out.certificates = load<std::uint32_t>(file, *out.security + 4);
  }
  const std::size_t header_end = optional->offset + optional->size;
  if (out.headers_end < header_end || out.headers_end > file.size())
    return fault("the kernel's headers have an impossible size");
  auto sections = sections_of(file, *optional);
  if (!sections) return std::unexpected(std::move(sections.error()));
  out.sections = std::move(*sections);
  return out;
}

/// UTF-16, little-endian, with a final zero. `text` is UTF-8.
ByteVector load_options(std::string_view text) {
  ByteVector out;
  const auto put = [&](std::uint32_t unit) {
    out.push_back(static_cast<std::uint8_t>(unit));
    out.push_back(static_cast<std::uint8_t>(unit >> 8));
  };
  while (!text.empty()) {
    const std::size_t length = utf8_sequence(text);
    const auto first = static_cast<std::uint8_t>(text[0]);
    std::uint32_t point = length == 1 ? first : first & (0x7Fu >> length);
    for (std::size_t i = 1; i < length; ++i) point = point << 6 | (static_cast<std::uint8_t>(text[i]) & 0x3Fu);
    if (point >= 0x10000) {
      put(0xD800 + ((point - 0x10000) >> 10));
      put(0xDC00 + ((point - 0x10000) & 0x3FF));
    } else {
      put(point);
    }
    text.remove_prefix(length);
  }
  put(0);
  return out;
}

/// R' = SHA-384(R || digest), from zeros.
Sha384Digest fold(std::initializer_list<Sha384Digest> digests) {
  Sha384Digest out{};
  for (const Sha384Digest& digest : digests) {
    ByteVector both;
    append(both, out);
    append(both, digest);
    out = sha384(both);
  }
  return out;
}

Sha384Digest digest_of(std::string_view text) { return sha384(bytes_of(text)); }

}  // namespace

FirmwareResult<Sha384Digest> authenticode_sha384(Bytes image) {
  const auto layout = pe_layout(image);
  if (!layout) return std::unexpected(layout.error());
  tdvf::Sha384Stream hash;
  const auto add = [&](std::size_t from, std::size_t to) { hash.add(image.subspan(from, to - from)); };
  add(0, layout->checksum);
  if (layout->security) {
    add(layout->checksum + 4, *layout->security);
    add(*layout->security + 8, layout->headers_end);
  } else {
    add(layout->checksum + 4, layout->headers_end);
  }
  std::size_t hashed = layout->headers_end;
  for (const Range& section : layout->sections) {
    add(section.offset, section.offset + section.size);
    hashed += section.size;
  }
  if (hashed > image.size() || layout->certificates > image.size() - hashed)
    return fault("the kernel's sections or certificates overlap");
  add(hashed, image.size() - layout->certificates);
  return hash.finish();
}

FirmwareResult<DirectBoot> predict_direct_boot(Bytes kernel, Bytes initrd, std::string_view command_line) {
  if (!is_utf8(command_line) || command_line.find('\0') != std::string_view::npos)
    return fault("the command line is not text");
  const auto image = authenticode_sha384(kernel);
  if (!image) return std::unexpected(image.error());
  static constexpr ByteArray<4> kSeparator = {};
  DirectBoot out;
  out.rtmr1 = fold({*image, digest_of("Calling EFI Application from Boot Option"), sha384(kSeparator),
                    digest_of("Exit Boot Services Invocation"), digest_of("Exit Boot Services Returned with Success")});
  out.rtmr2 = fold({sha384(load_options("initrd=initrd " + std::string(command_line))), sha384(initrd)});
  return out;
}

}  // namespace ee::attestation
