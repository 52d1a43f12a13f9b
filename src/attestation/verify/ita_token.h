#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestation/quote/quote.h"
#include "attestation/tcb_status.h"
#include "common/error.h"
#include "common/jose.h"
#include "common/time.h"

namespace ee::attestation {

/// What an installation expects of Intel Trust Authority's tokens. `intel_ta.*` settings.
struct ItaRules {
  std::string issuer;
  /// Empty: a token that has an audience is refused, as ITA's standard tokens have none.
  std::string audience = {};
  std::vector<jose::Algorithm> algorithms = {jose::Algorithm::ps384, jose::Algorithm::rs256};
  std::vector<std::string> policy_ids = {};  ///< each must have matched
  Seconds clock_skew{60};
  Seconds max_token_age{600};
};

/// What a verified token says. Texts are as in the token; nothing of it has been compared with a quote yet.
struct ItaClaims {
  std::optional<std::string> attester_type;
  std::optional<std::string> mrtd;  ///< hexadecimal, like all measured values
  std::array<std::optional<std::string>, 4> rtmrs;
  std::optional<std::string> report_data;
  std::optional<std::string> held_data;  ///< base64
  std::optional<std::string> mrseam, mrsignerseam, td_attributes, xfam, mrconfigid, mrowner, mrownerconfig;
  bool debuggable = false;
  TcbStatus tcb_status = TcbStatus::Unknown;
  std::vector<std::string> advisory_ids;
  std::optional<UtcTime> tcb_date;
  UtcTime issued_at;
  UtcTime expires_at;
};

/// Verifies tokens of Intel Trust Authority. Pure and immutable: keys and time are arguments, so that fetching keys is
/// the caller's. In the order of 01 section 9.3, the first failure is the answer:
///
///   const auto token = verifier.read(text);           // before any key is looked up
///   const auto keys = key_source.keys_for(token->kid());
///   const auto claims = verifier.verify(*token, *keys, now);
///   const auto fits = check_ita_claims(*claims, quote, preimage);
class ItaVerifier {
 public:
  static constexpr std::size_t kMaxTokenBytes = 32UL * 1024;
  static constexpr std::size_t kMaxKidChars = 256;

  explicit ItaVerifier(ItaRules rules) : rules_(std::move(rules)) {}

  /// Shape, header, algorithm, presence of a kid.
  /// Errors: ita_token_missing (empty), ita_token_malformed, ita_alg_not_allowed, ita_key_unknown.
  [[nodiscard]] Result<jose::UnverifiedToken> read(std::string_view token) const;

  /// Key, signature, issuer, audience, times, use, policies.
  /// Errors: ita_key_unknown, ita_key_unusable, ita_signature_invalid, ita_issuer_invalid, ita_audience_invalid,
  /// ita_token_expired, ita_token_not_yet_valid, ita_token_stale, ita_claims_invalid, ita_policy_unmatched.
  [[nodiscard]] Result<ItaClaims> verify(const jose::UnverifiedToken& token, const jose::KeySet& keys,
                                         UtcTime now) const;

  const ItaRules& rules() const { return rules_; }

 private:
  Result<void> check_times(const boost::json::object& claims, UtcTime now) const;
  Result<void> check_audience(const boost::json::object& claims) const;
  Result<void> check_policies(const boost::json::object& claims) const;

  ItaRules rules_;
};

/// Whether a token speaks of this quote, and of a TD that cannot be debugged. `preimage` is what REPORTDATA hashes.
/// Errors: ita_claims_invalid (something that must be there is not), mrtd_missing, ita_quote_mismatch,
/// td_debug_enabled.
[[nodiscard]] Result<void> check_ita_claims(const ItaClaims& claims, const Quote& quote, Bytes preimage);

}  // namespace ee::attestation
