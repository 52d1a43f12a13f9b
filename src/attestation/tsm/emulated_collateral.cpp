#include "attestation/tsm/emulated_collateral.h"

#ifdef EE_EMULATOR

#include <utility>

namespace ee::attestation {

Collateral to_collateral(const EmulatedCollateral& emulated) {
  const auto item = [](std::string body, const std::string& chain) {
    return std::make_shared<const CollateralItem>(std::move(body), chain);
  };
  return {.root_crl = item(std::string(text_of(emulated.root_ca_crl)), ""),
          .pck_crl = item(std::string(text_of(emulated.pck_crl)), emulated.pck_crl_issuer_chain),
          .tcb_info = item(emulated.tcb_info_body(), emulated.tcb_info_issuer_chain),
          .qe_identity = item(emulated.qe_identity_body(), emulated.qe_identity_issuer_chain)};
}

EmulatedCollateralSource::EmulatedCollateralSource(EmulationAllowed allowed, std::shared_ptr<CollateralSource> next)
    : allowed_(allowed), next_(std::move(next)) {}

Result<Collateral> EmulatedCollateralSource::get(const std::string& fmspc, CaKind ca, UtcTime now,
                                                 std::stop_token stop) {
  const EmulatorPkiOptions options{.issued_at = now};
  if (fmspc != to_hex(options.fmspc)) {
    if (next_ == nullptr) return fail(ErrorCode::fmspc_unknown);
    return next_->get(fmspc, ca, now, std::move(stop));
  }
  const std::lock_guard lock(mutex_);
  if (pki_ == nullptr || pki_->is_stale(now)) {
    pki_ = std::make_unique<const EmulatorPki>(allowed_, options);
    collateral_ = to_collateral(pki_->collateral());
  }
  return collateral_;
}

}  // namespace ee::attestation

#endif
