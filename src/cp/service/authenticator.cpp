#include "cp/service/authenticator.h"

#include <algorithm>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/log.h"
#include "cp/service/address_key.h"
#include "cp/service/failure_throttle.h"
#include "cp/service/last_uses.h"
#include "cp/service/session_rules.h"
#include "cp/service/session_token.h"
#include "cp/store/account_store.h"
#include "cp/store/agent_store.h"
#include "cp/store/api_key_store.h"
#include "cp/store/credential_store.h"
#include "cp/store/session_store.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxHeaderBytes = 8192;
constexpr std::int64_t kFailuresPerMinute = 60;
constexpr std::size_t kMaxThrottledAddresses = 65536;

std::unexpected<Error> invalid() { return fail(ErrorCode::invalid_credential); }

/// A failed read decides nothing, so nobody passes.
std::unexpected<Error> unavailable(const Error& error) {
  return fail(ErrorCode::auth_unavailable, std::string(slug(error.code)) + ": " + error.detail);
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

/// The one token of `Bearer <token>`; nothing when the field is something else.
std::optional<std::string_view> bearer_of(std::string_view field) {
  constexpr std::string_view kScheme = "Bearer";
  if (field.size() <= kScheme.size() || !equal_ignoring_case(field.substr(0, kScheme.size()), kScheme))
    return std::nullopt;
  if (field[kScheme.size()] != ' ') return std::nullopt;
  std::string_view token = field.substr(kScheme.size() + 1);
  while (token.starts_with(' ')) token.remove_prefix(1);
  if (token.empty() || token.find_first_of(" \t,") != std::string_view::npos) return std::nullopt;
  return token;
}

/// A JSON Web Token by its look: `eyJ` and exactly two dots.
bool looks_like_jwt(std::string_view token) { return token.starts_with("eyJ") && std::ranges::count(token, '.') == 2; }

template <class Tag>
ByteArray<16> subject_of(const Id<Tag>& id) {
  return uuid_bytes(id.str()).value_or(ByteArray<16>{});
}

/// A credential's age is what is left of its fixed life.
Principal agent_principal(const VerifiedCredential& verified) {
  return {.kind = PrincipalKind::agent,
          .agent_id = AgentId(uuid_text(verified.subject)),
          .credential_created_at = verified.expires_at - kAgentCredentialLife};
}

Principal key_principal(const VerifiedCredential& verified) {
  return {.kind = PrincipalKind::account,
          .account_id = AccountId(uuid_text(verified.account)),
          .account_type = static_cast<AccountType>(verified.account_type),
          .account_status = static_cast<AccountStatus>(verified.account_status),
          .scopes = Scopes::from_bits(verified.scopes),
          .key_id = uuid_text(verified.subject)};
}

}  // namespace

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
  LastUses agent_uses{CredentialStore::kNoteUseEvery, [](db::Transaction& tx, const std::vector<KeyUse>& uses) {
                        return CredentialStore().note_uses(tx, uses);
                      }};
  WorkflowVerifier workflows = {};
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
    if (!result) return unavailable(result.error());
    return result;
  }
};

Authenticator::Authenticator(db::Database& database, CredentialCache& cache, Clock& clock, AuthSettingsSource settings,
                             metrics::Registry& metrics)
    : impl_(std::make_unique<Impl>(database, cache, clock, std::move(settings), metrics)) {}

Authenticator::~Authenticator() = default;

void Authenticator::set_workflow_verifier(WorkflowVerifier verifier) { impl_->workflows = std::move(verifier); }

Result<std::int64_t> Authenticator::flush_last_uses(const std::stop_token& stop) {
  const UtcTime now = impl_->clock.now();
  const auto keys = impl_->key_uses.flush(impl_->database, stop, now);
  if (!keys) return keys;
  const auto agents = impl_->agent_uses.flush(impl_->database, stop, now);
  if (!agents) return agents;
  return *keys + *agents;
}

Result<Principal> Authenticator::authenticate(const Credentials& credentials) {
  if (credentials.authorization_count > 1)
    return fail(ErrorCode::invalid_request, "more than one Authorization header");
  if (credentials.authorization_count == 1) return impl_->by_bearer(credentials);
  const auto cookie = session_cookie_of(credentials.cookie);
  if (!cookie) return Principal{};
  return impl_->counted("session", impl_->by_cookie(*cookie, credentials));
}

