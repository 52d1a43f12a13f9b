#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/metrics.h"
#include "common/random.h"
#include "common/secret.h"
#include "cp/integration/github/github_client.h"
#include "cp/service/admin_sessions.h"
#include "cp/service/audit_fold.h"
#include "cp/service/auth_settings.h"
#include "cp/store/account_store.h"
#include "cp/store/api_key_store.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/oauth_state_store.h"
#include "db/database.h"

namespace ee::cp {

/// Who may sign in through GitHub, and as which OAuth app we do it (04 section 3.5).
struct GithubLoginSettings {
  github::OAuthConfig oauth;
  bool user_login = true;                 ///< auth.user_login: others than administrators
  std::vector<std::string> allowed_orgs;  ///< numeric ids or logins; with `allowed_users` empty too: everybody
  std::vector<std::string> allowed_users;
};
using GithubLoginSettingsSource = std::function<GithubLoginSettings()>;

struct GithubLoginStart {
  std::string return_to = {};  ///< a path of ours; anything else becomes `/`
  /// The account that the user will be linked to. The caller has checked that the sender may do that.
  std::optional<AccountId> link_account_id = {};
  /// The API key that asks for the link. One that ends may not: a link lasts.
  std::optional<std::string> key_id = {};
};
struct StartedGithubLogin {
  std::string auth_url;  ///< where the browser goes
  Secret set_cookie;     ///< value of `Set-Cookie`: binds the sign-in to this browser
};

/// What the browser brings back from GitHub.
struct GithubCallback {
  std::optional<std::string> code = {};
  std::optional<std::string> state = {};
  std::optional<std::string> error = {};
  std::optional<std::string> error_description = {};
  std::optional<std::string_view> nonce = {};  ///< cookie `ee_oauth`
  std::string_view presented_token = {};       ///< session token that came along: it is ended
  std::string_view client_address = {};
  std::string_view user_agent = {};
  std::string_view request_id = {};
  std::stop_token stop = {};
};
struct FinishedGithubLogin {
  NewSession session;  ///< cookie mode: the token goes into the cookie, never into a URL
  std::string return_to;
};

/// Sign-in through GitHub, and with it the proof that a GitHub user stands behind an account.
///
/// `start` keeps SHA-256 values of a state and a nonce for ten minutes; the browser has the state in the URL and the
/// nonce in a cookie. PKCE's verifier is made of both and stored nowhere. `finish` takes the row out before anything
/// else, so that a state works once, over all replicas. The access token is dropped when the session is made.
/// Thread-safe; `finish` blocks on GitHub.
class GithubLogin {
 public:
  static constexpr Seconds kStateLife{600};
  static constexpr std::size_t kMaxParameterBytes = 512;

  struct Parts {
    db::Database& database;
    github::Client& github;
    AdminSessions& sessions;
    Clock& clock;
    Random& random;
    GithubLoginSettingsSource settings;
    AuthSettingsSource auth;
    metrics::Registry& metrics;  ///< counts `ee_github_logins_total{result}`
  };
  explicit GithubLogin(Parts parts);

  /// Errors: github_oauth_not_configured, overloaded (too many under way), those of the database.
  Result<StartedGithubLogin> start(const GithubLoginStart& request);

  /// Errors: github_oauth_not_configured, github_access_denied, invalid_oauth_state, github_oauth_rejected,
  /// github_scope_missing, github_unavailable, github_user_not_allowed, auth_unavailable; with an account to link:
  /// account_not_found, account_suspended, identity_already_linked, too_many_identities. All are audited.
  Result<FinishedGithubLogin> finish(const GithubCallback& callback);

  /// Whether people can sign in this way.
  bool configured() const { return parts_.settings().oauth.complete(); }
  /// Ends all sessions that were begun through GitHub if the OAuth app has been taken out of the settings; how many.
  Result<std::int64_t> end_sessions_if_removed();

 private:
  struct Visitor;

  Result<FinishedGithubLogin> sign_in(const GithubCallback& callback);
  Result<OAuthStateRow> take_state(const GithubCallback& callback);
  Result<Visitor> visitor_of(const GithubCallback& callback, const GithubLoginSettings& settings);
  Result<void> link(db::Transaction& tx, const AccountId& account, const Visitor& visitor, const SessionRow& session,
                    const GithubCallback& callback);
  void audit_refusal(const GithubCallback& callback, const Error& error);

  Parts parts_;
  OAuthStateStore states_;
  AccountStore accounts_;
  ApiKeyStore keys_;
  AuditLogStore audit_;
  AuditFold fold_;
  metrics::Family<metrics::Counter> logins_;
};

/// `return_to` if it is a path of this site: begins with one `/`, not with `//` or `/\`, has no control characters and
/// at most 512 bytes; else `/`.
std::string safe_return_to(std::string_view return_to);

/// The nonce in a `Cookie` field; nothing when there is none, or several.
std::optional<std::string_view> oauth_cookie_of(std::string_view cookie_field);
/// `Set-Cookie` that removes it.
std::string cleared_oauth_cookie(bool secure);

}  // namespace ee::cp
