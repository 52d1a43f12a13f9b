#pragma once
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/control_plane_client.h"
#include "agent/signer_set.h"
#include "attestation/emulation.h"
#include "attestation/quote/quote.h"
#include "attestation/validate/trust_store.h"
#include "attestation/verify/collateral.h"
#include "attestation/verify/dcap_verifier.h"
#include "common/clock.h"
#include "common/random.h"

namespace ee::agent {

/// Judges a control plane's quote: genuine by DCAP, not DEBUG, TCB `strict` (UpToDate), MRTD and RTMRs of an entry of
/// `trusted_cp_mrtds`. With emulation allowed the emulator's quotes count, with its default measurements of a control
/// plane as one more entry. Thread-safe.
class CpQuoteJudge {
 public:
  /// `collateral` may be null: then every quote is refused with collateral_unavailable.
  CpQuoteJudge(const std::vector<TrustedControlPlane>& trusted, std::optional<attestation::EmulationAllowed> emulation,
               std::shared_ptr<attestation::CollateralSource> collateral);

  /// Errors: those of DcapVerifier::verify and of evaluate_policy.
  Result<void> judge(const attestation::Quote& quote, UtcTime now, std::stop_token stop) const;

 private:
  bool emulation_allowed_;
  attestation::TrustStore trust_;
  std::shared_ptr<attestation::CollateralSource> collateral_;
  attestation::DcapVerifier verifier_;
};

/// Decides which keys the control plane may sign with. A pinned key: that one, and no quote is asked for. Else the keys
/// that the control plane's quote binds. Else, only in env dev and only if `cp_attestation_mode` is not `required`:
/// nobody (an empty set: the first answer is then taken unverified). There is no trust on first use.
/// One thread at a time.
class ControlPlaneTrust {
 public:
  /// All references outlive the object.
  ControlPlaneTrust(const AgentConfig& config, ControlPlaneClient& client, const CpQuoteJudge& judge,
                    const Clock& clock, Random& random);

  /// Who may sign the next challenge. Error: cp_untrusted, with the retry time that the control plane asked for.
  CallResult<SignerSet> establish(std::stop_token stop);
  /// The control plane named these keys in an answer that a trusted key signed. Pins stay as they are.
  void learn(const SignerSet& keys);
  /// An answer was not signed by a key that is trusted: the quote is asked for again.
  void forget() { verified_.reset(); }

 private:
  CallResult<SignerSet> unverified(std::string why, std::optional<Seconds> retry_after);
  CallResult<SignerSet> verify_quote(std::stop_token stop);

  const AgentConfig& config_;
  ControlPlaneClient& client_;
  const CpQuoteJudge& judge_;
  const Clock& clock_;
  Random& random_;
  std::optional<SignerSet> verified_;
};

/// Checks what a control plane's attestation answer binds: REPORTDATA of `quote` is the SHA-512 of the preimage that
/// the caller builds itself, from its own nonce and audience and the keys of the answer. Error: report_data_mismatch.
Result<SignerSet> check_control_plane_binding(const attestation::Quote& quote, const agent_api::SigningKeys& keys,
                                              const ByteArray<32>& nonce, std::string_view audience);

}  // namespace ee::agent
