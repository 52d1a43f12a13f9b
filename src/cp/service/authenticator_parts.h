#pragma once
// What the parts of the authenticator share: authenticator.cpp, authenticator_agents.cpp, authenticator_sessions.cpp.
#include <optional>
#include <string>
#include <vector>

#include "common/credential.h"
#include "cp/service/authenticator.h"
#include "cp/service/failure_throttle.h"
#include "cp/service/last_uses.h"
#include "cp/store/account_store.h"
#include "cp/store/agent_store.h"
#include "cp/store/api_key_store.h"
#include "cp/store/credential_store.h"
#include "cp/store/session_store.h"

namespace ee::cp {

inline std::unexpected<Error> invalid_credential() { return fail(ErrorCode::invalid_credential); }

template <class Tag>
ByteArray<16> subject_of(const Id<Tag>& id) {
  return uuid_bytes(id.str()).value_or(ByteArray<16>{});
}

/// A credential's age is what is left of its fixed life.
inline Principal agent_principal(const VerifiedCredential& verified) {
  return {.kind = PrincipalKind::agent,
          .agent_id = AgentId(uuid_text(verified.subject)),
          .credential_created_at = verified.expires_at - kAgentCredentialLife};
}

/// A failed read decides nothing, so nobody passes.
inline std::unexpected<Error> auth_unavailable(const Error& error) {
  return fail(ErrorCode::auth_unavailable, std::string(slug(error.code)) + ": " + error.detail);
}

/// A session with the accounts that its GitHub identities are linked to.
struct KnownSession {
  SessionRow row;
  std::vector<GithubOwner> owners = {};
  std::vector<LinkedAccount> accounts = {};
};

/// The row of an agent credential, and whether its first use ends another one.
struct AgentCredential {
  CredentialRow row;
  bool replaces_another = false;
};

struct Authenticator::Impl {
  Impl(db::Database& database_, CredentialCache& cache_, Clock& clock_, AuthSettingsSource settings_,
       metrics::Registry& metrics)
      : database(database_),
        cache(cache_),
        clock(clock_),
        settings(std::move(settings_)),
        requests(metrics.counter(
            "ee_auth_total", "Credentials checked.",
            {{"kind", {"account", "agent", "session", "oidc"}},
             {"result",
              {"ok", "invalid_request", "invalid_credential", "session_expired", "csrf_failed", "rate_limited",
               "auth_unavailable", "oidc_disabled", "oidc_invalid", "github_owner_not_linked", "account_suspended",
               "oidc_policy_refused", "repository_not_allowed", "agent_deleted"}}})),
        cache_uses(metrics.counter("ee_auth_cache_total", "Look-ups in the cache of verified credentials.",
                                   {{"result", {"hit", "miss"}}})),
        agent_cache_uses(metrics.counter("ee_agent_credential_cache_total",
                                         "Look-ups of agents' credentials in the cache.",
                                         {{"hit", {"true", "false"}}})) {}

  db::Database& database;
  CredentialCache& cache;
  Clock& clock;
  AuthSettingsSource settings;
  CredentialStore agents;
  SessionStore sessions;
  ApiKeyStore keys;
  AccountStore accounts;
  LastUses key_uses{ApiKeyStore::kNoteUseEvery, [](db::Transaction& tx, const std::vector<KeyUse>& uses) {
                      return ApiKeyStore().note_uses(tx, uses);
                    }};
  // A fleet's credentials: each one's row says when it was noted, so memory need not know for a day.
  LastUses agent_uses{Seconds(0), [](db::Transaction& tx, const std::vector<KeyUse>& uses) {
                        return CredentialStore().note_uses(tx, uses);
                      }};
  WorkflowVerifier workflows = {};
  static constexpr std::int64_t kFailuresPerMinute = 60;
  static constexpr std::size_t kMaxThrottledAddresses = 65536;
  FailureThrottle failures{kFailuresPerMinute, Milliseconds(60'000 / kFailuresPerMinute), kMaxThrottledAddresses};
  metrics::Family<metrics::Counter> requests;
  metrics::Family<metrics::Counter> cache_uses;
  metrics::Family<metrics::Counter> agent_cache_uses;

  CredentialCache::Now now() const { return {clock.now(), clock.steady_now()}; }
  Result<Principal> counted(std::string_view kind, Result<Principal> principal) const;
  std::optional<VerifiedCredential> cached(const Credential& credential, const CredentialCache::Now& at) const;

  Result<Principal> by_bearer(const Credentials& credentials);
  Result<Principal> by_cookie(std::string_view token, const Credentials& credentials);
  Result<Principal> by_agent_credential(const Credential& credential, const Credentials& credentials);
  Result<std::optional<AgentCredential>> agent_credential(std::string_view lookup);
  std::optional<Error> deleted_agent(const CredentialRow& row, const Credential& credential);
  Result<Principal> by_api_key(const Credential& credential, const Credentials& credentials);
  Result<Principal> by_jwt(std::string_view jwt, const Credentials& credentials);
  Result<KnownSession> by_session_token(const Credential& credential, const Credentials& credentials);
  Result<std::optional<KnownSession>> known_session(db::Transaction& tx, Result<std::optional<SessionRow>> row) const;
  Result<KnownSession> verified_session(const Credential& credential);
  Result<Principal> session_principal(KnownSession session, const AuthSettings& in_force);

  Result<void> check_throttle(const Credentials& credentials) const;
  std::unexpected<Error> refuse(const Credentials& credentials);
  Result<void> check_hash(std::string_view hash, const Credential& credential) const;
  void note_agent_use(const AgentCredential& credential);
  void note_session_use(const SessionRow& row);

  template <class T>
  Result<T> read(const std::function<Result<T>(db::Transaction&)>& work) {
    auto result = database.read<T>(work);
    if (!result) return auth_unavailable(result.error());
    return result;
  }
};

}  // namespace ee::cp
