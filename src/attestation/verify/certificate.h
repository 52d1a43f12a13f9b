#pragma once
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestation/verify/p256.h"
#include "common/bytes.h"
#include "common/time.h"

namespace ee::attestation {

/// When something counts: `from <= now <= until`.
struct Validity {
  UtcTime from;
  UtcTime until;
  bool contains(UtcTime now) const { return from <= now && now <= until; }
};
/// The times at which both count.
Validity intersection(const Validity& a, const Validity& b);

/// An X.509 v3 certificate of the SGX public key infrastructure, read and not yet believed. Everything it may not be is
/// refused on reading: another key than P-256, another signature than ecdsa-with-SHA256, no basic constraints or key
/// usage, a critical extension that is not understood, any extension twice. Owns its bytes; copies share the key.
/// Source: Intel SGX PCK Certificate and Certificate Revocation List Profile Specification 1.5; RFC 5280.
struct Certificate {
  ByteVector der = {};
  ByteVector signed_part = {};   ///< TBSCertificate, the exact bytes
  ByteArray<64> signature{};     ///< r || s over `signed_part`
  ByteVector subject = {};       ///< DER of the name
  ByteVector issuer = {};        ///< DER of the name
  std::string common_name = {};  ///< of the subject; exactly one
  ByteVector serial = {};        ///< big-endian, positive, without leading zeros
  Validity validity = {};
  bool is_ca = false;
  std::optional<std::uint64_t> path_length = {};  ///< how many CAs may follow; absent: unlimited
  bool may_sign_data = false;                     ///< key usage digitalSignature
  bool may_sign_certificates = false;  ///< key usage keyCertSign and cRLSign, which always come together here
  P256PublicKey key;
  std::optional<ByteVector> sgx_extension = {};  ///< value of 1.2.840.113741.1.13.1

  /// Whether `issuer` is the issuer named and its key signed this.
  bool is_signed_by(const Certificate& issuer_certificate) const;
};

/// Why a certificate or chain cannot be read. A literal, free of content.
using CertificateFault = const char*;

/// Reads one certificate. DER only, nothing left over, at most 8 KiB.
std::expected<Certificate, CertificateFault> read_certificate(Bytes der);

/// Cuts PEM into exactly `count` certificates: armour lines, strict base64 between them in lines, white space and NUL
/// only behind the last. Returns their DER.
std::expected<std::vector<ByteVector>, CertificateFault> split_pem_certificates(std::string_view pem,
                                                                                std::size_t count);

/// Strict PEM of one block with that label (`X509 CRL`), white space allowed behind it; nothing otherwise.
std::optional<ByteVector> decode_pem(std::string_view pem, std::string_view label);

}  // namespace ee::attestation
