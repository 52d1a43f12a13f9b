#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "attestation/verify/certificate.h"
#include "attestation/verify/pck_extension.h"
#include "attestation/verify/trust_anchor.h"
#include "common/error.h"

namespace ee::attestation {

/// A PCK chain that leads to its anchor.
struct PckChain {
  P256PublicKey leaf_key;
  ByteVector leaf_serial;
  PckExtension platform;
  CaKind ca_kind;
  ByteVector ca_subject;  ///< DER of the name: the issuer of the PCK CRL
  P256PublicKey ca_key;
  ByteVector ca_serial;
  Validity validity;  ///< of all three certificates together
};

/// Checks the chain of a quote: exactly leaf, CA and root; the root's key is the anchor's; every signature, name,
/// basic constraint and key usage; then the dates; then the SGX extension. Source: 01 section 10.2, steps 1 and 2.
/// errors: pck_chain_untrusted when there are three certificates and the last has another key than the anchor;
/// pck_chain_invalid, pck_certificate_expired, pck_extension_invalid, in this order
[[nodiscard]] Result<PckChain> verify_pck_chain(std::string_view pem, const TrustAnchor& anchor, UtcTime now);

/// pck_certificate_expired unless `now` lies within the validity of all three certificates.
[[nodiscard]] Result<void> check_dates(const PckChain& chain, UtcTime now);

/// Who signed a piece of collateral: a certificate directly under the root.
struct Signer {
  std::string common_name;
  ByteVector subject;  ///< DER of the name
  P256PublicKey key;
  ByteVector serial;
  Validity validity;  ///< of the signer and the root together
};

/// What a signer of collateral is for.
enum class SignerRole : std::uint8_t { tcb_signing, pck_ca };

/// Checks an issuer chain of collateral, exactly signer and root, for everything but the dates.
/// errors: a literal that says what is wrong
[[nodiscard]] std::expected<Signer, CertificateFault> verify_issuer_chain(std::string_view pem,
                                                                          const TrustAnchor& anchor, SignerRole role);

}  // namespace ee::attestation
