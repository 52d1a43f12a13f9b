#include "cp/service/admin_sessions.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/argon2.h"
#include "common/bytes.h"
#include "common/credential.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "cp/service/address_key.h"
#include "cp/service/session_rules.h"
#include "cp/service/session_token.h"
#include "cp/store/meta_store.h"

namespace ee::cp {
namespace {

constexpr std::string_view kPasswordIdentity = "password";
constexpr std::string_view kGlobalBucket = "global";
constexpr std::string_view kPasswordDigestKey = "admin_password_digest";
constexpr std::size_t kMaxUserAgentBytes = 200;
constexpr Seconds kKeepIdleThrottles{48 * 3600};

std::string address_bucket_of(const PasswordLogin& login) { return "ip:" + address_key(login.client_address); }

/// The database cannot be asked, so nothing is decided. Its own overload stays what it is, and so do refusals.
Error unavailable(Error error) {
  if (error.code == ErrorCode::overloaded || error_info(error.code).http_status < 500) return error;
  return {.code = ErrorCode::auth_unavailable, .detail = std::string(slug(error.code)) + ": " + error.detail};
}

/// Printable ASCII of a header, cut.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, kMaxUserAgentBytes));
  for (char& c : out)
    if (c < 0x20 || c > 0x7e) c = '?';
  return out;
}

/// Says whether two settings are of one password; the hash itself stays where it is.
std::string password_digest(const AuthSettings& settings) {
  return to_hex(sha256(bytes_of("ee-admin-password-v1:" + settings.admin_password_hash.reveal())));
}

std::optional<std::string> text_or_nothing(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(std::string(text));
}

}  // namespace

/// What differs between the ways to sign in.
struct AdminSessions::Start {
  SessionRow row = {};  ///< method, identity and what GitHub said
  SessionMode mode = SessionMode::cookie;
  std::string_view presented_token = {};
  std::string_view client_address = {};
  std::string_view user_agent = {};
  std::string_view request_id = {};
  std::function<Result<void>(db::Transaction&, const SessionRow&)> also = {};
};

AdminSessions::AdminSessions(Parts parts)
    : parts_(std::move(parts)),
      login_failures_(parts_.metrics.counter("ee_login_failures_total", "Sign-ins by password that were refused.")) {}

Result<NewSession> AdminSessions::login(const PasswordLogin& login) {
  const AuthSettings in_force = parts_.settings();
  if (!in_force.password_login || in_force.admin_password_hash.empty()) return fail(ErrorCode::password_login_disabled);
  if (login.mode == SessionMode::cookie && login.origin && *login.origin != in_force.public_origin)
    return refuse_login(login, {.code = ErrorCode::csrf_failed, .detail = "another Origin"});
  if (auto passed = check_password(login, in_force); !passed) return refuse_login(login, std::move(passed.error()));
  auto session = begin({.row = {.auth_method = AuthMethod::password, .identity = std::string(kPasswordIdentity)},
                        .mode = login.mode,
                        .presented_token = login.presented_token,
                        .client_address = login.client_address,
                        .user_agent = login.user_agent,
                        .request_id = login.request_id,
                        .also = [&](db::Transaction& tx, const SessionRow&) -> Result<void> {
                          // The password may have been changed while it was checked: the end of sessions has been then.
                          const auto digest = MetaStore().get(tx, kPasswordDigestKey);
                          if (!digest) return std::unexpected(digest.error());
                          if (*digest && **digest != password_digest(in_force))
                            return fail(ErrorCode::invalid_credential);
                          for (const std::string& bucket : {address_bucket_of(login), std::string(kGlobalBucket)})
                            if (auto cleared = throttle_.clear(tx, bucket); !cleared) return cleared;
                          return {};
                        }},
                       in_force);
  if (!session && session.error().code == ErrorCode::invalid_credential)
    return refuse_login(login, std::move(session.error()));
  return session;
}

Result<void> AdminSessions::check_password(const PasswordLogin& login, const AuthSettings& in_force) {
  const std::string bucket = address_bucket_of(login);
  if (auto open = check_locks(bucket); !open) return open;
  const auto turn = gate_.enter(login.stop);
  if (!turn) return std::unexpected(turn.error());
  if (auto counted = count_attempt(bucket); !counted) return counted;
  switch (verify_hash(in_force.admin_password_hash.reveal(), login.password)) {
    case HashMatch::match: return {};
    case HashMatch::mismatch: return fail(ErrorCode::invalid_credential);
    case HashMatch::unusable: break;
  }
  log::error("auth", "auth.admin_password_hash is not usable");
  return fail(ErrorCode::auth_unavailable, "stored hash not usable");
}

