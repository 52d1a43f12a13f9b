#include "cp/store/ledger_check_store.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "cp/domain/month.h"

namespace ee::cp {

namespace {

struct Span {
  std::optional<UtcTime> first;
  std::optional<UtcTime> last;
};
BOOST_DESCRIBE_STRUCT(Span, (), (first, last))

struct MonthSum {
  UtcTime month_start_at;
  UsdMicros amount_micros;
};
BOOST_DESCRIBE_STRUCT(MonthSum, (), (month_start_at, amount_micros))

struct GroupSum {
  std::string group_id;
  UsdMicros micros;
};
BOOST_DESCRIBE_STRUCT(GroupSum, (), (group_id, micros))

struct Step {
  std::int64_t seen = 0;
  std::optional<std::string> last;
};
BOOST_DESCRIBE_STRUCT(Step, (), (seen, last))

Result<CheckedPage<BrokenGroup>> page(db::Transaction& tx, std::string_view step_sql, std::string_view broken_sql,
                                      const std::string& after, std::int64_t limit) {
  const auto step = tx.query_one<Step>(step_sql, {{"after", after}, {"limit", limit}});
  if (!step) return std::unexpected(step.error());
  CheckedPage<BrokenGroup> out;
  if (!*step || !(*step)->last) return out;
  auto broken = tx.query<BrokenGroup>(broken_sql, {{"after", after}, {"last", *(*step)->last}});
  if (!broken) return std::unexpected(std::move(broken.error()));
  out.broken = std::move(*broken);
  out.seen = (*step)->seen;
  if (out.seen == limit) out.next = (*step)->last;
  return out;
}

/// What the account's lines sum to in each month from its first to its last line, in statements that are bounded.
Result<std::vector<MonthSum>> sums_by_month(db::Transaction& tx, const AccountId& account) {
  const auto span = tx.query_one<Span>(
      "SELECT (SELECT created_at FROM transactions WHERE account_id=:account ORDER BY created_at, id LIMIT 1) AS "
      "first, "
      "(SELECT created_at FROM transactions WHERE account_id=:account ORDER BY created_at DESC, id DESC LIMIT 1) AS "
      "last",
      {{"account", account}});
  if (!span) return std::unexpected(span.error());
  std::vector<MonthSum> out;
  if (!*span || !(*span)->first || !(*span)->last) return out;
  const Month last = Month::of(*(*span)->last);
  for (Month month = Month::of(*(*span)->first);; month = month.next()) {
    // A forged line may lie outside of the years that months have.
    const UtcTime from = out.empty() ? std::min(month.begin(), *(*span)->first) : month.begin();
    const UtcTime to = month == last ? std::max(month.end(), *(*span)->last + Milliseconds(1)) : month.end();
    const auto sum = tx.query_one<UsdMicros>(
        "SELECT COALESCE(SUM(amount_micros), 0) FROM transactions WHERE account_id=:account AND created_at>=:from AND "
        "created_at<:to",
        {{"account", account}, {"from", from}, {"to", to}});
    if (!sum) return std::unexpected(sum.error());
    out.push_back({.month_start_at = month.begin(), .amount_micros = sum->value_or(UsdMicros{})});
    if (month == last) return out;
  }
}

}  // namespace

Result<std::vector<KeptBalance>> LedgerCheckStore::balances(db::Transaction& tx, const AccountId& after,
                                                            bool changed_only, std::int64_t limit) const {
  return tx.query<KeptBalance>(
      "SELECT account_id, balance_micros, version, verified_version FROM account_balances WHERE account_id>:after AND "
      "(:changed=0 OR version<>verified_version) ORDER BY account_id LIMIT :limit",
      {{"after", after}, {"changed", changed_only}, {"limit", limit}});
}

Result<SumOfLines> LedgerCheckStore::sum_of_lines(db::Transaction& tx, const AccountId& account) const {
  const auto rows = tx.query<MonthSum>(
      "SELECT month_start_at, amount_micros FROM account_months WHERE account_id=:account", {{"account", account}});
  if (!rows) return std::unexpected(rows.error());
  std::map<UtcTime, UsdMicros> kept;
  for (const MonthSum& row : *rows) kept[row.month_start_at] = row.amount_micros;
  const auto months = sums_by_month(tx, account);
  if (!months) return std::unexpected(months.error());
  SumOfLines out;
  const auto compare = [&](UtcTime month, UsdMicros lines, UsdMicros said) {
    if (lines != said && !out.month) out.month = MonthDifference{.month_start_at = month, .lines = lines, .kept = said};
  };
  for (const MonthSum& month : *months) {
    // A forged line could leave 64 bits; wrapping shows as a difference, which is what is looked for.
    out.total.value = static_cast<std::int64_t>(static_cast<std::uint64_t>(out.total.value) +
                                                static_cast<std::uint64_t>(month.amount_micros.value));
    const auto said = kept.extract(month.month_start_at);
    compare(month.month_start_at, month.amount_micros, said ? said.mapped() : UsdMicros{});
  }
  for (const auto& [month, said] : kept) compare(month, {}, said);
  return out;
}

Result<void> LedgerCheckStore::set_months(db::Transaction& tx, const AccountId& account) const {
  const auto months = sums_by_month(tx, account);
  if (!months) return std::unexpected(months.error());
  if (auto gone = tx.execute("DELETE FROM account_months WHERE account_id=:account", {{"account", account}}); !gone)
    return std::unexpected(gone.error());
  for (const MonthSum& month : *months) {
    const auto set = tx.execute(
        "INSERT INTO account_months (account_id, month_start_at, amount_micros) VALUES (:account, :month, :amount)",
        {{"account", account}, {"month", month.month_start_at}, {"amount", month.amount_micros}});
    if (!set) return std::unexpected(set.error());
  }
  return {};
}

Result<void> LedgerCheckStore::mark_verified(db::Transaction& tx, const AccountId& account,
                                             std::int64_t version) const {
  const auto done = tx.execute("UPDATE account_balances SET verified_version=:version WHERE account_id=:account",
                               {{"version", version}, {"account", account}});
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<CheckedPage<BrokenGroup>> LedgerCheckStore::groups(db::Transaction& tx, const std::string& after,
                                                          std::int64_t limit) const {
  return page(tx,
              "SELECT COUNT(*) AS seen, MAX(id) AS last FROM (SELECT id FROM ledger_groups WHERE id>:after ORDER BY id "
              "LIMIT :limit) AS step",
              "SELECT id, line_count, lines, sum FROM (SELECT g.id AS id, g.line_count AS line_count, "
              "(SELECT COUNT(*) FROM transactions t WHERE t.group_id=g.id) AS lines, "
              "(SELECT COALESCE(SUM(t.amount_micros), 0) FROM transactions t WHERE t.group_id=g.id) AS sum "
              "FROM ledger_groups g WHERE g.id>:after AND g.id<=:last) AS made WHERE sum<>0 OR lines<>line_count",
              after, limit);
}

Result<CheckedPage<BrokenGroup>> LedgerCheckStore::orphans(db::Transaction& tx, const std::string& after,
                                                           std::int64_t limit) const {
  return page(tx,
              "SELECT COUNT(*) AS seen, MAX(id) AS last FROM (SELECT id FROM transactions WHERE id>:after ORDER BY id "
              "LIMIT :limit) AS step",
              "SELECT t.id AS id, 0 AS line_count, 1 AS lines, t.amount_micros AS sum FROM transactions t WHERE "
              "t.id>:after AND t.id<=:last AND NOT EXISTS (SELECT 1 FROM ledger_groups g WHERE g.id=t.group_id)",
              after, limit);
}

Result<std::vector<UsageDifference>> LedgerCheckStore::usage(db::Transaction& tx, const AccountId& account,
                                                             UtcTime from, UtcTime to) const {
  const auto used = tx.query<GroupSum>(
      "SELECT group_id, SUM(gross_micros) AS micros FROM usage_charges WHERE account_id=:account AND "
      "hour_start_at>=:from AND hour_start_at<:to GROUP BY group_id",
      {{"account", account}, {"from", from}, {"to", to}});
  if (!used) return std::unexpected(used.error());
  // An hour is charged after it began, so its lines are not older.
  const auto charged = tx.query<GroupSum>(
      "SELECT group_id, -SUM(amount_micros) AS micros FROM transactions WHERE account_id=:account AND "
      "created_at>=:from "
      "AND tx_type='charge' AND period_start_at>=:from AND period_start_at<:to GROUP BY group_id",
      {{"account", account}, {"from", from}, {"to", to}});
  if (!charged) return std::unexpected(charged.error());
  std::map<std::string, UsageDifference> both;
  for (const GroupSum& group : *used) both[group.group_id].usage = group.micros;
  for (const GroupSum& group : *charged) both[group.group_id].charged = group.micros;
  std::vector<UsageDifference> differences;
  for (auto& [id, difference] : both) {
    if (difference.usage == difference.charged) continue;
    difference.group_id = id;
    differences.push_back(difference);
  }
  return differences;
}

Result<void> LedgerCheckStore::set_balance(db::Transaction& tx, const AccountId& account, UsdMicros balance,
                                           UtcTime now) const {
  const auto done = tx.execute(
      "UPDATE account_balances SET balance_micros=:balance, version=version+1, updated_at=:now WHERE "
      "account_id=:account",
      {{"balance", balance}, {"now", now}, {"account", account}});
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace ee::cp
