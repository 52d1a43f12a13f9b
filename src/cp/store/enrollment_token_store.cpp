#include "cp/store/enrollment_token_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

const std::string& select_tokens() {
  static const std::string sql =
      fmt::format("SELECT {} FROM agent_enrollment_tokens", db::columns_of<EnrollmentTokenRow>());
  return sql;
}

}  // namespace

bool is_live(const EnrollmentTokenRow& token, UtcTime now) {
  return !token.revoked_at && now < token.expires_at && token.used_agents < token.max_agents;
}

Result<void> EnrollmentTokenStore::insert(db::Transaction& tx, const EnrollmentTokenRow& row) const {
  static const std::string sql =
      fmt::format("INSERT INTO agent_enrollment_tokens ({}) VALUES ({})", db::columns_of<EnrollmentTokenRow>(),
                  db::placeholders_of<EnrollmentTokenRow>());
  const auto inserted = tx.execute(sql, db::params_of(row));
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::optional<EnrollmentTokenRow>> EnrollmentTokenStore::find(db::Transaction& tx, std::string_view id) const {
  static const std::string sql = select_tokens() + " WHERE id=:id";
  return tx.query_one<EnrollmentTokenRow>(sql, {{"id", id}});
}

Result<std::optional<EnrollmentTokenRow>> EnrollmentTokenStore::find_by_lookup(db::Transaction& tx,
                                                                               std::string_view lookup) const {
  static const std::string sql = select_tokens() + " WHERE lookup=:lookup";
  return tx.query_one<EnrollmentTokenRow>(sql, {{"lookup", lookup}});
}

Result<std::vector<EnrollmentTokenRow>> EnrollmentTokenStore::list(db::Transaction& tx, const AccountId& account,
                                                                   std::string_view after, std::int64_t limit) const {
  static const std::string sql = select_tokens() + " WHERE account_id=:account AND id>:after ORDER BY id LIMIT :limit";
  return tx.query<EnrollmentTokenRow>(sql, {{"account", account}, {"after", after}, {"limit", limit}});
}

Result<std::int64_t> EnrollmentTokenStore::count_live(db::Transaction& tx, const AccountId& account,
                                                      UtcTime now) const {
  const auto count = tx.query_one<std::int64_t>(
      "SELECT COUNT(*) FROM agent_enrollment_tokens WHERE account_id=:account AND revoked_at IS NULL"
      " AND expires_at>:now AND used_agents<max_agents",
      {{"account", account}, {"now", now}});
  if (!count) return std::unexpected(count.error());
  return count->value_or(0);
}

Result<bool> EnrollmentTokenStore::revoke(db::Transaction& tx, std::string_view id, UtcTime now) const {
  const auto changed =
      tx.execute("UPDATE agent_enrollment_tokens SET revoked_at=:now WHERE id=:id AND revoked_at IS NULL",
                 {{"id", id}, {"now", now}});
  if (!changed) return std::unexpected(changed.error());
  return *changed > 0;
}

Result<bool> EnrollmentTokenStore::count_agent(db::Transaction& tx, std::string_view id, UtcTime now) const {
  const auto changed = tx.execute(
      "UPDATE agent_enrollment_tokens SET used_agents=used_agents+1 WHERE id=:id AND used_agents<max_agents"
      " AND expires_at>:now AND revoked_at IS NULL",
      {{"id", id}, {"now", now}});
  if (!changed) return std::unexpected(changed.error());
  return *changed > 0;
}

Result<std::int64_t> EnrollmentTokenStore::purge_dead(db::Transaction& tx, UtcTime before, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM agent_enrollment_tokens WHERE id IN (SELECT id FROM agent_enrollment_tokens"
      " WHERE expires_at<:before OR revoked_at<:before LIMIT :limit)",
      {{"before", before}, {"limit", limit}});
}

}  // namespace ee::cp
