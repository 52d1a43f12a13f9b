#include "cp/store/credential_store.h"

#include <fmt/format.h>

namespace ee::cp {

bool is_usable(const CredentialRow& credential, UtcTime now) {
  if (now >= credential.expires_at) return false;
  switch (credential.state) {
    case CredentialState::active: return true;
    case CredentialState::retiring: return credential.retire_at && now < *credential.retire_at;
    case CredentialState::revoked: return false;
  }
  return false;
}

Result<void> CredentialStore::insert(db::Transaction& tx, const CredentialRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO agent_control_credentials ({}) VALUES ({})",
                                             db::columns_of<CredentialRow>(), db::placeholders_of<CredentialRow>());
  const auto inserted = tx.execute(sql, db::params_of(row));
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::optional<CredentialRow>> CredentialStore::find(db::Transaction& tx, std::string_view lookup) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM agent_control_credentials WHERE lookup=:lookup", db::columns_of<CredentialRow>());
  return tx.query_one<CredentialRow>(sql, {{"lookup", lookup}});
}

Result<bool> CredentialStore::exists(db::Transaction& tx, std::string_view id) const {
  const auto found = tx.query_one<std::int64_t>("SELECT 1 FROM agent_control_credentials WHERE id=:id", {{"id", id}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<std::vector<CredentialRow>> CredentialStore::of_agent(db::Transaction& tx, const AgentId& agent) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM agent_control_credentials WHERE agent_id=:agent ORDER BY created_at DESC, id DESC",
                  db::columns_of<CredentialRow>());
  return tx.query<CredentialRow>(sql, {{"agent", agent}});
}

// `retire_at` of a revoked row is when it ended: the purge counts from there.
Result<std::vector<std::string>> CredentialStore::revoke_all(db::Transaction& tx, const AgentId& agent,
                                                             UtcTime now) const {
  return tx.query<std::string>(
      "UPDATE agent_control_credentials SET state='revoked', retire_at=:now"
      " WHERE agent_id=:agent AND state<>'revoked' RETURNING lookup",
      {{"agent", agent}, {"now", now}});
}

Result<std::vector<std::string>> CredentialStore::revoke_retiring(db::Transaction& tx, const AgentId& agent,
                                                                  UtcTime now) const {
  return tx.query<std::string>(
      "UPDATE agent_control_credentials SET state='revoked', retire_at=:now"
      " WHERE agent_id=:agent AND state='retiring' RETURNING lookup",
      {{"agent", agent}, {"now", now}});
}

Result<std::vector<std::string>> CredentialStore::replace_all(db::Transaction& tx, const CredentialRow& fresh,
                                                              UtcTime now) const {
  auto revoked = revoke_all(tx, fresh.agent_id, now);
  if (!revoked) return revoked;
  if (const auto inserted = insert(tx, fresh); !inserted) return std::unexpected(inserted.error());
  return revoked;
}

Result<std::vector<std::string>> CredentialStore::rotate(db::Transaction& tx, const CredentialRow& fresh,
                                                         UtcTime now) const {
  auto revoked = revoke_retiring(tx, fresh.agent_id, now);
  if (!revoked) return revoked;
  const auto retiring = tx.execute(
      "UPDATE agent_control_credentials SET state='retiring', retire_at=:until WHERE agent_id=:agent AND "
      "state='active'",
      {{"agent", fresh.agent_id}, {"until", now + kRetiring}});
  if (!retiring) return std::unexpected(retiring.error());
  if (const auto inserted = insert(tx, fresh); !inserted) return std::unexpected(inserted.error());
  return revoked;
}

Result<bool> CredentialStore::has_retiring(db::Transaction& tx, const AgentId& agent) const {
  const auto found = tx.query_one<std::string>(
      "SELECT lookup FROM agent_control_credentials WHERE agent_id=:agent AND state='retiring'", {{"agent", agent}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<std::int64_t> CredentialStore::note_uses(db::Transaction& tx, const std::vector<KeyUse>& uses) const {
  std::int64_t changed = 0;
  for (const KeyUse& use : uses) {
    const auto noted = tx.execute(
        "UPDATE agent_control_credentials SET last_used_at=:at"
        " WHERE lookup=:lookup AND (last_used_at IS NULL OR last_used_at<:before)",
        {{"lookup", use.key_id}, {"at", use.at}, {"before", use.at - kNoteUseEvery}});
    if (!noted) return noted;
    changed += *noted;
  }
  return changed;
}

Result<std::int64_t> CredentialStore::purge_revoked(db::Transaction& tx, UtcTime revoked_before,
                                                    std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM agent_control_credentials WHERE id IN (SELECT id FROM agent_control_credentials"
      " WHERE state='revoked' AND retire_at<:before LIMIT :limit)",
      {{"before", revoked_before}, {"limit", limit}});
}

}  // namespace ee::cp
