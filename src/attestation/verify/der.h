#pragma once
#include <cstdint>
#include <optional>

#include "common/bytes.h"

namespace ee::attestation {

/// The tags that are read here (X.690 section 8.1.2), all of one byte.
namespace der_tag {
inline constexpr std::uint8_t kInteger = 0x02;
inline constexpr std::uint8_t kBitString = 0x03;
inline constexpr std::uint8_t kOctetString = 0x04;
inline constexpr std::uint8_t kObjectId = 0x06;
inline constexpr std::uint8_t kEnumerated = 0x0a;
inline constexpr std::uint8_t kSequence = 0x30;
}  // namespace der_tag

/// Walks the elements of DER (X.690 section 10): definite lengths in their shortest form, tags of one byte. It looks
/// at the bytes it was given, allocates nothing and reads nothing outside of them.
class DerReader {
 public:
  explicit DerReader(Bytes data) : rest_(data) {}

  bool at_end() const { return rest_.empty(); }
  /// The contents of the next element, which must have that tag; nothing (and no step) otherwise.
  std::optional<Bytes> read(std::uint8_t tag);
  /// The same for an element of any tag that is not of the high-number form.
  struct Element {
    std::uint8_t tag;
    Bytes contents;
    Bytes whole;  ///< with tag and length
  };
  std::optional<Element> read_any();

 private:
  Bytes rest_;
};

/// The contents of an INTEGER or ENUMERATED that is not negative and at most `max`; nothing otherwise, also when it is
/// not in its shortest form.
std::optional<std::uint64_t> der_unsigned(Bytes contents, std::uint64_t max);

/// Whether a whole element is the AlgorithmIdentifier of ecdsa-with-SHA256, which has no parameters.
bool is_ecdsa_with_sha256(Bytes element);

/// What X.509 wraps around a certificate and a CRL alike: SEQUENCE { to-be-signed SEQUENCE, AlgorithmIdentifier, BIT
/// STRING }, here only with ecdsa-with-SHA256 (RFC 5758 section 3.2) by a P-256 key.
struct SignedDer {
  Bytes signed_part;        ///< the exact bytes that were signed
  ByteArray<64> signature;  ///< r || s
};
/// Nothing when it is not that, or bytes are left over. Looks into `der`.
std::optional<SignedDer> split_signed_der(Bytes der);

}  // namespace ee::attestation
