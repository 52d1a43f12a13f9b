#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestation/verify/p256.h"
#include "common/bytes.h"
#include "common/time.h"

namespace ee::attestation {

/// A certificate revocation list that was read and not yet believed. Owns its bytes.
struct Crl {
  ByteVector signed_part;
  ByteArray<64> signature{};
  ByteVector issuer;  ///< DER of the name
  std::string issuer_common_name;
  UtcTime this_update;
  UtcTime next_update;
  std::vector<ByteVector> revoked = {};  ///< serials, big-endian without leading zeros, sorted

  bool is_signed_by(const P256PublicKey& key) const { return key.verify(signed_part, signature); }
  bool revokes(const ByteVector& serial) const;
};

/// The DER of a CRL that may be DER, PEM or hexadecimal text of DER, told apart by content; nothing when it is none of
/// these or longer than 1 MiB.
std::optional<ByteVector> crl_der(std::string_view body);

/// Reads the DER of a complete, direct CRL, version 2, ecdsa-with-SHA256. Nothing for everything else: a missing
/// nextUpdate, a critical extension (delta or indirect lists have one), more than 65,536 entries, bytes left over.
/// Source: RFC 5280 section 5.
std::optional<Crl> read_crl(Bytes der);

}  // namespace ee::attestation