std::optional<Principal> Authenticator::authenticate_cached_agent(const Credentials& credentials) {
  if (credentials.authorization_count != 1 || credentials.authorization.size() > kMaxHeaderBytes) return std::nullopt;
  const auto token = bearer_of(credentials.authorization);
  if (!token || !parse_credential(*token)) return std::nullopt;
  const auto hit = impl_->cache.find(*token, impl_->now());
  if (!hit || hit->kind != CredentialKind::agent) return std::nullopt;
  impl_->cache_uses.with({"hit"}).increment();
  impl_->agent_cache_uses.with({"true"}).increment();
  return *impl_->counted("agent", agent_principal(*hit));
}

std::optional<Principal> Authenticator::authenticate_cached_key(const Credentials& credentials) {
  if (credentials.authorization_count != 1 || credentials.authorization.size() > kMaxHeaderBytes) return std::nullopt;
  const auto token = bearer_of(credentials.authorization);
  if (!token || !parse_credential(*token)) return std::nullopt;
  const auto at = impl_->now();
  const auto hit = impl_->cache.find(*token, at);
  if (!hit || hit->kind != CredentialKind::live) return std::nullopt;
  impl_->cache_uses.with({"hit"}).increment();
  Principal principal = key_principal(*hit);
  impl_->key_uses.note(*principal.key_id, credentials.client_address, at.utc);
  return *impl_->counted("account", std::move(principal));
}

void Authenticator::forget(const AgentId& agent) { impl_->cache.remove_subject(subject_of(agent)); }
void Authenticator::forget(const SessionId& session) { impl_->cache.remove_subject(subject_of(session)); }
void Authenticator::forget(const AccountId& account) { impl_->cache.remove_account(subject_of(account)); }

void Authenticator::forget_key(std::string_view key_id) {
  impl_->cache.remove_subject(uuid_bytes(key_id).value_or(ByteArray<16>{}));
}

Result<Principal> Authenticator::Impl::counted(std::string_view kind, Result<Principal> principal) const {
  requests.with({kind, principal ? "ok" : slug(principal.error().code)}).increment();
  return principal;
}

std::optional<VerifiedCredential> Authenticator::Impl::cached(const Credential& credential,
                                                              const CredentialCache::Now& at) const {
  auto hit = cache.find(credential.text.reveal(), at);
  cache_uses.with({hit ? "hit" : "miss"}).increment();
  if (credential.kind == CredentialKind::agent) agent_cache_uses.with({hit ? "true" : "false"}).increment();
  return hit;
}

Result<Principal> Authenticator::Impl::by_bearer(const Credentials& credentials) {
  if (credentials.authorization.size() > kMaxHeaderBytes)
    return fail(ErrorCode::invalid_request, "Authorization header longer than 8 KiB");
  const auto token = bearer_of(credentials.authorization);
  if (!token) return fail(ErrorCode::invalid_request, "send Authorization: Bearer and one token");
  if (looks_like_jwt(*token)) return counted("oidc", by_jwt(*token, credentials));
  const auto credential = parse_credential(*token);
  if (!credential) return counted("other", refuse(credentials));
  switch (credential->kind) {
    case CredentialKind::agent: return counted("agent", by_agent_credential(*credential, credentials));
    case CredentialKind::sess: {
      const auto session = by_session_token(*credential, credentials);
      if (!session) return counted("session", std::unexpected(session.error()));
      return counted("session", session_principal(*session, settings()));
    }
    case CredentialKind::live: return counted("account", by_api_key(*credential, credentials));
    case CredentialKind::boot:
    case CredentialKind::enroll:
    case CredentialKind::svc: break;
  }
  return counted("other", refuse(credentials));
}

