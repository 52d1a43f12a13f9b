#pragma once
#include <memory>

#include "attestation/verify/chain.h"
#include "attestation/verify/collateral.h"
#include "attestation/verify/crl.h"
#include "attestation/verify/issuer_chains.h"
#include "attestation/verify/qe_identity.h"
#include "attestation/verify/tcb_info.h"

// Steps 5 and 6 of 01 section 10.2, piece by piece. `verify_*` is what never changes for the same bytes and may be
// remembered; `check_*` depends on the time or on another piece and is done on every verification.
namespace ee::attestation {

struct VerifiedRootCrl {
  Crl crl;
};
/// Signed by the anchor's key and named after it. errors: crl_invalid
[[nodiscard]] Result<VerifiedRootCrl> verify_root_crl(const CollateralItem& item, const TrustAnchor& anchor);
/// errors: collateral_expired
[[nodiscard]] Result<void> check_dates(const VerifiedRootCrl& root_crl, UtcTime now);

struct VerifiedPckCrl {
  Crl crl;
  std::shared_ptr<const Signer> ca;
};
/// Its issuer chain leads to the anchor, and it is signed by the PCK CA there. errors: crl_invalid
[[nodiscard]] Result<VerifiedPckCrl> verify_pck_crl(const CollateralItem& item, IssuerChains& issuers);
/// errors: collateral_expired
[[nodiscard]] Result<void> check_dates(const VerifiedPckCrl& pck_crl, UtcTime now);

/// A document of Intel's with its signer: TcbInfoDocument or QeIdentityDocument.
template <class Document>
struct Verified {
  std::shared_ptr<const Signer> signer;
  Document document;
};
using VerifiedTcbInfo = Verified<TcbInfoDocument>;
using VerifiedQeIdentity = Verified<QeIdentityDocument>;

/// In this order: issuer chain, its dates, its revocation, signature over the exact bytes, syntax, dates. What the
/// document says beyond its dates is judged later.
/// errors: tcb_info_signature_invalid, collateral_expired, pck_revoked, tcb_info_mismatch
[[nodiscard]] Result<VerifiedTcbInfo> verify_tcb_info(const CollateralItem& item, IssuerChains& issuers,
                                                      const VerifiedRootCrl& root_crl, UtcTime now);
/// errors: qe_identity_signature_invalid, collateral_expired, pck_revoked, qe_identity_mismatch
[[nodiscard]] Result<VerifiedQeIdentity> verify_qe_identity(const CollateralItem& item, IssuerChains& issuers,
                                                            const VerifiedRootCrl& root_crl, UtcTime now);
/// The part of it that depends on the time and on the root CRL, in the same order.
/// errors: collateral_expired, pck_revoked
[[nodiscard]] Result<void> check_signer_and_dates(const Signer& signer, const DocumentDates& dates,
                                                  const VerifiedRootCrl& root_crl, UtcTime now);

/// Members of the PCS bodies.
inline constexpr std::string_view kTcbInfoMember = "tcbInfo";
inline constexpr std::string_view kQeIdentityMember = "enclaveIdentity";

}  // namespace ee::attestation
