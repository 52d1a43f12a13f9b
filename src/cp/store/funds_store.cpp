#include "cp/store/funds_store.h"

#include <fmt/format.h>

#include "cp/store/segment_store.h"

namespace ee::cp {

namespace {

constexpr std::string_view kMoneyColumns =
    "b.account_id, b.balance_micros, b.version, b.billing_state, b.grace_ends_at, b.dispute_hold, "
    "a.credit_limit_micros, a.spend_limit_micros, a.spend_limit_action";

}  // namespace

Result<std::optional<AccountFunds>> FundsStore::find(db::Transaction& tx, const AccountId& account) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM account_balances b JOIN accounts a ON a.id=b.account_id WHERE b.account_id=:account",
                  kMoneyColumns);
  return tx.query_one<AccountFunds>(sql, {{"account", account}});
}

Result<std::vector<FundsOfAccount>> FundsStore::page(db::Transaction& tx, const AccountId& after, UtcTime now,
                                                     std::int64_t limit) const {
  // Each select of accounts ends at `limit` of its index; the page is the first of them all.
  static const std::string ids_sql =
      "SELECT account_id FROM ("
      "SELECT account_id FROM (SELECT DISTINCT account_id FROM deployment_segments "
      "WHERE settled=0 AND account_id>:after ORDER BY account_id LIMIT :limit) l UNION "
      "SELECT account_id FROM (SELECT DISTINCT account_id FROM deployment_segments "
      "WHERE settled=2 AND account_id>:after ORDER BY account_id LIMIT :limit) f UNION "
      "SELECT account_id FROM (SELECT account_id FROM account_balances "
      "WHERE billing_state<>'ok' AND account_id>:after ORDER BY account_id LIMIT :limit) s) u "
      "ORDER BY account_id LIMIT :limit";
  static const std::string sql = fmt::format(
      "SELECT {}, COALESCE(u.accrued, 0), COALESCE(u.burn, 0) FROM account_balances b "
      "JOIN accounts a ON a.id=b.account_id LEFT JOIN ("
      "SELECT account_id, SUM(accrued) AS accrued, SUM(burn) AS burn FROM ("
      "SELECT account_id, {} AS accrued, CASE WHEN to_at IS NULL THEN rate_micros ELSE 0 END AS burn "
      "FROM deployment_segments WHERE settled=0 AND account_id>:after AND account_id<=:last UNION ALL "
      "SELECT account_id, {} AS accrued, CASE WHEN to_at IS NULL THEN rate_micros ELSE 0 END AS burn "
      "FROM deployment_segments WHERE settled=2 AND account_id>:after AND account_id<=:last) s GROUP BY account_id) u "
      "ON u.account_id=b.account_id WHERE b.account_id>:after AND b.account_id<=:last "
      "AND (u.account_id IS NOT NULL OR b.billing_state<>'ok') ORDER BY b.account_id",
      kMoneyColumns, accrued_of_segment(), accrued_of_segment());
  const auto ids = tx.query<AccountId>(ids_sql, {{"after", after}, {"limit", limit}});
  if (!ids) return std::unexpected(ids.error());
  if (ids->empty()) return std::vector<FundsOfAccount>();
  return tx.query<FundsOfAccount>(sql, {{"after", after}, {"last", ids->back()}, {"now", now}});
}

Result<UsdMicros> FundsStore::charged_since(db::Transaction& tx, const AccountId& account, UtcTime month) const {
  const auto sum = tx.query_one<UsdMicros>(
      "SELECT COALESCE(-SUM(amount_micros), 0) FROM transactions WHERE account_id=:account AND created_at>=:month "
      "AND tx_type='charge' AND period_start_at>=:month",
      {{"account", account}, {"month", month}});
  if (!sum) return std::unexpected(sum.error());
  return sum->value_or(UsdMicros{});
}

Result<bool> FundsStore::change_state(db::Transaction& tx, const FundsOfAccount& seen, BillingState to,
                                      std::optional<UtcTime> grace_ends_at, UtcTime now) const {
  const auto changed = tx.execute(
      "UPDATE account_balances SET billing_state=:to, state_since_at=:now, grace_ends_at=:grace "
      "WHERE account_id=:account AND billing_state=:from AND version=:version",
      {{"to", to},
       {"now", now},
       {"grace", grace_ends_at},
       {"account", seen.account_id},
       {"from", seen.billing_state},
       {"version", seen.version}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<std::vector<FundsStore::StateCount>> FundsStore::by_state(db::Transaction& tx) const {
  return tx.query<StateCount>("SELECT billing_state, COUNT(*) FROM account_balances GROUP BY billing_state");
}

}  // namespace ee::cp
