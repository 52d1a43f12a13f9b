#pragma once
#include <memory>
#include <stop_token>
#include <string>

#include "attestation/verify/trust_anchor.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/time.h"

namespace ee::attestation {

/// One piece of collateral as its publisher gave it: a CRL (DER, PEM or hexadecimal text of DER) or a signed JSON
/// body, and the PEM chain of who signed it (empty for the root CRL). Nothing about it is believed. Immutable.
class CollateralItem {
 public:
  CollateralItem(std::string body, std::string issuer_chain);
  const std::string& body() const { return body_; }
  const std::string& issuer_chain() const { return issuer_chain_; }
  /// SHA-256 over both, made once: the verifier remembers under it what it has checked.
  const ByteArray<32>& digest() const { return digest_; }

 private:
  std::string body_;
  std::string issuer_chain_;
  ByteArray<32> digest_;
};

/// Everything that the verification of one quote needs beside the quote. No member may be empty.
struct Collateral {
  std::shared_ptr<const CollateralItem> root_crl;
  std::shared_ptr<const CollateralItem> pck_crl;      ///< chain: PCK CA, root
  std::shared_ptr<const CollateralItem> tcb_info;     ///< chain: TCB signing, root
  std::shared_ptr<const CollateralItem> qe_identity;  ///< chain: TCB signing, root
};

/// Where collateral comes from. Thread-safe; a call may wait for the network.
class CollateralSource {
 public:
  virtual ~CollateralSource() = default;

  /// Collateral for platforms with that FMSPC (12 lower-case hexadecimal digits) and that kind of PCK CA.
  /// errors: fmspc_unknown, collateral_unavailable, collateral_expired, collateral_rollback, crl_invalid, pck_revoked,
  /// tcb_info_signature_invalid, qe_identity_signature_invalid, tcb_info_mismatch, qe_identity_mismatch; those of the
  /// database where one is behind it
  virtual Result<Collateral> get(const std::string& fmspc, CaKind ca, UtcTime now, std::stop_token stop) = 0;
};

}  // namespace ee::attestation
