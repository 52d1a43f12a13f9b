#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attestation/emulation.h"
#include "attestation/tcb_status.h"
#include "common/bytes.h"
#include "common/time.h"

namespace ee::attestation {

/// Uncompressed P-256 point (65 bytes) of the emulator's root key: an anchor for emulated quotes only, and only where
/// emulation is allowed. All zero in a program that was built without the emulator (no key has that point).
ByteArray<65> emulator_root_public_key();
/// Common name of the emulator's root certificate. The other certificates carry Intel's common names.
inline constexpr const char* kEmulatorRootName = "easyenclave EMULATED Root CA";

}  // namespace ee::attestation

#ifdef EE_EMULATOR

namespace ee::attestation {

/// One TCB level of a TCB info: what a platform needs at least, and what having that means.
struct EmulatedPlatformLevel {
  ByteArray<16> sgx_components{};
  std::uint16_t pcesvn = 0;
  ByteArray<16> tdx_components{};
  TcbStatus status = TcbStatus::UpToDate;
  std::vector<std::string> advisories = {};
};
/// One level of a TDX module's or the QE's identity.
struct EmulatedIsvLevel {
  std::uint16_t isvsvn = 0;
  TcbStatus status = TcbStatus::UpToDate;
  std::vector<std::string> advisories = {};
};

/// What the emulator's PKI says. The defaults are those of 01 section 17; tests change them to get faults that are
/// signed correctly.
struct EmulatorPkiOptions {
  UtcTime issued_at;  ///< issue date of the collateral, cut to seconds
  Milliseconds collateral_validity = std::chrono::days(30);
  UtcTime certificates_from = std::chrono::sys_days(std::chrono::year(2020) / 1 / 1);
  UtcTime certificates_until = std::chrono::sys_days(std::chrono::year(2049) / 12 / 31);
  /// Another text gives other keys everywhere, so a chain that no control plane trusts.
  std::string key_label = "easyenclave emulated TDX, published keys";

  ByteArray<6> fmspc = {0xee, 0, 0, 0, 0, 1};
  ByteArray<2> pceid = {0, 0};
  ByteArray<16> component_svns = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
  std::uint16_t pcesvn = 11;

  std::vector<EmulatedPlatformLevel> levels = {
      {.sgx_components = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, .pcesvn = 11, .tdx_components = {5, 0, 2}}};
  /// Of the module identity `TDX_01`. An emulated TD of an older module is OutOfDate, of a still older one unsupported.
  std::vector<EmulatedIsvLevel> module_levels = {
      {.isvsvn = 5}, {.isvsvn = 2, .status = TcbStatus::OutOfDate, .advisories = {"INTEL-SA-99999"}}};
  std::vector<EmulatedIsvLevel> qe_levels = {{.isvsvn = 4}};
  std::uint32_t tcb_evaluation_data_number = 1;

  bool revoke_pck = false;
  bool revoke_platform_ca = false;
  bool revoke_tcb_signer = false;
};

/// Collateral as Intel's PCS gives it.
struct EmulatedCollateral {
  ByteVector pck_crl;       ///< DER
  ByteVector root_ca_crl;   ///< DER
  std::string tcb_info;     ///< the exact signed text
  std::string qe_identity;  ///< the exact signed text
  ByteArray<64> tcb_info_signature{};
  ByteArray<64> qe_identity_signature{};
  std::string tcb_info_issuer_chain;  ///< PEM: TCB signing certificate, root
  std::string qe_identity_issuer_chain;
  std::string pck_crl_issuer_chain;  ///< PEM: platform CA, root

  /// Bodies of `GET /tdx/certification/v4/tcb` and `.../qe/identity`.
  std::string tcb_info_body() const;
  std::string qe_identity_body() const;
};

/// The quoting enclave of the emulator: everything in a quote that does not change from quote to quote.
struct EmulatedQe {
  ByteArray<384> report{};
  ByteArray<64> report_signature{};
  ByteVector auth_data;
  ByteArray<64> attestation_key{};
  std::string pck_chain;  ///< PEM: leaf, platform CA, root; ends with a NUL, as recorded quotes do
};

/// Certificates, collateral and quoting enclave, all signed by fixed, published keys. Immutable.
class EmulatorPki {
 public:
  EmulatorPki(EmulationAllowed allowed, const EmulatorPkiOptions& options);
  /// As it was stored before by the same keys.
  EmulatorPki(EmulationAllowed allowed, UtcTime issued_at, EmulatedCollateral collateral, EmulatedQe qe);

  UtcTime issued_at() const { return issued_at_; }
  /// Older than 20 days, or from the future: to be made again.
  bool is_stale(UtcTime now) const;
  const EmulatedCollateral& collateral() const { return collateral_; }
  const EmulatedQe& qe() const { return qe_; }

 private:
  UtcTime issued_at_;
  EmulatedCollateral collateral_;
  EmulatedQe qe_;
};

/// The stored form (JSON), and back; nothing when `text` is no such text. It has the keys of a collateral file of the
/// recorded evidence (`tcb_info`, `pck_crl` in hex, ...) and the quoting enclave's beside them.
std::string write_emulator_pki(const EmulatorPki& pki);
std::optional<EmulatorPki> read_emulator_pki(EmulationAllowed allowed, std::string_view text);

/// Label of the attestation key (the key that signs quotes) of `options.key_label`.
std::string attestation_key_label(std::string_view key_label);

}  // namespace ee::attestation

#endif