Result<Principal> Authenticator::Impl::by_cookie(std::string_view token, const Credentials& credentials) {
  const auto credential = parse_credential(token);
  if (!credential || credential->kind != CredentialKind::sess) return refuse(credentials);
  auto session = by_session_token(*credential, credentials);
  if (!session) return std::unexpected(session.error());
  const AuthSettings in_force = settings();
  const SessionId session_id = session->row.id;
  auto principal = session_principal(std::move(*session), in_force);
  if (!principal) return principal;
  if (credentials.unsafe_method) {
    const BrowserOrigin from{.csrf_token = credentials.csrf_token,
                             .origin = credentials.origin,
                             .referer = credentials.referer,
                             .sec_fetch_site = credentials.sec_fetch_site};
    if (auto ours = check_csrf(from, in_force.public_origin, token, session_id); !ours)
      return std::unexpected(ours.error());
  }
  return principal;
}

Result<Principal> Authenticator::Impl::by_agent_credential(const Credential& credential,
                                                           const Credentials& credentials) {
  const auto at = now();
  if (const auto hit = cached(credential, at)) return agent_principal(*hit);
  if (auto allowed = check_throttle(credentials); !allowed) return std::unexpected(allowed.error());
  const std::uint64_t generation = cache.generation();
  const auto found = agent_credential(credential.lookup);
  if (!found) return std::unexpected(found.error());
  if (!*found) return refuse(credentials);
  const CredentialRow& row = (*found)->row;
  if (!is_usable(row, at.utc)) {
    if (auto gone = deleted_agent(row, credential)) return std::unexpected(std::move(*gone));
    return refuse(credentials);
  }
  if (auto fits = check_hash(row.secret_hash, credential); !fits)
    return fits.error().code == ErrorCode::invalid_credential ? refuse(credentials) : std::unexpected(fits.error());
  note_agent_use(**found);
  const UtcTime retires_at = row.state == CredentialState::retiring ? row.retire_at.value_or(at.utc) : row.expires_at;
  const VerifiedCredential verified{.subject = subject_of(row.agent_id),
                                    .expires_at = std::min(row.expires_at, retires_at),
                                    .kind = CredentialKind::agent};
  cache.insert(credential.text.reveal(), verified, generation, at, row.secret_hash);
  return agent_principal(verified);
}

Result<std::optional<AgentCredential>> Authenticator::Impl::agent_credential(std::string_view lookup) {
  return read<std::optional<AgentCredential>>([&](db::Transaction& tx) -> Result<std::optional<AgentCredential>> {
    auto row = agents.find(tx, lookup);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return std::optional<AgentCredential>{};
    AgentCredential found{.row = std::move(**row)};
    if (found.row.state == CredentialState::active) {
      const auto retiring = agents.has_retiring(tx, found.row.agent_id);
      if (!retiring) return std::unexpected(retiring.error());
      found.replaces_another = *retiring;
    }
    return std::optional(std::move(found));
  });
}

/// The holder of a deleted agent's credential is told so, and why: it need not come back. Nothing for anybody else.
std::optional<Error> Authenticator::Impl::deleted_agent(const CredentialRow& row, const Credential& credential) {
  if (row.state != CredentialState::revoked || !check_hash(row.secret_hash, credential)) return std::nullopt;
  const auto agent = database.read<std::optional<DirectoryRow>>(
      [&](db::Transaction& tx) { return AgentStore().directory_row(tx, row.agent_id); });
  if (!agent || !*agent) return std::nullopt;
  const DirectoryRow& found = **agent;
  if (found.status != AgentStatus::deleting && found.status != AgentStatus::deleted) return std::nullopt;
  return Error{.code = ErrorCode::agent_deleted,
               .detail = std::string(name_of(found.delete_reason.value_or(DeleteReason::admin)))};
}

