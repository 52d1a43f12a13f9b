#include "cp/service/session_list.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/argon2.h"
#include "common/credential.h"
#include "cp/service/session_rules.h"
#include "cp/service/session_token.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kMaxListed = 1000;

AuditEntry session_entry(const Actor& actor, std::string action, const SessionId& session) {
  const auto some = [](const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); };
  return {.actor = actor.name,
          .action = std::move(action),
          .object_type = "session",
          .object_id = session.str(),
          .request_id = some(actor.request_id),
          .client_address = some(actor.client_address)};
}

/// The session a request came with, as its row is now.
Result<SessionRow> own_session(const SessionStore& sessions, db::Transaction& tx, const Principal& principal) {
  if (principal.kind != PrincipalKind::session || !principal.session_id) return fail(ErrorCode::unauthenticated);
  auto row = sessions.find(tx, *principal.session_id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || (*row)->revoked_at) return fail(ErrorCode::invalid_credential);
  return std::move(**row);
}

}  // namespace

Result<std::vector<SessionRow>> SessionList::list(const Principal& principal, bool all) {
  if (all && !principal.is_admin) return fail(ErrorCode::admin_required);
  using Rows = std::vector<SessionRow>;
  const UtcTime now = parts_.clock.now();
  auto rows = parts_.database.read<Rows>([&](db::Transaction& tx) -> Result<Rows> {
    if (all) return sessions_.all_live(tx, now, kMaxListed);
    const auto own = own_session(sessions_, tx, principal);
    if (!own) return std::unexpected(own.error());
    return sessions_.live_of(tx, own->identity, now);
  });
  if (!rows) return rows;
  const AuthSettings in_force = parts_.settings();
  std::erase_if(*rows, [&](const SessionRow& row) { return is_over(row, in_force, now); });
  return rows;
}

Result<void> SessionList::end(const Principal& principal, const SessionId& session, const Actor& actor) {
  const UtcTime now = parts_.clock.now();
  auto ended = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto own = own_session(sessions_, tx, principal);
    if (!own) return std::unexpected(own.error());
    const auto row = sessions_.find(tx, session);
    if (!row) return std::unexpected(row.error());
    const bool is_theirs = *row && (principal.is_admin || (*row)->identity == own->identity);
    if (!is_theirs || (*row)->revoked_at) return fail(ErrorCode::not_found);
    if (const auto revoked = sessions_.revoke(tx, session, "ended", now); !revoked)
      return std::unexpected(revoked.error());
    AuditEntry entry = session_entry(actor, "session_revoked", session);
    entry.detail = fmt::format(R"({{"identity":"{}"}})", (*row)->identity);
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited) return std::unexpected(audited.error());
    return {};
  });
  if (ended) parts_.authenticator.forget(session);
  return ended;
}

Result<RotatedSession> SessionList::rotate(const Principal& principal, std::string_view presented, const Actor& actor) {
  const auto old = parse_credential(presented);
  if (!old || old->kind != CredentialKind::sess) return fail(ErrorCode::invalid_credential);
  auto fresh = new_credential(CredentialKind::sess, parts_.random);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  const auto hash = hash_token(fresh->text, parts_.random);
  if (!hash) return std::unexpected(hash.error());
  const UtcTime now = parts_.clock.now();
  auto session = parts_.database.write<SessionRow>([&](db::Transaction& tx) -> Result<SessionRow> {
    auto row = own_session(sessions_, tx, principal);
    if (!row) return row;
    const auto replaced = sessions_.replace_token(tx, row->id, old->lookup, fresh->lookup, *hash);
    if (!replaced) return std::unexpected(replaced.error());
    if (!*replaced) return fail(ErrorCode::invalid_credential);
    if (auto audited = audit_.append(tx, session_entry(actor, "session_rotated", row->id), now, parts_.random);
        !audited)
      return std::unexpected(audited.error());
    row->lookup = fresh->lookup;
    row->secret_hash = *hash;
    return row;
  });
  if (!session) return std::unexpected(session.error());
  parts_.authenticator.forget(session->id);
  std::string csrf = csrf_token_of(fresh->text.reveal(), session->id);
  return RotatedSession{.session = std::move(*session), .csrf_token = std::move(csrf), .token = std::move(fresh->text)};
}

}  // namespace ee::cp
