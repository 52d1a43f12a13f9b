#pragma once

#ifdef EE_EMULATOR

#include <memory>
#include <mutex>

#include "attestation/tsm/emulator_pki.h"
#include "attestation/verify/collateral.h"

namespace ee::attestation {

/// The emulator's collateral in the verifier's form.
Collateral to_collateral(const EmulatedCollateral& emulated);

/// Answers for the emulator's platform without network, and hands every other question on. The collateral is made
/// when first asked for and again when it is older than 20 days. Thread-safe.
class EmulatedCollateralSource final : public CollateralSource {
 public:
  /// `next` answers for all other platforms; null: those are fmspc_unknown.
  EmulatedCollateralSource(EmulationAllowed allowed, std::shared_ptr<CollateralSource> next);

  Result<Collateral> get(const std::string& fmspc, CaKind ca, UtcTime now, std::stop_token stop) override;

 private:
  EmulationAllowed allowed_;
  std::shared_ptr<CollateralSource> next_;
  std::mutex mutex_;
  std::unique_ptr<const EmulatorPki> pki_;
  Collateral collateral_;
};

}  // namespace ee::attestation

#endif
