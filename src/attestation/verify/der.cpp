#include "attestation/verify/der.h"

#include <algorithm>
#include <array>

namespace ee::attestation {
namespace {

/// Reads the length of an element at the front of `rest` and cuts it off; nothing when it is not the shortest definite
/// form, or longer than what follows it.
std::optional<std::size_t> read_length(Bytes& rest) {
  if (rest.empty()) return std::nullopt;
  const std::uint8_t first = rest.front();
  rest = rest.subspan(1);
  std::size_t length = first;
  if (first >= 0x80) {
    const std::size_t count = first & 0x7fU;
    if (count == 0 || count > 4 || count > rest.size() || rest.front() == 0) return std::nullopt;
    length = 0;
    for (const std::uint8_t byte : rest.first(count)) length = length << 8 | byte;
    if (length < 0x80) return std::nullopt;
    rest = rest.subspan(count);
  }
  if (length > rest.size()) return std::nullopt;
  return length;
}

/// SEQUENCE { OBJECT IDENTIFIER 1.2.840.10045.4.3.2 }, with its tag and length: no parameters.
constexpr std::array<std::uint8_t, 12> kEcdsaWithSha256 = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                                           0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};

/// A positive INTEGER of at most 32 bytes, right-aligned.
bool read_scalar(DerReader& reader, std::span<std::uint8_t, 32> out) {
  auto contents = reader.read(der_tag::kInteger);
  if (!contents || contents->empty() || (contents->front() & 0x80) != 0) return false;
  if (contents->front() == 0) {
    // One zero byte is there for the sign only.
    if (contents->size() < 2 || ((*contents)[1] & 0x80) == 0) return false;
    contents = contents->subspan(1);
  }
  if (contents->size() > out.size()) return false;
  std::ranges::fill(out, std::uint8_t{0});
  std::ranges::copy(*contents, out.end() - static_cast<std::ptrdiff_t>(contents->size()));
  return true;
}

}  // namespace

std::optional<DerReader::Element> DerReader::read_any() {
  if (rest_.empty() || (rest_.front() & 0x1fU) == 0x1fU) return std::nullopt;
  Bytes after = rest_.subspan(1);
  const auto length = read_length(after);
  if (!length) return std::nullopt;
  const std::size_t header = rest_.size() - after.size();
  Element element{.tag = rest_.front(), .contents = after.first(*length), .whole = rest_.first(header + *length)};
  rest_ = after.subspan(*length);
  return element;
}

std::optional<Bytes> DerReader::read(std::uint8_t tag) {
  if (rest_.empty() || rest_.front() != tag) return std::nullopt;
  const auto element = read_any();
  if (!element) return std::nullopt;
  return element->contents;
}

std::optional<std::uint64_t> der_unsigned(Bytes contents, std::uint64_t max) {
  if (contents.empty() || (contents.front() & 0x80) != 0) return std::nullopt;
  if (contents.size() > 1 && contents.front() == 0 && (contents[1] & 0x80) == 0) return std::nullopt;
  if (contents.front() == 0) contents = contents.subspan(1);
  if (contents.size() > sizeof(std::uint64_t)) return std::nullopt;
  std::uint64_t value = 0;
  for (const std::uint8_t byte : contents) value = value << 8 | byte;
  if (value > max) return std::nullopt;
  return value;
}

bool is_ecdsa_with_sha256(Bytes element) { return std::ranges::equal(element, kEcdsaWithSha256); }

std::optional<SignedDer> split_signed_der(Bytes der) {
  DerReader outer(der);
  const auto body = outer.read(der_tag::kSequence);
  if (!body || !outer.at_end()) return std::nullopt;

  DerReader parts(*body);
  const auto signed_part = parts.read_any();
  if (!signed_part || signed_part->tag != der_tag::kSequence) return std::nullopt;
  const auto algorithm = parts.read_any();
  if (!algorithm || !is_ecdsa_with_sha256(algorithm->whole)) return std::nullopt;
  const auto bits = parts.read(der_tag::kBitString);
  if (!bits || bits->empty() || bits->front() != 0 || !parts.at_end()) return std::nullopt;

  DerReader wrapped(bits->subspan(1));
  const auto scalars = wrapped.read(der_tag::kSequence);
  if (!scalars || !wrapped.at_end()) return std::nullopt;
  DerReader values(*scalars);
  SignedDer result{.signed_part = signed_part->whole, .signature = {}};
  const std::span<std::uint8_t, 64> signature(result.signature);
  if (!read_scalar(values, signature.first<32>()) || !read_scalar(values, signature.last<32>()) || !values.at_end())
    return std::nullopt;
  return result;
}

}  // namespace ee::attestation
