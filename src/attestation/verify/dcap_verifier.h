#pragma once
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "attestation/quote/quote.h"
#include "attestation/tcb_status.h"
#include "attestation/verify/chain.h"
#include "attestation/verify/collateral.h"
#include "common/error.h"

namespace ee::attestation {

/// Whom the caller believes beside Intel: the emulator, for quotes of its own vendor id. Nothing else can be added.
struct TrustAnchors {
  bool allow_emulator = false;
};

/// What a genuine quote says about its platform. Whether that is good enough is for the policy to say.
struct DcapResult {
  TcbStatus status = TcbStatus::Unknown;  ///< `Revoked` is a result like the others
  std::vector<std::string> advisories;    ///< of platform, TDX module and QE; sorted
  UtcTime tcb_date;                       ///< of the platform's level
  std::string fmspc;                      ///< 12 lower-case hexadecimal digits
  std::string pceid;                      ///< 4
  std::string ppid_sha256;                ///< 64; the PPID itself identifies a machine for life
  CaKind ca_kind = CaKind::platform;
  bool emulated = false;
  std::int64_t tcb_evaluation_data_number = 0;  ///< of the TCB info
  UtcTime collateral_issued;                    ///< the earliest of the four pieces
  UtcTime collateral_next_update;               ///< the earliest of the four pieces
};

/// Verifies TDX quotes by Intel's certificates and collateral alone: no quote verification enclave, no network, no
/// clock. The algorithm is that of 01 section 10.2, in its order; every error is the first that a quote deserves.
///
/// Thread-safe. It remembers, in bounded memory and apart for each anchor, which PCK chains and pieces of collateral
/// it has found good, so that a further quote of a platform costs the two signatures that are its own: the QE report's
/// and the quote's. Those are verified every time, and so are all dates and revocations.
class DcapVerifier {
 public:
  DcapVerifier();
  DcapVerifier(const DcapVerifier&) = delete;
  DcapVerifier& operator=(const DcapVerifier&) = delete;
  ~DcapVerifier();

  /// Steps 1 to 3, which need no collateral: the chain leads to the anchor, the PCK certified the QE's report, the
  /// report certifies the attestation key, that key signed the quote. FMSPC and CA kind of the answer name the
  /// collateral to fetch.
  /// errors: quote_emulated_refused, pck_chain_invalid, pck_chain_untrusted, pck_certificate_expired,
  /// pck_extension_invalid, qe_report_signature_invalid, qe_report_binding_invalid, quote_signature_invalid
  [[nodiscard]] Result<std::shared_ptr<const PckChain>> verify_offline(const Quote& quote, const TrustAnchors& anchors,
                                                                       UtcTime now) const;

  /// All steps, with collateral at hand.
  /// errors: those of `verify_offline`; crl_invalid, collateral_expired, pck_revoked, tcb_info_signature_invalid,
  /// qe_identity_signature_invalid, qe_identity_mismatch, tcb_info_mismatch, tdx_module_unsupported,
  /// tdx_module_mismatch, tcb_not_supported
  [[nodiscard]] Result<DcapResult> verify(const Quote& quote, const Collateral& collateral, const TrustAnchors& anchors,
                                          UtcTime now) const;

  /// All steps; `source` is asked only after steps 1 to 3, so nobody without a genuine platform makes it call out.
  /// errors: those of both
  [[nodiscard]] Result<DcapResult> verify(const Quote& quote, CollateralSource& source, const TrustAnchors& anchors,
                                          UtcTime now, std::stop_token stop) const;

 private:
  struct Memory;
  class Check;
  std::unique_ptr<Memory> memory_;
};

}  // namespace ee::attestation
