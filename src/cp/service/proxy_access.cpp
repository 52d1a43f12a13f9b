#include "cp/service/proxy_access.h"

#include <algorithm>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/id.h"
#include "common/log.h"
#include "cp/service/address_key.h"
#include "cp/service/session_token.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxAddresses = 65536;
constexpr std::size_t kMaxHeaderBytes = 8192;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// What stands behind `Bearer `; empty when the field is something else.
std::string_view bearer_of(std::string_view field) {
  constexpr std::string_view kScheme = "bearer ";
  if (field.size() <= kScheme.size() || !std::ranges::equal(field.substr(0, kScheme.size()), kScheme, {}, lower))
    return {};
  field.remove_prefix(kScheme.size());
  while (field.starts_with(' ')) field.remove_prefix(1);
  return field;
}

bool looks_like_jwt(std::string_view token) { return token.starts_with("eyJ") && std::ranges::count(token, '.') == 2; }

ByteArray<16> bytes_of(std::string_view id) { return uuid_bytes(id).value_or(ByteArray<16>{}); }

}  // namespace

bool is_platform_authorization(std::string_view value) {
  const std::size_t space = value.find(' ');
  if (space == std::string_view::npos) return value.starts_with("ee_");
  std::string_view token = value.substr(space);
  while (token.starts_with(' ') || token.starts_with('\t')) token.remove_prefix(1);
  return token.starts_with("ee_");
}

/// The one credential that decides.
struct ProxyAccess::Chosen {
  std::string_view bearer_field = {};  ///< whole field
  bool from_authorization = false;
  bool is_cookie = false;
  bool ambiguous = false;

  bool none() const { return bearer_field.empty() && !is_cookie && !ambiguous; }
};

