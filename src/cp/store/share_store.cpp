#include "cp/store/share_store.h"

#include <fmt/format.h>

#include <algorithm>

namespace ee::cp {
namespace {

const std::string& select_sets() {
  static const std::string sql = fmt::format("SELECT {} FROM app_share_sets s", db::columns_of<ShareSetRow>());
  return sql;
}

struct AppShare {
  std::string app_id = {};
  AccountId account_id = {};
  std::int64_t share_bps = 0;
};
BOOST_DESCRIBE_STRUCT(AppShare, (), (app_id, account_id, share_bps))

/// A later list that is in force at the same time or before takes a list's place.
constexpr std::string_view kNotReplaced =
    " AND NOT EXISTS (SELECT 1 FROM app_share_sets n WHERE n.app_id=s.app_id AND n.set_version>s.set_version"
    " AND n.effective_at<=s.effective_at)";

}  // namespace

Result<void> ShareStore::add(db::Transaction& tx, const ShareSetRow& set,
                             const std::vector<RevenueShareRow>& shares) const {
  static const std::string insert_set = fmt::format("INSERT INTO app_share_sets ({}) VALUES ({})",
                                                    db::columns_of<ShareSetRow>(), db::placeholders_of<ShareSetRow>());
  static const std::string insert_share =
      fmt::format("INSERT INTO app_revenue_shares ({}) VALUES ({})", db::columns_of<RevenueShareRow>(),
                  db::placeholders_of<RevenueShareRow>());
  if (const auto added = tx.execute(insert_set, db::params_of(set), db::OnUnique{ErrorCode::share_conflict}); !added)
    return std::unexpected(added.error());
  for (const RevenueShareRow& share : shares)
    if (const auto added = tx.execute(insert_share, db::params_of(share)); !added)
      return std::unexpected(added.error());
  return {};
}

Result<std::optional<ShareSetRow>> ShareStore::at(db::Transaction& tx, const std::string& app_id, UtcTime at) const {
  static const std::string sql =
      select_sets() + " WHERE app_id=:app AND effective_at<=:at ORDER BY set_version DESC LIMIT 1";
  return tx.query_one<ShareSetRow>(sql, {{"app", app_id}, {"at", at}});
}

Result<std::vector<ShareSetRow>> ShareStore::pending(db::Transaction& tx, const std::string& app_id,
                                                     UtcTime now) const {
  static const std::string sql =
      fmt::format("{} WHERE app_id=:app AND effective_at>:now{} ORDER BY effective_at", select_sets(), kNotReplaced);
  return tx.query<ShareSetRow>(sql, {{"app", app_id}, {"now", now}});
}

Result<std::optional<ShareSetRow>> ShareStore::newest(db::Transaction& tx, const std::string& app_id) const {
  static const std::string sql = select_sets() + " WHERE app_id=:app ORDER BY set_version DESC LIMIT 1";
  return tx.query_one<ShareSetRow>(sql, {{"app", app_id}});
}

Result<std::vector<ShareWithAccount>> ShareStore::shares(db::Transaction& tx, const std::string& set_id) const {
  return tx.query<ShareWithAccount>(
      "SELECT r.id, r.account_id, a.name, (SELECT login FROM account_identities i WHERE i.account_id=r.account_id"
      " ORDER BY kind DESC, github_id LIMIT 1), r.share_bps, r.label FROM app_revenue_shares r"
      " JOIN accounts a ON a.id=r.account_id WHERE r.set_id=:set ORDER BY r.position",
      {{"set", set_id}});
}

Result<std::map<std::string, ShareSet>> ShareStore::shares_at(db::Transaction& tx,
                                                              const std::vector<std::string>& app_ids,
                                                              UtcTime at) const {
  std::map<std::string, ShareSet> out;
  if (app_ids.empty()) return out;
  // Few lengths, so that there are few statements: the last id is repeated.
  std::size_t length = 1;
  while (length < app_ids.size()) length *= 8;
  std::vector<std::string> names;  // parameters keep views of their names
  names.reserve(length);
  db::Params params = {{"at", at}};
  std::string list;
  for (std::size_t i = 0; i < length; ++i) {
    names.push_back(fmt::format("app{}", i));
    list += (list.empty() ? ":" : ",:") + names.back();
    params.emplace_back(names.back(), app_ids[std::min(i, app_ids.size() - 1)]);
  }
  const auto rows = tx.query<AppShare>(
      fmt::format("SELECT s.app_id, r.account_id, r.share_bps FROM app_share_sets s JOIN app_revenue_shares r ON"
                  " r.set_id=s.id WHERE s.app_id IN ({}) AND s.effective_at<=:at AND s.set_version=(SELECT"
                  " MAX(set_version) FROM app_share_sets n WHERE n.app_id=s.app_id AND n.effective_at<=:at)"
                  " ORDER BY s.app_id, r.position",
                  list),
      params);
  if (!rows) return std::unexpected(rows.error());
  for (const AppShare& row : *rows) out[row.app_id].push_back({.account = row.account_id, .bps = row.share_bps});
  return out;
}

Result<bool> ShareStore::names_account(db::Transaction& tx, const AccountId& account, UtcTime from) const {
  const auto found = tx.query_one<std::int64_t>(
      fmt::format(
          "SELECT 1 FROM app_revenue_shares r JOIN app_share_sets s ON s.id=r.set_id WHERE r.account_id=:account"
          " AND ((s.effective_at>:from{}) OR s.set_version=(SELECT MAX(set_version) FROM app_share_sets n WHERE"
          " n.app_id=s.app_id AND n.effective_at<=:from)) LIMIT 1",
          kNotReplaced),
      {{"account", account}, {"from", from}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<bool> ShareStore::awaits_set_aside(db::Transaction& tx, const AccountId& account) const {
  // The hours that a retry charges: from the one in which charging stopped, to the segment's end.
  static const std::string sql = fmt::format(
      "SELECT 1 FROM deployment_segments g JOIN app_share_sets s ON s.app_id=g.app_id"
      " JOIN app_revenue_shares r ON r.set_id=s.id WHERE g.settled=2 AND g.pool_bps>0 AND r.account_id=:account"
      " AND (g.to_at IS NULL OR s.effective_at<g.to_at)"
      " AND ((s.effective_at>g.charged_to_at-g.charged_to_at%3600000{}) OR s.set_version=(SELECT MAX(set_version)"
      " FROM app_share_sets n WHERE n.app_id=s.app_id AND n.effective_at<=g.charged_to_at-g.charged_to_at%3600000))"
      " LIMIT 1",
      kNotReplaced);
  const auto found = tx.query_one<std::int64_t>(sql, {{"account", account}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

}  // namespace ee::cp
