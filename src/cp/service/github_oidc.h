#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/error.h"
#include "common/metrics.h"
#include "common/random.h"
#include "cp/domain/github_oidc_token.h"
#include "cp/domain/principal.h"
#include "cp/integration/jwks/jwks_cache.h"
#include "cp/service/audit_fold.h"
#include "cp/store/account_store.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/github_owner_store.h"
#include "db/database.h"

namespace ee::cp {

/// `github_oidc.*` settings (04 section 3.4).
struct GithubOidcSettings {
  OidcTokenRules token;
  JwksSettings keys;
  std::int64_t max_uses = 50;  ///< state-changing requests of one token

  /// An empty audience is never "accept any".
  bool enabled() const { return !token.audience.empty(); }
};
using GithubOidcSettingsSource = std::function<GithubOidcSettings()>;

/// A bearer token that looks like a JWT, and what is known of the request that it came with.
struct OidcRequest {
  std::string_view token;
  bool state_changing = false;
  std::string_view client_address = {};
  std::string_view request_id = {};
  std::stop_token stop = {};
};

/// Tells by a token of GitHub Actions which account's workflow makes a request. Fails closed; the token itself is
/// neither stored nor logged. Each refusal is audited with its slug, equal ones of one address folded; the caller
/// learns `oidc_invalid` only. Thread-safe; blocks on the database and, while keys are fetched, on GitHub.
class GithubOidc {
 public:
  struct Parts {
    db::Database& database;
    JwksCache& keys;
    Clock& clock;
    Random& random;
    GithubOidcSettingsSource settings;
    metrics::Registry& metrics;  ///< counts `ee_oidc_rejects_total{reason}`
  };
  explicit GithubOidc(Parts parts);

  /// A principal of kind oidc. A state-changing request counts as a use of the token, whatever comes of it later, and
  /// is audited as `oidc_accepted`. Errors: oidc_disabled, oidc_invalid, github_owner_not_linked, account_suspended,
  /// oidc_policy_refused, repository_not_allowed, auth_unavailable (keys or database not to be had).
  Result<Principal> authenticate(const OidcRequest& request);

  /// Fetches the keys anew if it is time; whether it did. For the job `github_jwks_refresh`.
  Result<bool> refresh_keys(const std::stop_token& stop);

 private:
  struct Decision;
  using Judged = std::expected<JudgedClaims, OidcRefusal>;

  Result<Judged> vouched(const OidcRequest& request, const GithubOidcSettings& settings);
  Result<Decision> decide(db::Transaction& tx, const OidcClaims& claims) const;
  Result<Decision> decide_and_count(db::Transaction& tx, const OidcRequest& request, const JudgedClaims& judged,
                                    const GithubOidcSettings& settings);
  Result<Decision> decision_of(const OidcRequest& request, const JudgedClaims& judged,
                               const GithubOidcSettings& settings);
  Result<void> note_rename(db::Transaction& tx, const OidcRequest& request, const OidcClaims& claims,
                           const Decision& decision);
  std::unexpected<Error> refuse(const OidcRequest& request, OidcRefusal refusal, const OidcClaims* claims = nullptr,
                                bool name_of_another = false);

  Parts parts_;
  AccountStore accounts_;
  GithubOwnerStore owners_;
  AuditLogStore audit_;
  AuditFold fold_;
  metrics::Family<metrics::Counter> rejects_;
};

}  // namespace ee::cp
