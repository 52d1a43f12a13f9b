#pragma once
#include <memory>

#include "attestation/tsm/emulated_quote.h"
#include "common/fake_clock.h"

namespace ee::testing {

inline attestation::EmulationAllowed emulation_allowed() {
  return attestation::EmulationAllowed::check("dev", true).value();
}

/// The emulator's PKI as made at the start of FakeClock's time; one for all tests of a program.
inline std::shared_ptr<const attestation::EmulatorPki> emulator_pki() {
  static const auto pki = std::make_shared<const attestation::EmulatorPki>(
      emulation_allowed(), attestation::EmulatorPkiOptions{.issued_at = FakeClock().now()});
  return pki;
}

/// A complete quote by the published keys.
inline ByteVector emulated_quote(const attestation::EmulatedQuoteSpec& spec = {}) {
  static const attestation::EmulatedQuoteSigner signer(emulator_pki());
  return signer.sign(spec);
}

}  // namespace ee::testing