ProxyAccess::ProxyAccess(db::Database& database, CredentialCache& cache, Authenticator& authenticator, Clock& clock)
    : database_(database),
      cache_(cache),
      authenticator_(authenticator),
      clock_(clock),
      failures_(kFailuresPerMinute, Milliseconds(60'000 / kFailuresPerMinute), kMaxAddresses) {}

/// `X-EE-Authorization`, else an `Authorization` that is ours, else the console's cookie, else a JWT (which may as well
/// be the workload's own).
ProxyAccess::Chosen ProxyAccess::choose(const ServiceRoute& service, const ProxyCredentials& credentials) const {
  (void)service;
  if (credentials.ee_authorization_count > 1 || credentials.authorization_count > 1) return {.ambiguous = true};
  if (credentials.ee_authorization_count == 1) return {.bearer_field = credentials.ee_authorization};
  if (is_platform_authorization(credentials.authorization))
    return {.bearer_field = credentials.authorization, .from_authorization = true};
  if (session_cookie_of(credentials.cookie)) return {.is_cookie = true};
  if (looks_like_jwt(bearer_of(credentials.authorization)))
    return {.bearer_field = credentials.authorization, .from_authorization = true};
  return {};
}

std::optional<Result<ProxyCaller>> ProxyAccess::check_fast(const ServiceRoute& service,
                                                           const ProxyCredentials& credentials) {
  if (service.access == ServiceAccess::public_) return Result<ProxyCaller>(ProxyCaller{});
  if (auto allowed = check_throttle(credentials); !allowed)
    return Result<ProxyCaller>(std::unexpected(allowed.error()));
  const Chosen chosen = choose(service, credentials);
  if (chosen.none() || chosen.ambiguous || chosen.bearer_field.size() > kMaxHeaderBytes) return refuse(credentials);
  if (chosen.is_cookie) return std::nullopt;
  if (!chosen.from_authorization && service.access == ServiceAccess::token)
    if (auto known = cached_token(service, bearer_of(chosen.bearer_field))) return known;
  const auto principal = authenticator_.authenticate_cached_key({.authorization = chosen.bearer_field,
                                                                 .authorization_count = 1,
                                                                 .client_address = credentials.client_address,
                                                                 .request_id = credentials.request_id});
  if (!principal) return std::nullopt;
  return judge(service, *principal, chosen.from_authorization);
}

Result<ProxyCaller> ProxyAccess::check(const ServiceRoute& service, const ProxyCredentials& credentials) {
  const Chosen chosen = choose(service, credentials);
  if (chosen.none() || chosen.ambiguous) return refuse(credentials);
  if (!chosen.is_cookie && !chosen.from_authorization) {
    const auto credential = parse_credential(bearer_of(chosen.bearer_field));
    if (credential && credential->kind == CredentialKind::svc) {
      if (service.access != ServiceAccess::token) return refuse(credentials);
      return check_token(service, *credential, credentials);
    }
  }
  // A page of a workload shares the console's origin; only what the user's own navigation or our own pages sent has
  // the cookie here (the caller has seen to that), so no further proof of intent is asked.
  const auto principal = authenticator_.authenticate({.authorization = chosen.bearer_field,
                                                      .authorization_count = chosen.is_cookie ? 0U : 1U,
                                                      .cookie = chosen.is_cookie ? credentials.cookie : std::string(),
                                                      .client_address = credentials.client_address,
                                                      .request_id = credentials.request_id});
  if (principal) return judge(service, *principal, chosen.from_authorization);
  const int status = error_info(principal.error().code).http_status;
  if (status == 429 || status >= 500) return std::unexpected(principal.error());
  return refuse(credentials);
}

Result<ProxyCaller> ProxyAccess::judge(const ServiceRoute& service, const Principal& principal,
                                       bool used_authorization) const {
  bool is_owner = false;
  switch (principal.kind) {
    case PrincipalKind::account:
    case PrincipalKind::oidc: is_owner = principal.account_id && *principal.account_id == service.account_id; break;
    case PrincipalKind::session: is_owner = principal.linked(service.account_id.str()) != nullptr; break;
    case PrincipalKind::agent:
    case PrincipalKind::anonymous: break;
  }
  if (!is_owner) return fail(ErrorCode::proxy_forbidden);
  return ProxyCaller{.principal = principal.actor(), .used_authorization = used_authorization};
}

Result<void> ProxyAccess::check_throttle(const ProxyCredentials& credentials) const {
  const auto wait = failures_.blocked(address_key(credentials.client_address), clock_.steady_now());
  if (!wait) return {};
  Error error{.code = ErrorCode::rate_limited};
  error.retry_after = *wait;
  return std::unexpected(std::move(error));
}

Result<ProxyCaller> ProxyAccess::refuse(const ProxyCredentials& credentials) {
  const bool tried = credentials.ee_authorization_count > 0 || is_platform_authorization(credentials.authorization) ||
                     session_cookie_of(credentials.cookie).has_value();
  if (tried) failures_.failed(address_key(credentials.client_address), clock_.steady_now());
  return fail(ErrorCode::proxy_auth_required);
}

std::optional<Result<ProxyCaller>> ProxyAccess::cached_token(const ServiceRoute& service, std::string_view token) {
  const auto credential = parse_credential(token);
  if (!credential || credential->kind != CredentialKind::svc) return std::nullopt;
  const auto hit = cache_.find(token, now());
  if (!hit || hit->kind != CredentialKind::svc) return std::nullopt;
  if (hit->account != bytes_of(service.id)) return Result<ProxyCaller>(fail(ErrorCode::proxy_forbidden));
  return Result<ProxyCaller>(ProxyCaller{.principal = "service_token:" + uuid_text(hit->subject)});
}

Result<ProxyCaller> ProxyAccess::check_token(const ServiceRoute& service, const Credential& credential,
                                             const ProxyCredentials& credentials) {
  const std::uint64_t generation = cache_.generation();
  // The cache's bound counts from here: what another replica revokes after the read below is not known for longer.
  const CredentialCache::Now asked = now();
  const UtcTime at = asked.utc;
  const auto found = database_.read<std::optional<ServiceTokenRow>>(
      [&](db::Transaction& tx) { return tokens_.find_by_lookup(tx, credential.lookup); });
  if (!found) return fail(ErrorCode::auth_unavailable, found.error().detail);
  if (!*found) return refuse(credentials);
  const ServiceTokenRow& row = **found;
  if (row.revoked_at || (row.expires_at && *row.expires_at <= at)) return refuse(credentials);
  switch (verify_hash(row.secret_hash, credential.text)) {
    case HashMatch::match: break;
    case HashMatch::mismatch: return refuse(credentials);
    case HashMatch::unusable: return fail(ErrorCode::auth_unavailable, "stored hash not usable");
  }
  const VerifiedCredential verified{.subject = bytes_of(row.id),
                                    .account = bytes_of(row.service_id),
                                    .expires_at = row.expires_at.value_or(UtcTime::max()),
                                    .kind = CredentialKind::svc};
  cache_.insert(credential.text.reveal(), verified, generation, asked);
  if (row.service_id != service.id) return fail(ErrorCode::proxy_forbidden);
  constexpr Seconds kHour{3600};
  if (!row.last_used_at || at - *row.last_used_at > kHour) {
    const auto noted = database_.run_write([&](db::Transaction& tx) { return tokens_.note_use(tx, row.id, at); });
    if (!noted) log::warn("proxy", "the use of a service token could not be noted", {{"code", noted.error().code}});
  }
  return ProxyCaller{.principal = "service_token:" + row.id};
}

void ProxyAccess::forget_token(std::string_view token_id) { cache_.remove_subject(bytes_of(token_id)); }

}  // namespace ee::cp
