#pragma once
#include <boost/json/fwd.hpp>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "common/jose.h"
#include "common/time.h"
#include "cp/domain/account.h"
#include "cp/domain/principal.h"

namespace ee::cp {

/// Why a token of GitHub Actions was refused, in the order of the checks (04 section 3.4). Enumerators equal the slugs
/// of the audit log; the caller learns less.
enum class OidcRefusal : std::uint8_t {
  malformed,
  header_refused,
  alg_refused,
  unknown_key,
  bad_signature,
  bad_issuer,
  bad_audience,
  expired,
  not_yet_valid,
  bad_times,
  claim_missing,
  github_owner_not_linked,
  account_suspended,
  oidc_policy_refused,
  repository_not_allowed,
  token_overused,
};
BOOST_DESCRIBE_ENUM(OidcRefusal, malformed, header_refused, alg_refused, unknown_key, bad_signature, bad_issuer,
                    bad_audience, expired, not_yet_valid, bad_times, claim_missing, github_owner_not_linked,
                    account_suspended, oidc_policy_refused, repository_not_allowed, token_overused)

/// `github_oidc.*` settings that a token is judged by. An empty audience accepts none.
struct OidcTokenRules {
  std::string audience;
  std::string issuer;
  Seconds leeway{30};
  Seconds max_lifetime{3600};
};

/// Rows 1 and 2: a token of the right form under RS256 with a usable header, before any key is looked for. Pure.
std::expected<jose::UnverifiedToken, OidcRefusal> parse_oidc_token(std::string_view text);

/// Rows 5 to 8: the claims of a token whose signature was verified, at `now`. Pure. `expires_at` is `exp`, without
/// leeway.
struct JudgedClaims {
  OidcClaims claims;
  UtcTime expires_at;
};
std::expected<JudgedClaims, OidcRefusal> judge_oidc_claims(const boost::json::object& claims,
                                                           const OidcTokenRules& rules, UtcTime now);

/// Whether `text` fits `glob`: `*` stands for any characters but `/`, `**` for any at all; every other character for
/// itself. Takes time in the product of the lengths at most.
bool fits_glob(std::string_view glob, std::string_view text);

/// Row 11: whether the account's policy lets this workflow act. A rule whose `events` cannot be read matches nothing.
/// Requires a policy other than `off`.
bool allows_workflow(OidcPolicy policy, const std::vector<OidcRuleRow>& rules, const OidcClaims& claims);

}  // namespace ee::cp
