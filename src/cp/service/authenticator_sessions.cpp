// Sessions: by cookie, with the check of where a request comes from, and by bearer.
#include <algorithm>

#include "common/log.h"
#include "cp/service/authenticator_parts.h"
#include "cp/service/session_rules.h"
#include "cp/service/session_token.h"

namespace ee::cp {

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
  if (!*session || (*session)->row.revoked_at) return invalid_credential();
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

}  // namespace ee::cp