/// Before the turn is waited for: who is locked out takes nobody's place.
Result<void> AdminSessions::check_locks(const std::string& address_bucket) {
  const UtcTime now = parts_.clock.now();
  const auto until =
      parts_.database.read<std::optional<UtcTime>>([&](db::Transaction& tx) -> Result<std::optional<UtcTime>> {
        auto address = throttle_.locked_until(tx, address_bucket, now);
        if (!address || *address) return address;
        return throttle_.locked_until(tx, kGlobalBucket, now);
      });
  if (!until) return fail(unavailable(until.error()));
  if (!*until) return {};
  return fail(Error{.code = ErrorCode::login_throttled, .retry_after = std::chrono::ceil<Seconds>(**until - now)});
}

/// Both buckets or none. The check of the locks comes again in the same transaction, so that of attempts at the same
/// time no more pass than the rule says.
Result<void> AdminSessions::count_attempt(const std::string& address_bucket) {
  const UtcTime now = parts_.clock.now();
  const auto counted = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto locked = throttle_.locked_until(tx, kGlobalBucket, now);
    if (!locked) return std::unexpected(locked.error());
    if (*locked) return false;
    auto raised = throttle_.raise(tx, address_bucket, kAddressThrottle, now);
    if (!raised || !*raised) return raised;
    return throttle_.raise(tx, kGlobalBucket, kGlobalThrottle, now);
  });
  if (!counted) return fail(unavailable(counted.error()));
  if (*counted) return {};
  if (auto open = check_locks(address_bucket); !open) return open;
  return fail(Error{.code = ErrorCode::login_throttled, .retry_after = Seconds(1)});
}

/// The session of a token that came along with a login. Whoever has but the public part of a token must not end it.
Result<std::optional<SessionId>> AdminSessions::presented_session(std::string_view token) {
  const auto credential = parse_credential(token);
  if (!credential || credential->kind != CredentialKind::sess) return std::optional<SessionId>{};
  const auto row = parts_.database.read<std::optional<SessionRow>>(
      [&](db::Transaction& tx) { return sessions_.find_by_lookup(tx, credential->lookup); });
  if (!row) return std::unexpected(row.error());
  if (!*row || verify_hash((*row)->secret_hash, credential->text) != HashMatch::match)
    return std::optional<SessionId>{};
  return std::optional((*row)->id);
}

Result<NewSession> AdminSessions::begin(const GithubSignIn& sign_in) {
  const Start start{.row = {.auth_method = AuthMethod::github_oauth,
                            .identity = fmt::format("github:{}", sign_in.github_id),
                            .github_id = sign_in.github_id,
                            .github_login = sign_in.login,
                            .github_orgs = sign_in.organizations,
                            .avatar_url = text_or_nothing(sign_in.avatar_url)},
                    .presented_token = sign_in.presented_token,
                    .client_address = sign_in.client_address,
                    .user_agent = sign_in.user_agent,
                    .request_id = sign_in.request_id,
                    .also = sign_in.also};
  return begin(start, parts_.settings());
}

Result<NewSession> AdminSessions::begin(const Start& start, const AuthSettings& in_force) {
  const UtcTime now = parts_.clock.now();
  auto credential = new_credential(CredentialKind::sess, parts_.random);
  if (!credential) return std::unexpected(std::move(credential.error()));
  auto hash = hash_token(credential->text, parts_.random);
  if (!hash) return std::unexpected(std::move(hash.error()));
  const auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
  SessionRow row = start.row;
  row.id = SessionId(*id);
  row.lookup = credential->lookup;
  row.secret_hash = std::move(*hash);
  row.ip = std::string(start.client_address);
  row.user_agent = printable(start.user_agent);
  row.created_at = row.last_used_at = now;
  row.expires_at = now + in_force.session_ttl;
  const auto presented = presented_session(start.presented_token);
  if (!presented) return fail(unavailable(presented.error()));
  using Ended = std::vector<SessionId>;
  const auto ended = parts_.database.write<Ended>([&](db::Transaction& tx) -> Result<Ended> {
    Ended all;
    if (*presented) {
      auto revoked = sessions_.revoke(tx, **presented, "new_login", now);
      if (!revoked) return revoked;
      all = std::move(*revoked);
    }
    // Before the new one is there: of sessions of one instant it would be an oldest as well.
    auto oldest = sessions_.revoke_oldest(tx, row.identity, SessionStore::kMaxLive - 1, now);
    if (!oldest) return oldest;
    all.insert(all.end(), oldest->begin(), oldest->end());
    if (auto inserted = sessions_.insert(tx, row); !inserted) return std::unexpected(inserted.error());
    if (start.also)
      if (auto done = start.also(tx, row); !done) return std::unexpected(done.error());
    if (auto noted = note_begin(tx, start, row, all.size(), in_force); !noted) return std::unexpected(noted.error());
    return all;
  });
  if (!ended) return fail(unavailable(ended.error()));
  forget(*ended);
  const std::string& token = credential->text.reveal();
  NewSession session{.session_id = row.id,
                     .role = session_role(row, in_force),
                     .expires_at = row.expires_at,
                     .idle_expires_at = idle_expiry(row, in_force),
                     .csrf_token = csrf_token_of(token, row.id),
                     .token = credential->text};
  if (start.mode == SessionMode::cookie)
    session.set_cookie = Secret(session_cookie(token, in_force.session_ttl, in_force.secure_cookies));
  return session;
}

