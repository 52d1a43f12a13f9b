#pragma once
#include <memory>
#include <optional>

#include "common/bytes.h"

namespace ee::attestation {

/// A public key on the curve P-256, prepared for verifying. Copies share one immutable key, so that any number of
/// threads may verify with it at once.
class P256PublicKey {
 public:
  /// x || y, big-endian. Nothing when that is no point of the curve.
  static std::optional<P256PublicKey> from_point(std::span<const std::uint8_t, 64> point);

  const ByteArray<64>& point() const;

  /// ECDSA with SHA-256 (FIPS 186-4). `signature` is r || s, big-endian. False for every signature that does not fit,
  /// also when r or s is zero or not below the group's order.
  bool verify(Bytes message, std::span<const std::uint8_t, 64> signature) const;

  bool operator==(const P256PublicKey& other) const { return point() == other.point(); }

 private:
  struct Prepared;
  explicit P256PublicKey(std::shared_ptr<const Prepared> prepared) : prepared_(std::move(prepared)) {}
  std::shared_ptr<const Prepared> prepared_;
};

/// SHA-256 of `message`, by OpenSSL, which uses the processor's SHA instructions.
ByteArray<32> openssl_sha256(Bytes message);

}  // namespace ee::attestation