/// The first use of an active credential ends the one that it replaced; and a use is noted once a day.
void Authenticator::Impl::note_agent_use(const AgentCredential& credential) {
  const CredentialRow& row = credential.row;
  const UtcTime at = clock.now();
  if (!credential.replaces_another) {
    const bool is_noted = row.last_used_at && at - *row.last_used_at < CredentialStore::kNoteUseEvery;
    if (!is_noted) agent_uses.note(row.lookup, {}, at);
    return;
  }
  using Lookups = std::vector<std::string>;
  const auto written = database.write<Lookups>([&](db::Transaction& tx) -> Result<Lookups> {
    const auto noted = agents.note_uses(tx, {{.key_id = row.lookup, .at = at, .client_address = {}}});
    if (!noted) return std::unexpected(noted.error());
    const auto current = agents.find(tx, row.lookup);  // a rotation may have come in between
    if (!current) return std::unexpected(current.error());
    if (!*current || (*current)->state != CredentialState::active) return Lookups{};
    return agents.revoke_retiring(tx, row.agent_id, at);
  });
  if (!written) {
    // The credential is good all the same, and the retiring one ends by itself.
    log::warn("auth", "the use of an agent credential could not be noted",
              {{"agent_id", row.agent_id}, {"code", written.error().code}});
  } else if (!written->empty()) {
    cache.remove_subject(subject_of(row.agent_id));
  }
}

Result<Principal> Authenticator::Impl::by_api_key(const Credential& credential, const Credentials& credentials) {
  const auto at = now();
  if (const auto hit = cached(credential, at)) {
    Principal principal = key_principal(*hit);
    key_uses.note(*principal.key_id, credentials.client_address, at.utc);
    return principal;
  }
  if (auto allowed = check_throttle(credentials); !allowed) return std::unexpected(allowed.error());
  const std::uint64_t generation = cache.generation();
  const auto found =
      read<std::optional<KnownKey>>([&](db::Transaction& tx) { return keys.find_by_lookup(tx, credential.lookup); });
  if (!found) return std::unexpected(found.error());
  if (!*found || !is_live((*found)->key, at.utc)) return refuse(credentials);
  const ApiKeyRow& key = (*found)->key;
  const KeyAccount& account = (*found)->account;
  if (auto fits = check_hash(key.secret_hash, credential); !fits)
    return fits.error().code == ErrorCode::invalid_credential ? refuse(credentials) : std::unexpected(fits.error());
  if (account.status == AccountStatus::closed || account.account_type == AccountType::system)
    return refuse(credentials);
  const auto scopes = Scopes::of_json(key.scopes);
  if (!scopes) return fail(ErrorCode::auth_unavailable, "stored scopes not usable");
  const VerifiedCredential verified{.subject = uuid_bytes(key.id).value_or(ByteArray<16>{}),
                                    .account = subject_of(key.account_id),
                                    .expires_at = key.expires_at.value_or(UtcTime::max()),
                                    .scopes = scopes->bits(),
                                    .kind = CredentialKind::live,
                                    .account_type = static_cast<std::uint8_t>(account.account_type),
                                    .account_status = static_cast<std::uint8_t>(account.status)};
  cache.insert(credential.text.reveal(), verified, generation, at, key.secret_hash);
  key_uses.note(key.id, credentials.client_address, at.utc);
  return key_principal(verified);
}

/// A token that fails a check counts as a bad credential of its address; one that is merely not allowed does not.
Result<Principal> Authenticator::Impl::by_jwt(std::string_view jwt, const Credentials& credentials) {
  if (!workflows) return fail(ErrorCode::oidc_disabled);
  if (auto allowed = check_throttle(credentials); !allowed) return std::unexpected(allowed.error());
  auto principal = workflows(jwt, credentials);
  if (!principal && error_info(principal.error().code).http_status == 401)
    failures.failed(address_key(credentials.client_address), clock.steady_now());
  return principal;
}

/// What belongs to the session's GitHub identities now: its own user, and organisations where it is administrator.
Result<std::optional<KnownSession>> Authenticator::Impl::known_session(db::Transaction& tx,
                                                                       Result<std::optional<SessionRow>> row) const {
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return std::optional<KnownSession>{};
  KnownSession session{.row = std::move(**row)};
  session.owners = github_owners(session.row);
  for (const GithubOwner& owner : session.owners) {
    if (!stands_for(owner)) continue;
    auto account = accounts.linked(tx, owner.id);
    if (!account) return std::unexpected(std::move(account.error()));
    if (*account && std::ranges::find(session.accounts, (*account)->id, &LinkedAccount::id) == session.accounts.end())
      session.accounts.push_back(std::move(**account));
  }
  return std::optional(std::move(session));
}