/// The audit rows of a sign-in.
Result<void> AdminSessions::note_begin(db::Transaction& tx, const Start& start, const SessionRow& row,
                                       std::size_t ended, const AuthSettings& in_force) const {
  const bool is_admin = session_role(row, in_force) == SessionRole::admin;
  AuditEntry entry{.actor = (is_admin ? "admin:" : "user:") + row.id.str(),
                   .action = "login_succeeded",
                   .object_type = "session",
                   .object_id = row.id.str(),
                   .request_id = text_or_nothing(start.request_id),
                   .client_address = text_or_nothing(start.client_address),
                   .detail = fmt::format(R"({{"identity":"{}","ended_sessions":{}}})", row.identity, ended)};
  const UtcTime now = row.created_at;
  if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited) return std::unexpected(audited.error());
  if (!is_admin || !row.github_id) return {};
  if (std::ranges::find(in_force.admin_github_ids, *row.github_id) != in_force.admin_github_ids.end()) return {};
  // A login can be registered anew by somebody else; an id cannot.
  entry.action = "admin_matched_by_login";
  entry.detail = fmt::format(R"({{"github_id":{},"github_login":{}}})", *row.github_id,
                             json::quote(row.github_login.value_or("")));
  if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited) return std::unexpected(audited.error());
  return {};
}

/// Writes the refusal down, in a transaction of its own; the caller hears the same whether that works or not.
std::unexpected<Error> AdminSessions::refuse_login(const PasswordLogin& login, Error error) {
  login_failures_.increment();
  const std::string reason(slug(error.code));
  const auto folded = fold_.admit(reason + ' ' + address_key(login.client_address), parts_.clock.steady_now());
  if (folded) {
    const bool throttled = error.code == ErrorCode::login_throttled;
    const bool undecided = error_info(error.code).http_status >= 500;
    const AuditEntry entry{.actor = "anonymous",
                           .action = throttled ? "login_throttled" : "login_failed",
                           .result = undecided ? AuditResult::failed : AuditResult::refused,
                           .reason_code = reason,
                           .request_id = text_or_nothing(login.request_id),
                           .client_address = text_or_nothing(login.client_address),
                           .detail = fmt::format(R"({{"folded":{}}})", *folded)};
    const auto written = parts_.database.write<std::string>(
        [&](db::Transaction& tx) { return audit_.append(tx, entry, parts_.clock.now(), parts_.random); });
    if (!written)
      log::error("audit", "a refused sign-in could not be audited",
                 {{"reason_code", reason}, {"client_address", login.client_address}, {"code", written.error().code}});
  }
  return fail(std::move(error));
}

