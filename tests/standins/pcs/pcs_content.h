#pragma once
#include <map>
#include <string>

#include "attestation/tsm/emulator_pki.h"
#include "attestation/verify/collateral.h"

namespace ee::standins {

/// What a PCS publishes. CRLs in DER, JSON bodies and PEM chains as they are.
struct PcsContent {
  struct Item {
    std::string body;
    std::string issuer_chain;
  };
  std::map<std::string, Item> tcb_infos;  ///< by FMSPC, 12 lower-case hexadecimal digits
  Item qe_identity;
  std::map<std::string, Item> pck_crls;  ///< by `platform` or `processor`
  Item root_crl;

  /// The emulator's collateral as of `options`; other dates and evaluation numbers there make it expired or older.
  static PcsContent emulated(const attestation::EmulatorPkiOptions& options);
  /// Recorded (or any other) collateral for one FMSPC.
  static PcsContent of(const attestation::Collateral& collateral, const std::string& fmspc, const std::string& ca);
};

}  // namespace ee::standins