/// The session of a genuine token that has not been revoked; its times are not checked.
Result<KnownSession> Authenticator::Impl::by_session_token(const Credential& credential,
                                                           const Credentials& credentials) {
  const auto at = now();
  if (const auto hit = cached(credential, at)) {
    // Role, idle time and linked accounts are judged on each request, by the rows.
    auto session = read<std::optional<KnownSession>>(
        [&](db::Transaction& tx) { return known_session(tx, sessions.find(tx, SessionId(uuid_text(hit->subject)))); });
    if (!session) return std::unexpected(session.error());
    if (*session && !(*session)->row.revoked_at && (*session)->row.lookup == credential.lookup)
      return std::move(**session);
    return refuse(credentials);
  }
  if (auto allowed = check_throttle(credentials); !allowed) return std::unexpected(allowed.error());
  auto session = verified_session(credential);
  if (!session && session.error().code == ErrorCode::invalid_credential) return refuse(credentials);
  return session;
}

Result<KnownSession> Authenticator::Impl::verified_session(const Credential& credential) {
  const std::uint64_t generation = cache.generation();
  auto session = read<std::optional<KnownSession>>(
      [&](db::Transaction& tx) { return known_session(tx, sessions.find_by_lookup(tx, credential.lookup)); });
  if (!session) return std::unexpected(session.error());
  if (!*session || (*session)->row.revoked_at) return invalid();
  const SessionRow& row = (*session)->row;
  if (auto fits = check_hash(row.secret_hash, credential); !fits) return std::unexpected(fits.error());
  const VerifiedCredential verified{
      .subject = subject_of(row.id), .expires_at = row.expires_at, .kind = CredentialKind::sess};
  cache.insert(credential.text.reveal(), verified, generation, now(), row.secret_hash);
  return std::move(**session);
}

Result<Principal> Authenticator::Impl::session_principal(KnownSession session, const AuthSettings& in_force) {
  if (is_over(session.row, in_force, clock.now())) return fail(ErrorCode::session_expired);
  note_session_use(session.row);
  return Principal{.kind = PrincipalKind::session,
                   .github_owners = std::move(session.owners),
                   .linked_accounts = std::move(session.accounts),
                   .is_admin = session_role(session.row, in_force) == SessionRole::admin,
                   .session_id = session.row.id,
                   .credential_created_at = session.row.created_at};
}

void Authenticator::Impl::note_session_use(const SessionRow& row) {
  const UtcTime at = clock.now();
  if (at - row.last_used_at < SessionStore::kNoteUseEvery) return;
  const auto noted = database.run_write([&](db::Transaction& tx) { return sessions.note_use(tx, row.id, at); });
  if (!noted)
    log::warn("auth", "the use of a session could not be noted",
              {{"session_id", row.id}, {"code", noted.error().code}});
}

Result<void> Authenticator::Impl::check_hash(std::string_view hash, const Credential& credential) const {
  if (cache.fitted(credential.text.reveal(), hash)) return {};
  switch (verify_hash(hash, credential.text)) {
    case HashMatch::match: return {};
    case HashMatch::mismatch: return invalid();
    case HashMatch::unusable: break;
  }
  log::error("auth", "a stored credential hash is not usable",
             {{"kind", to_string(credential.kind)}, {"lookup", credential.lookup}});
  return fail(ErrorCode::auth_unavailable, "stored hash not usable");
}

Result<void> Authenticator::Impl::check_throttle(const Credentials& credentials) const {
  const auto wait = failures.blocked(address_key(credentials.client_address), clock.steady_now());
  if (!wait) return {};
  return fail(Error{.code = ErrorCode::rate_limited, .detail = "too many bad credentials", .retry_after = *wait});
}

/// Counts the failure, and answers it, unless there have been too many.
std::unexpected<Error> Authenticator::Impl::refuse(const Credentials& credentials) {
  const std::string key = address_key(credentials.client_address);
  const SteadyTime at = clock.steady_now();
  if (const auto wait = failures.blocked(key, at))
    return fail(Error{.code = ErrorCode::rate_limited, .detail = "too many bad credentials", .retry_after = *wait});
  failures.failed(key, at);
  return invalid();
}

}  // namespace ee::cp
