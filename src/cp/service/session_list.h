#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/random.h"
#include "common/secret.h"
#include "cp/domain/principal.h"
#include "cp/domain/session.h"
#include "cp/service/actor.h"
#include "cp/service/auth_settings.h"
#include "cp/service/authenticator.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/session_store.h"
#include "db/database.h"

namespace ee::cp {

/// The same session under another token.
struct RotatedSession {
  SessionRow session;
  std::string csrf_token;
  Secret token;
};

/// What people do with sessions that are there: see them, end one, take a new token. Thread-safe; calls block on the
/// database; every change leaves one audit row.
class SessionList {
 public:
  struct Parts {
    db::Database& database;
    Authenticator& authenticator;  ///< forgets ended sessions and old tokens
    Clock& clock;
    Random& random;
    AuthSettingsSource settings;
  };
  explicit SessionList(Parts parts) : parts_(std::move(parts)) {}

  /// Those that are not over of the caller's identity, the latest first; with `all` everybody's, for administrators, at
  /// most 1000. Errors: admin_required, auth_unavailable.
  Result<std::vector<SessionRow>> list(const Principal& principal, bool all);
  /// Errors: not_found (also for another identity's, unless the caller is an administrator), auth_unavailable.
  Result<void> end(const Principal& principal, const SessionId& session, const Actor& actor);
  /// A new token with the same end; the old one is refused from the answer on. `presented` is the old token: of two
  /// rotations of one token the second is refused. Errors: invalid_credential, auth_unavailable.
  Result<RotatedSession> rotate(const Principal& principal, std::string_view presented, const Actor& actor);

 private:
  Parts parts_;
  SessionStore sessions_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
