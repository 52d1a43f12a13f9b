#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "attestation/binding.h"
#include "attestation/quote/quote.h"
#include "attestation/validate/policy.h"
#include "attestation/verify/dcap_verifier.h"
#include "common/agent_api.h"
#include "common/clock.h"
#include "cp/domain/attestation_attempt.h"
#include "cp/service/challenge_service.h"
#include "cp/service/evidence_logs.h"
#include "cp/service/trust_service.h"
#include "cp/store/nonce_store.h"
#include "db/database.h"

namespace ee::cp {

/// What a request claims about the party that quotes. For a refresh, keys, name and size are those of the agent's row.
/// It refers to the request, which outlives it.
struct EvidenceClaim {
  attestation::Purpose purpose = attestation::Purpose::register_;
  const agent_api::Evidence& evidence;
  const std::optional<std::string>& challenge;
  const std::optional<std::string>& nonce;
  ByteArray<32> signing_key{};
  ByteArray<32> sealing_key{};
  std::string vm_name;
  std::string agent_id = {};  ///< empty for a registration
  std::string node_size;
  std::optional<MeasuredBefore> before = {};  ///< of a refresh: what the agent was accepted with
};

/// The request that carries it.
struct EvidenceTransport {
  std::string_view method;
  std::string_view path;                      ///< as sent, without the query
  std::string_view body;                      ///< exact bytes
  std::optional<std::string_view> signature;  ///< header X-EE-Agent-Signature
  std::string source_ip;
  std::string request_id;
  std::stop_token stop = {};
};

/// Evidence that passed steps 2 to 14 of the pipeline.
struct AcceptedEvidence {
  attestation::Quote quote;
  ByteVector preimage;
  std::string challenge_id;
  std::string kind;  ///< `dcap`, `ita` or `emulated`
  attestation::PolicySnapshot policy;
  attestation::Decision decision;
  attestation::TcbStatus tcb_status = attestation::TcbStatus::Unknown;
  std::vector<std::string> advisories;
  std::string fmspc;
};

/// A verified token of Intel Trust Authority, as the pipeline needs it.
struct TokenVerdict {
  attestation::VerifierVerdict tcb;
  std::string token_sha256;
  bool jwks_stale = false;
};
struct TokenRequest {
  const attestation::Quote& quote;
  Bytes preimage;
  const std::optional<std::string>& agent_token;  ///< nothing: the control plane has one made
  std::string_view request_id;                    ///< of the request that carries the evidence
  std::stop_token stop = {};
};
using TokenVerification = std::function<Result<TokenVerdict>(const TokenRequest& request)>;

/// The policy in force, frozen; errors: policy_invalid, those of the database.
using PolicySource = std::function<Result<attestation::PolicySnapshot>()>;

struct VerificationLimits {
  Seconds deadline{60};              ///< `attestation.verify_timeout_seconds`; waiting calls are stopped at it
  std::size_t max_concurrency = 16;  ///< `attestation.verify_max_concurrency`
  std::size_t quote_max_bytes = attestation::kQuoteMaxBytes;
};

/// The steps of the pipeline, for tests that break one.
enum class VerificationStep : std::uint8_t {
  policy,
  quote,
  challenge,
  nonce,
  report_data,
  td_attributes,
  verifiers,
  token_claims,
  mrtd,
  tcb,
  rtmr,
  event_log,
  unchanged
};

/// Runs the fixed pipeline of 01 section 8, steps 2 to 14; the first failure is the reason. Thread-safe; a call blocks
/// on the database and, with an outside verifier, on the network. Nothing is accepted but by the last line of `verify`.
class EvidenceVerifier {
 public:
  struct Parts {
    db::Database& database;
    const ChallengeService& challenges;
    const TrustService& trust;
    const AgentAssignments& assignments;
    const attestation::DcapVerifier& dcap;
    attestation::CollateralSource& collateral;
    TokenVerification token;
    PolicySource policy;
    /// The same as far as memory knows it, for `refuse_form`: asks nobody. Nothing: it is not known yet.
    std::function<std::optional<attestation::PolicySnapshot>()> known_policy = {};
    std::function<VerificationLimits()> limits;
    std::function<std::optional<UtcTime>()> restored_at;  ///< `meta.restored_at`
    /// When this database was made or put back: of what was before it may know nothing. None: it knows everything.
    std::function<std::optional<UtcTime>()> forgotten_before = {};
    Clock& clock;
    std::function<void(VerificationStep)> before_step = {};  ///< tests: throws, or moves the clock
    /// A nonce was used up (nothing), or refused with the reason.
    std::function<void(std::optional<ErrorCode>)> observe_nonce = {};
  };
  explicit EvidenceVerifier(Parts parts) : parts_(std::move(parts)) {}

  /// `attempt` gets what is known of the evidence as the steps find it, for the audit row; it is filled on failure too.
  /// Errors: every reason of steps 1 to 14. Those of step 1 that the schema cannot tell (`nonce_missing`,
  /// `quote_missing`, `ita_token_missing`, `ita_token_not_allowed`, `invalid_request`) leave `attempt.audited` unset.
  Result<AcceptedEvidence> verify(const EvidenceClaim& claim, const EvidenceTransport& transport,
                                  AttestationAttempt& attempt);

  /// Steps 1 to 3 alone, which need neither the database nor anything that costs: the error that `verify` would answer,
  /// or nothing when it would go on (or cannot say without it). Never blocks, so an io thread may ask.
  std::optional<Error> refuse_form(const EvidenceClaim& claim, const EvidenceTransport& transport,
                                   AttestationAttempt& attempt) const;

  std::size_t in_flight() const { return in_flight_.load(); }

 private:
  class Run;
  class Slot;
  Result<AcceptedEvidence> run(Run& run, const VerificationLimits& limits, const std::stop_token& stop);
  Result<void> take_slot(const VerificationLimits& limits, const std::stop_token& stop);

  Parts parts_;
  std::atomic<std::size_t> in_flight_ = 0;
  std::mutex slots_mutex_;
  std::condition_variable_any slot_free_;
};

}  // namespace ee::cp
