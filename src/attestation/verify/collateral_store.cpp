#include "attestation/verify/collateral_store.h"

#include <cstdlib>

namespace ee::attestation {

std::string_view to_string(CollateralKind kind) {
  switch (kind) {
    case CollateralKind::root_crl: return "root_crl";
    case CollateralKind::pck_crl: return "pck_crl";
    case CollateralKind::tcb_info: return "tcb_info";
    case CollateralKind::qe_identity: return "qe_identity";
  }
  std::abort();
}

std::string_view to_string(TcbUpdate update) {
  switch (update) {
    case TcbUpdate::standard: return "standard";
    case TcbUpdate::early: return "early";
  }
  std::abort();
}

std::string CollateralKey::text() const {
  switch (kind) {
    case CollateralKind::root_crl: return "rootcrl";
    case CollateralKind::pck_crl: return "pckcrl:" + std::string(to_string(ca));
    case CollateralKind::tcb_info: return "tcb:" + fmspc + ":" + std::string(to_string(update));
    case CollateralKind::qe_identity: return "qe:" + std::string(to_string(update));
  }
  std::abort();
}

std::optional<CollateralItem> item_of(CollateralKind kind, const CollateralRow& row) {
  if (kind == CollateralKind::tcb_info || kind == CollateralKind::qe_identity)
    return CollateralItem(row.body, row.issuer_chain);
  const auto der = from_base64(row.body);
  if (!der) return std::nullopt;
  return CollateralItem(std::string(text_of(*der)), row.issuer_chain);
}

bool is_rollback(const CollateralRow& candidate, const CollateralRow& known) {
  return candidate.eval_number < known.eval_number || candidate.issue_at < known.issue_at;
}

}  // namespace ee::attestation
