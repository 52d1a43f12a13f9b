#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>

#include "common/clock.h"
#include "common/credential_cache.h"
#include "common/error.h"
#include "common/id.h"
#include "common/metrics.h"
#include "cp/domain/principal.h"
#include "cp/service/auth_settings.h"
#include "db/database.h"

namespace ee::cp {

/// What a request says of its sender. Views into the request.
struct Credentials {
  std::string_view authorization = {};              ///< value of the `Authorization` field, empty when absent
  std::size_t authorization_count = 0;              ///< how many such fields there were
  std::string_view cookie = {};                     ///< value of the `Cookie` field
  bool unsafe_method = false;                       ///< POST, PUT, PATCH, DELETE: what a foreign page must not cause
  std::optional<std::string_view> csrf_token = {};  ///< X-CSRF-Token
  std::optional<std::string_view> origin = {};
  std::optional<std::string_view> referer = {};
  std::optional<std::string_view> sec_fetch_site = {};
  std::string_view client_address = {};
  std::string_view request_id = {};
  std::stop_token stop = {};
};

/// Judges the token of a GitHub workflow (04 section 3.4). Errors: those of the section.
using WorkflowVerifier = std::function<Result<Principal>(std::string_view jwt, const Credentials& credentials)>;

/// Finds out who makes a request. Fails closed: whatever cannot be checked is refused.
///
/// An `Authorization` field wins and the cookie is then not looked at, so a bad bearer is refused even beside a good
/// cookie. Verified credentials are cached for a few seconds; whoever revokes one calls `forget_*` after the COMMIT and
/// before the answer.
class Authenticator {
 public:
  /// `cache` may be shared with nobody else that verifies; all references outlive this. Counts
  /// `ee_auth_total{kind,result}` and `ee_auth_cache_total{result}`.
  Authenticator(db::Database& database, CredentialCache& cache, Clock& clock, AuthSettingsSource settings,
                metrics::Registry& metrics);
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;
  ~Authenticator();

  /// Who judges JWTs; without it they are refused as `oidc_disabled`. Before the first request.
  void set_workflow_verifier(WorkflowVerifier verifier);

  /// Nobody at all is an anonymous principal. Reads the database on a cache miss, and always for a session.
  /// Errors: invalid_request (two Authorization fields, or one over 8 KiB), invalid_credential, session_expired,
  /// csrf_failed, rate_limited (too many bad ones from this address), auth_unavailable, oidc_disabled, those of the
  /// workflow verifier.
  Result<Principal> authenticate(const Credentials& credentials);

  /// For io threads: never blocks on the database. The principal of an agent whose credential is in the cache; nothing
  /// in every other case, which is for `authenticate` to decide.
  std::optional<Principal> authenticate_cached_agent(const Credentials& credentials);

  /// Removes from the cache what was verified for an agent, a session, an account.
  void forget(const AgentId& agent);
  void forget(const SessionId& session);
  void forget(const AccountId& account);
  void forget_key(std::string_view key_id);

  /// Writes when API keys were last used, as far as it is due; how many rows changed. Job `last_used_flush`.
  Result<std::int64_t> flush_last_uses(const std::stop_token& stop);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ee::cp