Result<void> AdminSessions::logout(const Principal& principal, bool all, std::string_view client_address,
                                   std::string_view request_id) {
  if (principal.kind != PrincipalKind::session || !principal.session_id) return fail(ErrorCode::unauthenticated);
  const UtcTime now = parts_.clock.now();
  using Ended = std::vector<SessionId>;
  const auto ended = parts_.database.write<Ended>([&](db::Transaction& tx) -> Result<Ended> {
    const auto row = sessions_.find(tx, *principal.session_id);
    if (!row) return std::unexpected(row.error());
    if (!*row) return Ended{};
    auto revoked = all ? sessions_.revoke_identity(tx, (*row)->identity, "logout_all", now)
                       : sessions_.revoke(tx, (*row)->id, "logout", now);
    if (!revoked || revoked->empty()) return revoked;
    const AuditEntry entry{.actor = principal.actor(),
                           .action = "logout",
                           .object_type = "session",
                           .object_id = (*row)->id.str(),
                           .request_id = text_or_nothing(request_id),
                           .client_address = text_or_nothing(client_address),
                           .detail = fmt::format(R"({{"all":{},"ended_sessions":{}}})", all, revoked->size())};
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited) return std::unexpected(audited.error());
    return revoked;
  });
  if (!ended) return fail(unavailable(ended.error()));
  forget(*ended);
  return {};
}

Result<SessionInfo> AdminSessions::describe(const SessionId& session, std::string_view token) {
  auto row =
      parts_.database.read<std::optional<SessionRow>>([&](db::Transaction& tx) { return sessions_.find(tx, session); });
  if (!row) return fail(unavailable(row.error()));
  if (!*row) return fail(ErrorCode::not_found);
  const AuthSettings in_force = parts_.settings();
  SessionInfo info{.session = std::move(**row), .csrf_token = csrf_token_of(token, session)};
  info.role = session_role(info.session, in_force);
  info.idle_expires_at = idle_expiry(info.session, in_force);
  return info;
}

Result<std::int64_t> AdminSessions::end_all_of(AuthMethod method, std::string_view reason, std::string_view actor,
                                               std::string_view request_id) {
  const UtcTime now = parts_.clock.now();
  using Ended = std::vector<SessionId>;
  const auto ended = parts_.database.write<Ended>(
      [&](db::Transaction& tx) { return end_method(tx, method, reason, actor, request_id, now); });
  if (!ended) return std::unexpected(ended.error());
  forget(*ended);
  return static_cast<std::int64_t>(ended->size());
}

Result<std::vector<SessionId>> AdminSessions::end_method(db::Transaction& tx, AuthMethod method,
                                                         std::string_view reason, std::string_view actor,
                                                         std::string_view request_id, UtcTime now) const {
  auto revoked = sessions_.revoke_method(tx, method, reason, now);
  if (!revoked || revoked->empty()) return revoked;
  const AuditEntry entry{.actor = std::string(actor),
                         .action = "session_revoked",
                         .object_type = "session",
                         .reason_code = std::string(reason),
                         .request_id = text_or_nothing(request_id),
                         .detail = fmt::format(R"({{"ended_sessions":{}}})", revoked->size())};
  if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited) return std::unexpected(audited.error());
  return revoked;
}

Result<std::int64_t> AdminSessions::end_if_password_changed() {
  const std::string digest = password_digest(parts_.settings());
  const auto known = [&](db::Transaction& tx) { return MetaStore().get(tx, kPasswordDigestKey); };
  const auto before = parts_.database.read<std::optional<std::string>>(known);
  if (!before) return std::unexpected(before.error());
  if (*before == digest) return 0;
  using Ended = std::vector<SessionId>;
  const auto ended = parts_.database.write<Ended>([&](db::Transaction& tx) -> Result<Ended> {
    const auto stored = known(tx);
    if (!stored) return std::unexpected(stored.error());
    if (*stored == digest) return Ended{};
    if (auto set = MetaStore().set(tx, kPasswordDigestKey, digest); !set) return std::unexpected(set.error());
    if (!*stored) return Ended{};  // the first start: there is no other password that a session could be of
    return end_method(tx, AuthMethod::password, "password_changed", "system:settings", "", parts_.clock.now());
  });
  if (!ended) return std::unexpected(ended.error());
  forget(*ended);
  return static_cast<std::int64_t>(ended->size());
}

Result<std::int64_t> AdminSessions::clean_up(std::int64_t limit) {
  const UtcTime now = parts_.clock.now();
  return parts_.database.write<std::int64_t>([&](db::Transaction& tx) -> Result<std::int64_t> {
    const auto sessions = sessions_.remove_ended(tx, now, limit);
    if (!sessions) return sessions;
    const auto throttles = throttle_.remove_idle(tx, now - kKeepIdleThrottles, limit);
    if (!throttles) return throttles;
    return *sessions + *throttles;
  });
}

void AdminSessions::forget(const std::vector<SessionId>& ended) {
  for (const SessionId& session : ended) parts_.authenticator.forget(session);
}

}  // namespace ee::cp
