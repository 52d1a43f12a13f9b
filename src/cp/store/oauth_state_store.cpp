#include "cp/store/oauth_state_store.h"

#include <fmt/format.h>

namespace ee::cp {

Result<void> OAuthStateStore::insert(db::Transaction& tx, const OAuthStateRow& row, UtcTime now) const {
  static const std::string sql =
      fmt::format("INSERT INTO oauth_states ({0}) SELECT {1} WHERE (SELECT COUNT(*) FROM oauth_states) < {2}",
                  db::columns_of<OAuthStateRow>(), db::placeholders_of<OAuthStateRow>(), kMaxRows);
  for (const bool again : {false, true}) {
    const auto inserted = tx.execute(sql, db::params_of(row));
    if (!inserted) return std::unexpected(inserted.error());
    if (*inserted == 1) return {};
    if (again) break;
    const auto removed = remove_expired(tx, now, 2 * kMaxRows);
    if (!removed) return std::unexpected(removed.error());
    if (*removed == 0) break;
  }
  return fail(
      Error{.code = ErrorCode::overloaded, .detail = "too many sign-ins are under way", .retry_after = Seconds(60)});
}

Result<std::optional<OAuthStateRow>> OAuthStateStore::take(db::Transaction& tx, std::string_view state_hash) const {
  static const std::string sql = fmt::format("DELETE FROM oauth_states WHERE state_hash=:state_hash RETURNING {}",
                                             db::columns_of<OAuthStateRow>());
  return tx.query_one<OAuthStateRow>(sql, {{"state_hash", state_hash}});
}

Result<void> OAuthStateStore::forget_links(db::Transaction& tx, const AccountId& account) const {
  const auto gone = tx.execute("DELETE FROM oauth_states WHERE link_account_id=:account", {{"account", account}});
  if (!gone) return std::unexpected(gone.error());
  return {};
}

Result<std::int64_t> OAuthStateStore::remove_expired(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM oauth_states WHERE state_hash IN (SELECT state_hash FROM oauth_states"
      " WHERE expires_at<=:now ORDER BY expires_at LIMIT :limit)",
      {{"now", now}, {"limit", limit}});
}

}  // namespace ee::cp
