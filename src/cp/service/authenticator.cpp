#include "cp/service/authenticator.h"

#include <algorithm>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/log.h"
#include "cp/service/address_key.h"
#include "cp/service/authenticator_parts.h"
#include "cp/service/session_token.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxHeaderBytes = 8192;

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

Principal key_principal(const VerifiedCredential& verified) {
  return {.kind = PrincipalKind::account,
          .account_id = AccountId(uuid_text(verified.account)),
          .account_type = static_cast<AccountType>(verified.account_type),
          .account_status = static_cast<AccountStatus>(verified.account_status),
          .scopes = Scopes::from_bits(verified.scopes),
          .key_id = uuid_text(verified.subject)};
}

}  // namespace

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

Result<void> Authenticator::Impl::check_hash(std::string_view hash, const Credential& credential) const {
  if (cache.fitted(credential.text.reveal(), hash)) return {};
  switch (verify_hash(hash, credential.text)) {
    case HashMatch::match: return {};
    case HashMatch::mismatch: return invalid_credential();
    case HashMatch::unusable: break;
  }
  log::error("auth", "a stored credential hash is not usable",
             {{"kind", to_string(credential.kind)}, {"lookup", credential.lookup}});
  return fail(ErrorCode::auth_unavailable, "stored hash not usable");
}

Result<void> Authenticator::Impl::check_throttle(const Credentials& credentials) const {
  const auto wait = failures.blocked(address_key(credentials.client_address), clock.steady_now());
  if (!wait) return {};
  return fail(Error{.code = ErrorCode::rate_limited, .detail = "too many bad credentials", .retry_after = wait});
}

/// Counts the failure, and answers it, unless there have been too many.
std::unexpected<Error> Authenticator::Impl::refuse(const Credentials& credentials) {
  const std::string key = address_key(credentials.client_address);
  const SteadyTime at = clock.steady_now();
  if (const auto wait = failures.blocked(key, at))
    return fail(Error{.code = ErrorCode::rate_limited, .detail = "too many bad credentials", .retry_after = wait});
  failures.failed(key, at);
  return invalid_credential();
}

}  // namespace ee::cp
