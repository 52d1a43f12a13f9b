#include "cp/store/session_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

Result<void> done(const Result<std::int64_t>& changed) {
  if (!changed) return std::unexpected(changed.error());
  return {};
}

}  // namespace

Result<void> SessionStore::insert(db::Transaction& tx, const SessionRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO admin_sessions ({}) VALUES ({})",
                                             db::columns_of<SessionRow>(), db::placeholders_of<SessionRow>());
  return done(tx.execute(sql, db::params_of(row)));
}

Result<std::optional<SessionRow>> SessionStore::find(db::Transaction& tx, const SessionId& id) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM admin_sessions WHERE id=:id", db::columns_of<SessionRow>());
  return tx.query_one<SessionRow>(sql, {{"id", id}});
}

Result<std::optional<SessionRow>> SessionStore::find_by_lookup(db::Transaction& tx, std::string_view lookup) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM admin_sessions WHERE lookup=:lookup", db::columns_of<SessionRow>());
  return tx.query_one<SessionRow>(sql, {{"lookup", lookup}});
}

Result<std::vector<SessionRow>> SessionStore::live_of(db::Transaction& tx, std::string_view identity,
                                                      UtcTime now) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM admin_sessions WHERE identity=:identity AND revoked_at IS NULL AND expires_at>:now"
      " ORDER BY created_at DESC, id DESC",
      db::columns_of<SessionRow>());
  return tx.query<SessionRow>(sql, {{"identity", identity}, {"now", now}});
}

Result<std::vector<SessionRow>> SessionStore::all_live(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM admin_sessions WHERE revoked_at IS NULL AND expires_at>:now"
      " ORDER BY created_at DESC, id DESC LIMIT :limit",
      db::columns_of<SessionRow>());
  return tx.query<SessionRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<bool> SessionStore::replace_token(db::Transaction& tx, const SessionId& id, std::string_view old_lookup,
                                         std::string_view lookup, std::string_view secret_hash) const {
  const auto changed = tx.execute(
      "UPDATE admin_sessions SET lookup=:lookup, secret_hash=:hash"
      " WHERE id=:id AND lookup=:old AND revoked_at IS NULL",
      {{"id", id}, {"old", old_lookup}, {"lookup", lookup}, {"hash", secret_hash}});
  if (!changed) return std::unexpected(changed.error());
  return *changed > 0;
}

Result<std::vector<SessionId>> SessionStore::revoke(db::Transaction& tx, const SessionId& id, std::string_view reason,
                                                    UtcTime now) const {
  return tx.query<SessionId>(
      "UPDATE admin_sessions SET revoked_at=:now, revoked_reason=:reason WHERE id=:id AND revoked_at IS NULL"
      " RETURNING id",
      {{"id", id}, {"reason", reason}, {"now", now}});
}

Result<std::vector<SessionId>> SessionStore::revoke_identity(db::Transaction& tx, std::string_view identity,
                                                             std::string_view reason, UtcTime now) const {
  return tx.query<SessionId>(
      "UPDATE admin_sessions SET revoked_at=:now, revoked_reason=:reason"
      " WHERE identity=:identity AND revoked_at IS NULL RETURNING id",
      {{"identity", identity}, {"reason", reason}, {"now", now}});
}

Result<std::vector<SessionId>> SessionStore::revoke_method(db::Transaction& tx, AuthMethod method,
                                                           std::string_view reason, UtcTime now) const {
  return tx.query<SessionId>(
      "UPDATE admin_sessions SET revoked_at=:now, revoked_reason=:reason"
      " WHERE auth_method=:method AND revoked_at IS NULL RETURNING id",
      {{"method", method}, {"reason", reason}, {"now", now}});
}

Result<std::vector<SessionId>> SessionStore::revoke_oldest(db::Transaction& tx, std::string_view identity,
                                                           std::int64_t keep, UtcTime now) const {
  return tx.query<SessionId>(
      "UPDATE admin_sessions SET revoked_at=:now, revoked_reason='session_limit' WHERE id IN ("
      "SELECT id FROM admin_sessions WHERE identity=:identity AND revoked_at IS NULL AND expires_at>:now"
      " ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET :keep) RETURNING id",
      {{"identity", identity}, {"keep", keep}, {"now", now}});
}

Result<void> SessionStore::note_use(db::Transaction& tx, const SessionId& id, UtcTime now) const {
  return done(tx.execute("UPDATE admin_sessions SET last_used_at=:now WHERE id=:id AND last_used_at<=:before",
                         {{"id", id}, {"now", now}, {"before", now - kNoteUseEvery}}));
}

Result<std::int64_t> SessionStore::remove_ended(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM admin_sessions WHERE id IN (SELECT id FROM admin_sessions"
      " WHERE expires_at<=:now OR revoked_at<=:revoked LIMIT :limit)",
      {{"now", now}, {"revoked", now - kKeepRevoked}, {"limit", limit}});
}

}  // namespace ee::cp
