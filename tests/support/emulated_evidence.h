#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "attestation/tsm/emulated_collateral.h"
#include "attestation/tsm/emulated_quote.h"
#include "attestation/tsm/emulator_keys.h"
#include "tests/support/emulator.h"

namespace ee::testing {

/// A quote with its collateral by the emulator's published keys, with any part of it changed: before signing, so that
/// only the content is wrong, or after it.
struct EmulatedEvidence {
  attestation::EmulatorPkiOptions options{.issued_at = FakeClock().now()};
  attestation::EmulatedQuoteSpec spec = {};
  /// The QE's report, signed again by the PCK afterwards.
  std::function<void(ByteArray<384>& report)> change_qe_report = nullptr;
  /// The chain, its PEM text.
  std::function<void(std::string& pem)> change_chain = nullptr;
  /// The two signed documents, signed again afterwards.
  std::function<void(std::string& tcb_info)> change_tcb_info = nullptr;
  std::function<void(std::string& qe_identity)> change_qe_identity = nullptr;
  /// Everything, as it will be used.
  std::function<void(attestation::EmulatedCollateral&)> change_collateral = nullptr;

  /// One of the emulator's keys: "root", "platform CA", "PCK", "TCB signing".
  attestation::emulator::P256Key key(const std::string& role) const {
    return attestation::emulator::P256Key::from_label(options.key_label + ": " + role);
  }
  ByteVector serial(const std::string& role) const {
    return attestation::emulator::serial_of(options.key_label + ": " + role + " serial");
  }

  attestation::Collateral collateral() const {
    const attestation::EmulatorPki pki(emulation_allowed(), options);
    attestation::EmulatedCollateral made = pki.collateral();
    if (change_tcb_info) {
      change_tcb_info(made.tcb_info);
      made.tcb_info_signature = key("TCB signing").sign(bytes_of(made.tcb_info));
    }
    if (change_qe_identity) {
      change_qe_identity(made.qe_identity);
      made.qe_identity_signature = key("TCB signing").sign(bytes_of(made.qe_identity));
    }
    if (change_collateral) change_collateral(made);
    return attestation::to_collateral(made);
  }

  ByteVector raw_quote() const {
    const attestation::EmulatorPki pki(emulation_allowed(), options);
    attestation::EmulatedQe qe = pki.qe();
    if (change_qe_report) {
      change_qe_report(qe.report);
      qe.report_signature = key("PCK").sign(qe.report);
    }
    if (change_chain) change_chain(qe.pck_chain);
    return attestation::EmulatedQuoteSigner(
               std::make_shared<const attestation::EmulatorPki>(emulation_allowed(), options.issued_at,
                                                                pki.collateral(), std::move(qe)),
               options.key_label)
        .sign(spec);
  }
  attestation::Quote quote() const {
    return attestation::parse_quote(raw_quote(), attestation::TrailingPolicy::zeros).value();
  }
};

}  // namespace ee::testing
