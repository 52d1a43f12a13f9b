#include "attestation/verify/collateral_checks.h"

#include <algorithm>
#include <optional>

#include "attestation/verify/signed_json.h"

namespace ee::attestation {
namespace {

Result<void> check_window(UtcTime from, UtcTime until, UtcTime now, const char* what) {
  if (from <= now && now < until) return {};
  return fail(ErrorCode::collateral_expired, what);
}

Result<void> check_signer(const Signer& signer, const VerifiedRootCrl& root_crl, UtcTime now) {
  if (!signer.validity.contains(now)) return fail(ErrorCode::collateral_expired, "TCB signing certificate");
  if (root_crl.crl.revokes(signer.serial)) return fail(ErrorCode::pck_revoked, "TCB signing certificate");
  return {};
}

Result<void> check_dates(const DocumentDates& dates, UtcTime now) {
  return check_window(dates.issue_date, dates.next_update, now, "signed document");
}

/// Chain, its dates and revocation, signature; then `parse` sees the document.
template <class Document>
Result<Verified<Document>> verify_document(const CollateralItem& item, IssuerChains& issuers,
                                           const VerifiedRootCrl& root_crl, UtcTime now, std::string_view member,
                                           ErrorCode unsigned_code, Result<Document> (*parse)(std::string_view json)) {
  auto signer = issuers.verify(item.issuer_chain(), SignerRole::tcb_signing);
  if (!signer) return fail(unsigned_code, signer.error());
  if (auto good = check_signer(**signer, root_crl, now); !good) return std::unexpected(std::move(good.error()));
  const auto parts = split_signed_json(item.body(), member);
  if (!parts) return fail(unsigned_code, "not a signed document");
  if (!(*signer)->key.verify(bytes_of(parts->document), parts->signature)) return fail(unsigned_code);
  auto document = parse(parts->document);
  if (!document) return std::unexpected(std::move(document.error()));
  if (auto good = check_dates(document->dates, now); !good) return std::unexpected(std::move(good.error()));
  return Verified<Document>{.signer = std::move(*signer), .document = std::move(*document)};
}

std::optional<Crl> read_crl_body(std::string_view body) {
  const auto der = crl_der(body);
  return der ? read_crl(*der) : std::nullopt;
}

}  // namespace

Result<VerifiedRootCrl> verify_root_crl(const CollateralItem& item, const TrustAnchor& anchor) {
  auto crl = read_crl_body(item.body());
  if (!crl) return fail(ErrorCode::crl_invalid, "the root CRL cannot be read");
  if (crl->issuer_common_name != anchor.root_name) return fail(ErrorCode::crl_invalid, "issuer of the root CRL");
  if (!crl->is_signed_by(anchor.root_key)) return fail(ErrorCode::crl_invalid, "signature of the root CRL");
  return VerifiedRootCrl{.crl = std::move(*crl)};
}

Result<void> check_dates(const VerifiedRootCrl& root_crl, UtcTime now) {
  return check_window(root_crl.crl.this_update, root_crl.crl.next_update, now, "root CRL");
}

Result<VerifiedPckCrl> verify_pck_crl(const CollateralItem& item, IssuerChains& issuers) {
  auto crl = read_crl_body(item.body());
  if (!crl) return fail(ErrorCode::crl_invalid, "the PCK CRL cannot be read");
  auto ca = issuers.verify(item.issuer_chain(), SignerRole::pck_ca);
  if (!ca) return fail(ErrorCode::crl_invalid, ca.error());
  if (!std::ranges::equal(crl->issuer, (*ca)->subject)) return fail(ErrorCode::crl_invalid, "issuer of the PCK CRL");
  if (!crl->is_signed_by((*ca)->key)) return fail(ErrorCode::crl_invalid, "signature of the PCK CRL");
  return VerifiedPckCrl{.crl = std::move(*crl), .ca = std::move(*ca)};
}

Result<void> check_dates(const VerifiedPckCrl& pck_crl, UtcTime now) {
  if (!pck_crl.ca->validity.contains(now)) return fail(ErrorCode::collateral_expired, "issuer of the PCK CRL");
  return check_window(pck_crl.crl.this_update, pck_crl.crl.next_update, now, "PCK CRL");
}

Result<VerifiedTcbInfo> verify_tcb_info(const CollateralItem& item, IssuerChains& issuers,
                                        const VerifiedRootCrl& root_crl, UtcTime now) {
  return verify_document<TcbInfoDocument>(item, issuers, root_crl, now, kTcbInfoMember,
                                          ErrorCode::tcb_info_signature_invalid, parse_tcb_info);
}

Result<VerifiedQeIdentity> verify_qe_identity(const CollateralItem& item, IssuerChains& issuers,
                                              const VerifiedRootCrl& root_crl, UtcTime now) {
  return verify_document<QeIdentityDocument>(item, issuers, root_crl, now, kQeIdentityMember,
                                             ErrorCode::qe_identity_signature_invalid, parse_qe_identity);
}

Result<void> check_signer_and_dates(const Signer& signer, const DocumentDates& dates, const VerifiedRootCrl& root_crl,
                                    UtcTime now) {
  if (auto good = check_signer(signer, root_crl, now); !good) return good;
  return check_dates(dates, now);
}

}  // namespace ee::attestation
