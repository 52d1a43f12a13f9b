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
#include "cp/domain/principal.h"
#include "cp/domain/session.h"
#include "cp/service/audit_fold.h"
#include "cp/service/auth_settings.h"
#include "cp/service/authenticator.h"
#include "cp/service/password_gate.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/login_throttle_store.h"
#include "cp/store/session_store.h"
#include "db/database.h"

namespace ee::cp {

/// How a browser or program wants the session token: as a cookie that scripts cannot read, or in the answer's body.
enum class SessionMode : std::uint8_t { cookie, token };

struct PasswordLogin {
  Secret password;
  SessionMode mode = SessionMode::cookie;
  std::optional<std::string_view> origin = {};  ///< header `Origin`
  std::string_view presented_token = {};        ///< session token that came along, as bearer or cookie: it is ended
  std::string_view client_address = {};
  std::string_view user_agent = {};
  std::string_view request_id = {};
  std::stop_token stop = {};
};

/// Somebody who was proven to be this GitHub user.
struct GithubSignIn {
  std::int64_t github_id = 0;
  std::string login = {};
  std::string organizations = {};  ///< JSON `[{"id","login","role"}]`
  std::string avatar_url = {};
  std::string_view presented_token = {};
  std::string_view client_address = {};
  std::string_view user_agent = {};
  std::string_view request_id = {};
  /// Runs in the transaction that begins the session; its error undoes all.
  std::function<Result<void>(db::Transaction&, const SessionRow&)> also = {};
};

/// A session just begun. The token is nowhere else: the database has its hash.
struct NewSession {
  SessionId session_id;
  SessionRole role = SessionRole::user;
  UtcTime expires_at;
  UtcTime idle_expires_at;
  std::string csrf_token;
  Secret token;
  /// Cookie mode: the value of `Set-Cookie`, and then the body has no token.
  std::optional<Secret> set_cookie = {};
};

/// What `/auth/me` says of a session.
struct SessionInfo {
  SessionRow session;
  SessionRole role = SessionRole::user;
  UtcTime idle_expires_at = {};
  std::string csrf_token = {};
};

/// Sign-in by password, sign-out, and the end of sessions. Thread-safe; calls block on the database.
///
/// Every login makes a new token, ends the one that was presented and, of one identity, all but the ten latest
/// sessions. Guesses are counted per address and in all before they are checked (LoginThrottleStore), and checked one
/// at a time (PasswordGate). Each decision leaves an audit row; equal refusals of one address are folded.
class AdminSessions {
 public:
  struct Parts {
    db::Database& database;
    Authenticator& authenticator;  ///< forgets ended sessions
    Clock& clock;
    Random& random;
    AuthSettingsSource settings;
    metrics::Registry& metrics;
  };
  explicit AdminSessions(Parts parts);

  /// Blocks for the 0.1 s of the check, and its turn.
  /// Errors: password_login_disabled, csrf_failed (cookie mode, another site), login_throttled, overloaded,
  /// invalid_credential, auth_unavailable (settings hold no usable hash, database).
  Result<NewSession> login(const PasswordLogin& login);
  /// A session of a GitHub user, in cookie mode. An administrator who is one by login and not by id is audited. Errors:
  /// those of `also`, auth_unavailable.
  Result<NewSession> begin(const GithubSignIn& sign_in);

  /// Ends the principal's session, or with `all` every one of its identity. A session that has ended already is fine.
  Result<void> logout(const Principal& principal, bool all, std::string_view client_address,
                      std::string_view request_id);

  /// `token` is the presented one: the CSRF token is made of it. Error: not_found, auth_unavailable.
  Result<SessionInfo> describe(const SessionId& session, std::string_view token);

  /// Ends all sessions that were begun by a method, after its settings have changed (reason e.g. `password_changed`).
  /// `actor` is who changed them. Answers how many.
  Result<std::int64_t> end_all_of(AuthMethod method, std::string_view reason, std::string_view actor,
                                  std::string_view request_id);

  /// Ends all sessions that were begun by password if the setting `auth.admin_password_hash` is another than when this
  /// was last asked, by whatever process: at a start and whenever settings change. Answers how many.
  Result<std::int64_t> end_if_password_changed();

  /// A step of job `session_cleanup`: removes at most `limit` rows of each kind that are over; how many.
  Result<std::int64_t> clean_up(std::int64_t limit);

 private:
  Result<void> check_password(const PasswordLogin& login, const AuthSettings& in_force);
  Result<void> check_locks(const std::string& address_bucket);
  Result<void> count_attempt(const std::string& address_bucket);
  Result<std::optional<SessionId>> presented_session(std::string_view token);
  struct Start;
  Result<NewSession> begin(const Start& start, const AuthSettings& in_force);
  Result<void> note_begin(db::Transaction& tx, const Start& start, const SessionRow& row, std::size_t ended,
                          const AuthSettings& in_force) const;
  Result<std::vector<SessionId>> end_method(db::Transaction& tx, AuthMethod method, std::string_view reason,
                                            std::string_view actor, std::string_view request_id, UtcTime now) const;
  std::unexpected<Error> refuse_login(const PasswordLogin& login, Error error);
  void forget(const std::vector<SessionId>& ended);

  Parts parts_;
  SessionStore sessions_;
  LoginThrottleStore throttle_;
  AuditLogStore audit_;
  PasswordGate gate_;
  AuditFold fold_;
  metrics::Counter login_failures_;
};

}  // namespace ee::cp
