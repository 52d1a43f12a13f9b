#include "cp/store/usage_store.h"

#include <boost/describe.hpp>

namespace ee::cp {

namespace {

struct UsageKey {
  UtcTime hour_start_at = {};
  std::string segment_id = {};
};
BOOST_DESCRIBE_STRUCT(UsageKey, (), (hour_start_at, segment_id))

}  // namespace

Result<std::vector<AccountId>> UsageStore::accounts_with_old(db::Transaction& tx, const AccountId& after,
                                                             UtcTime before, std::int64_t limit) const {
  return tx.query<AccountId>(
      "SELECT id FROM accounts a WHERE id>:after AND EXISTS (SELECT 1 FROM usage_charges c WHERE c.account_id=a.id "
      "AND c.hour_start_at<:before) ORDER BY id LIMIT :limit",
      {{"after", after}, {"before", before}, {"limit", limit}});
}

Result<std::int64_t> UsageStore::roll_up(db::Transaction& tx, const AccountId& account, UtcTime before,
                                         std::int64_t limit) const {
  // The last row of the batch: everything up to it moves.
  auto last = tx.query_one<UsageKey>(
      "SELECT hour_start_at, segment_id FROM usage_charges WHERE account_id=:account AND hour_start_at<:before "
      "ORDER BY hour_start_at, segment_id LIMIT 1 OFFSET :offset",
      {{"account", account}, {"before", before}, {"offset", limit - 1}});
  if (!last) return std::unexpected(last.error());
  if (!*last) {
    last = tx.query_one<UsageKey>(
        "SELECT hour_start_at, segment_id FROM usage_charges WHERE account_id=:account AND hour_start_at<:before "
        "ORDER BY hour_start_at DESC, segment_id DESC LIMIT 1",
        {{"account", account}, {"before", before}});
    if (!last) return std::unexpected(last.error());
  }
  if (!*last) return 0;
  const db::Params upto = {{"account", account}, {"hour", (*last)->hour_start_at}, {"segment", (*last)->segment_id}};
  const auto added = tx.execute(
      "INSERT INTO usage_daily (account_id, day_start_at, deployment_id, app_id, billed_ms, gross_micros) "
      "SELECT account_id, hour_start_at/86400000*86400000 AS day, deployment_id, MAX(app_id), SUM(billed_ms), "
      "SUM(gross_micros) FROM usage_charges WHERE account_id=:account "
      "AND (hour_start_at, segment_id)<=(:hour, :segment) "
      "GROUP BY account_id, hour_start_at/86400000*86400000, deployment_id "
      "ON CONFLICT (account_id, day_start_at, deployment_id) DO UPDATE SET "
      "billed_ms=usage_daily.billed_ms+excluded.billed_ms, "
      "gross_micros=usage_daily.gross_micros+excluded.gross_micros, app_id=COALESCE(excluded.app_id, "
      "usage_daily.app_id)",
      upto);
  if (!added) return std::unexpected(added.error());
  return tx.execute(
      "DELETE FROM usage_charges WHERE account_id=:account AND (hour_start_at, segment_id)<=(:hour, :segment)", upto);
}

}  // namespace ee::cp
