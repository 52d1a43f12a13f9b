#include "cp/store/api_key_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

Result<void> done(const Result<std::int64_t>& changed) {
  if (!changed) return std::unexpected(changed.error());
  return {};
}

const std::string& select_keys() {
  static const std::string sql = fmt::format("SELECT {} FROM api_keys", db::columns_of<ApiKeyRow>());
  return sql;
}

}  // namespace

bool is_live(const ApiKeyRow& key, UtcTime now) {
  return !key.revoked_at && (!key.expires_at || now < *key.expires_at);
}

Result<void> ApiKeyStore::insert(db::Transaction& tx, const ApiKeyRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO api_keys ({}) VALUES ({})", db::columns_of<ApiKeyRow>(),
                                             db::placeholders_of<ApiKeyRow>());
  return done(tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::key_name_taken}));
}

Result<std::optional<ApiKeyRow>> ApiKeyStore::find(db::Transaction& tx, const AccountId& account,
                                                   std::string_view key_id) const {
  static const std::string sql = select_keys() + " WHERE id=:id AND account_id=:account";
  return tx.query_one<ApiKeyRow>(sql, {{"id", key_id}, {"account", account}});
}

Result<std::optional<KnownKey>> ApiKeyStore::find_by_lookup(db::Transaction& tx, std::string_view lookup) const {
  static const std::string sql = select_keys() + " WHERE lookup=:lookup";
  auto key = tx.query_one<ApiKeyRow>(sql, {{"lookup", lookup}});
  if (!key) return std::unexpected(std::move(key.error()));
  if (!*key) return std::optional<KnownKey>{};
  const auto account =
      tx.query_one<KeyAccount>("SELECT account_type, status FROM accounts WHERE id=:id", {{"id", (*key)->account_id}});
  if (!account) return std::unexpected(account.error());
  return std::optional(KnownKey{.key = std::move(**key), .account = account->value_or(KeyAccount{})});
}

Result<Page<ApiKeyRow>> ApiKeyStore::list(db::Transaction& tx, const AccountId& account,
                                          const PageRequest& page) const {
  static const std::string sql = select_keys() +
                                 " WHERE account_id=:account AND (created_at,id)>(:at,:after)"
                                 " ORDER BY created_at, id LIMIT :limit";
  const PagePosition after = page.after.value_or(PagePosition{.at = from_unix_ms(-1), .id = ""});
  auto rows = tx.query<ApiKeyRow>(
      sql, {{"account", account}, {"at", after.at}, {"after", after.id}, {"limit", page.limit + 1}});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const ApiKeyRow& row) { return PagePosition{.at = row.created_at, .id = row.id}; });
}

Result<std::int64_t> ApiKeyStore::count_live(db::Transaction& tx, const AccountId& account, UtcTime now) const {
  const auto count = tx.query_one<std::int64_t>(
      "SELECT COUNT(*) FROM api_keys WHERE account_id=:account AND revoked_at IS NULL"
      " AND (expires_at IS NULL OR expires_at>:now)",
      {{"account", account}, {"now", now}});
  if (!count) return std::unexpected(count.error());
  return count->value_or(0);
}

Result<bool> ApiKeyStore::revoke(db::Transaction& tx, std::string_view key_id, std::string_view reason,
                                 UtcTime now) const {
  const auto changed =
      tx.execute("UPDATE api_keys SET revoked_at=:now, revoked_reason=:reason WHERE id=:id AND revoked_at IS NULL",
                 {{"id", key_id}, {"reason", reason}, {"now", now}});
  if (!changed) return std::unexpected(changed.error());
  return *changed > 0;
}

Result<std::vector<std::string>> ApiKeyStore::revoke_all(db::Transaction& tx, const AccountId& account,
                                                         std::string_view reason, UtcTime now) const {
  return tx.query<std::string>(
      "UPDATE api_keys SET revoked_at=:now, revoked_reason=:reason WHERE account_id=:account AND revoked_at IS NULL"
      " RETURNING id",
      {{"account", account}, {"reason", reason}, {"now", now}});
}

Result<void> ApiKeyStore::retire_expired(db::Transaction& tx, const AccountId& account, UtcTime now) const {
  return done(
      tx.execute("UPDATE api_keys SET revoked_at=expires_at, revoked_reason='expired'"
                 " WHERE account_id=:account AND revoked_at IS NULL AND expires_at<=:now",
                 {{"account", account}, {"now", now}}));
}

Result<void> ApiKeyStore::phase_out(db::Transaction& tx, std::string_view key_id, std::string_view name,
                                    UtcTime expires_at) const {
  return done(tx.execute("UPDATE api_keys SET name=:name, expires_at=:expires_at WHERE id=:id",
                         {{"id", key_id}, {"name", name}, {"expires_at", expires_at}}));
}

Result<std::int64_t> ApiKeyStore::note_uses(db::Transaction& tx, const std::vector<KeyUse>& uses) const {
  std::int64_t changed = 0;
  for (const KeyUse& use : uses) {
    const auto noted = tx.execute(
        "UPDATE api_keys SET last_used_at=:at, last_used_ip=:ip"
        " WHERE id=:id AND (last_used_at IS NULL OR last_used_at<=:before)",
        {{"id", use.key_id}, {"at", use.at}, {"ip", use.client_address}, {"before", use.at - kNoteUseEvery}});
    if (!noted) return noted;
    changed += *noted;
  }
  return changed;
}

Result<std::int64_t> ApiKeyStore::remove_ended(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys"
      " WHERE COALESCE(revoked_at, expires_at)<:before LIMIT :limit)",
      {{"before", now - kKeepRevoked}, {"limit", limit}});
}

}  // namespace ee::cp
