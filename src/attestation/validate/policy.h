#pragma once
#include <array>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestation/quote/quote.h"
#include "attestation/tcb_status.h"
#include "attestation/validate/policy_snapshot.h"
#include "attestation/validate/trust_store.h"
#include "common/error.h"

namespace ee::attestation {

/// What an accepted attestation still has to say. The names are the stored texts.
enum class Warning : std::uint8_t {
  tcb_not_acceptable,
  tcb_advisory_denied,
  tcb_check_disabled,
  rtmr_mismatch,
  rtmr_no_baseline,
  rtmr_check_disabled,
  jwks_stale,
  emulated_quote,
  collateral_expires_soon,
};
BOOST_DESCRIBE_ENUM(Warning, tcb_not_acceptable, tcb_advisory_denied, tcb_check_disabled, rtmr_mismatch,
                    rtmr_no_baseline, rtmr_check_disabled, jwks_stale, emulated_quote, collateral_expires_soon)
std::string_view to_string(Warning warning);

/// Everything that a policy looks at. Measurements come from signed bytes of a quote (or from the stored row of one
/// that was accepted), never from a request.
struct Facts {
  Stated<UtcTime> evaluated_at;
  Stated<MrtdKind> wanted_kind;
  std::optional<Measurement> mrtd = {};
  std::array<Measurement, 4> rtmrs = {};
  Stated<std::uint64_t> td_attributes;
  Stated<bool> has_service_td;  ///< MRSERVICETD is not zero
  Stated<bool> emulated;
  std::string node_size = {};  ///< as the request says; selects RTMR profiles
  Stated<TcbStatus> tcb_status;
  std::vector<std::string> advisories = {};
  std::optional<UtcTime> collateral_next_update = {};
  bool jwks_stale = false;
};

/// What a quote itself says. `tcb_status` is Unknown until a verifier's verdict is put in.
Facts facts_of(const Quote& quote, UtcTime evaluated_at, MrtdKind wanted_kind, std::string node_size);

/// The nearest profile of an RTMR mismatch (most equal registers; of equals the first by name) and the registers that
/// differ. Never values.
struct RtmrMismatch {
  std::string profile_id;
  std::string profile_name;
  std::vector<int> registers;
  bool operator==(const RtmrMismatch&) const = default;
};
/// `{"rtmr_profile":name,"registers":[..]}` for the audit row.
std::string details_json(const RtmrMismatch& mismatch);

/// What one check or all of them found. Nothing in `reason`: good.
struct Verdict {
  std::optional<ErrorCode> reason = {};
  std::vector<Warning> warnings = {};
};

/// DEBUG, reserved bits, SEPT_VE_DISABLE, MIGRATABLE and service TD.
/// reasons: td_debug_enabled (in every mode and environment), td_attributes_refused
Verdict check_td_attributes(const Facts& facts, const PolicySnapshot& policy);

/// The MRTD is trusted, unexpired, enabled, and of the wanted kind. `used` gets the entry that said so.
/// reasons: mrtd_missing, mrtd_untrusted, mrtd_wrong_kind
Verdict check_mrtd(const Facts& facts, const TrustStore& trust, std::optional<TrustedMrtd>* used = nullptr);

/// reasons: tcb_revoked (in every mode), tcb_not_acceptable, tcb_advisory_denied
Verdict check_tcb(const Facts& facts, const PolicySnapshot& policy);

struct RtmrVerdict : Verdict {
  std::optional<RtmrProfile> profile = {};    ///< that matched
  std::optional<RtmrMismatch> mismatch = {};  ///< when there were profiles and none matched
};
/// reasons: rtmr_mismatch, rtmr_no_baseline
RtmrVerdict check_rtmrs(const Facts& facts, const PolicySnapshot& policy, const TrustStore& trust);

/// A refusal (403) that rests on what others publish, or on this side's clock and settings: nothing is admitted by it,
/// but it says nothing about the TD.
bool is_undecided_refusal(ErrorCode reason);

/// What a reason means for a running agent. An undecided refusal is `unavailable`. Of a code that is no attestation
/// reason: `retry`, or `unavailable` for a 5xx.
enum class DecisionClass : std::uint8_t { accepted, refused, retry, unavailable };
BOOST_DESCRIBE_ENUM(DecisionClass, accepted, refused, retry, unavailable)
DecisionClass decision_class(ErrorCode reason);
std::string_view to_string(DecisionClass decision);

/// The judgement of all policies over facts.
struct Decision {
  DecisionClass decision = DecisionClass::unavailable;
  std::optional<ErrorCode> reason = {};  ///< nothing exactly when accepted
  std::vector<Warning> warnings = {};
  std::optional<TrustedMrtd> trusted_mrtd = {};    ///< the entry that vouched, with its version
  std::optional<RtmrProfile> rtmr_profile = {};    ///< the profile that matched, with its version
  std::optional<RtmrMismatch> rtmr_mismatch = {};  ///< also on an acceptance with the warning
};

/// Attributes, MRTD, TCB, RTMRs, in this order; the first that refuses is the reason. An emulated quote under a policy
/// that forbids it is refused before all (quote_emulated_refused), and bears a warning otherwise.
Decision evaluate_policy(const Facts& facts, const PolicySnapshot& policy, const TrustStore& trust);

/// What a verifier found out about a platform.
struct VerifierVerdict {
  TcbStatus status = TcbStatus::Unknown;
  std::vector<std::string> advisories = {};
};
struct CombinedVerdict {
  Result<VerifierVerdict> verdict;
  std::optional<ErrorCode> other_reason = {};  ///< DCAP's, when both failed
};
/// By verifier mode: the one verdict, or for `both` the worse status and the advisories of both; each must succeed, and
/// when neither does the token's reason counts. A verdict that the mode wants and that is absent is
/// internal_verification_error.
CombinedVerdict combine_verdicts(VerifierMode mode, std::optional<Result<VerifierVerdict>> ita,
                                 std::optional<Result<VerifierVerdict>> dcap);

}  // namespace ee::attestation
