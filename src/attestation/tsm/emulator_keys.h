#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/time.h"

struct evp_pkey_st;

#ifdef EE_EMULATOR

/// Keys, certificates and revocation lists of the TDX emulator. Everything here is for development and tests: the
/// private keys are published on purpose.
namespace ee::attestation::emulator {

/// A P-256 key that is a function of a text. Immutable; any number of threads may sign at once.
class P256Key {
 public:
  /// The private scalar is SHA-256 of `label`.
  static P256Key from_label(std::string_view label);

  /// x || y.
  const ByteArray<64>& public_key() const { return public_key_; }
  /// ECDSA with SHA-256, r || s, big-endian.
  ByteArray<64> sign(Bytes message) const;
  /// OpenSSL's form, owned by this object.
  evp_pkey_st* handle() const { return key_.get(); }

 private:
  P256Key() = default;
  std::shared_ptr<evp_pkey_st> key_;
  ByteArray<64> public_key_{};
};

/// Twenty bytes, positive, a function of `label`.
ByteVector serial_of(std::string_view label);

struct CertificateSpec {
  std::string subject;  ///< common name
  std::string issuer;
  ByteVector serial;
  const P256Key& subject_key;
  const P256Key& issuer_key;
  UtcTime not_before;
  UtcTime not_after;
  int ca_path_length = -1;        ///< negative: not a CA
  ByteVector sgx_extension = {};  ///< DER value of 1.2.840.113741.1.13.1; empty: none
};
/// An X.509 v3 certificate in PEM, shaped like Intel's.
std::string make_certificate(const CertificateSpec& spec);

struct CrlSpec {
  std::string issuer;
  const P256Key& issuer_key;
  UtcTime this_update;
  UtcTime next_update;
  std::vector<ByteVector> revoked_serials;
};
/// A version 2 CRL in DER.
ByteVector make_crl(const CrlSpec& spec);

/// What a PCK certificate says about its platform.
struct SgxExtension {
  ByteArray<16> ppid{};
  ByteArray<16> component_svns{};
  std::uint16_t pcesvn = 0;
  ByteArray<2> pceid{};
  ByteArray<6> fmspc{};
};
/// DER of the extension's value, with all members that a multi-package platform's certificate has.
ByteVector make_sgx_extension(const SgxExtension& facts);

}  // namespace ee::attestation::emulator

#endif
