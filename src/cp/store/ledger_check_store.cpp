#include "cp/store/ledger_check_store.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace ee::cp {

namespace {

constexpr std::chrono::days kSpan{31};

struct Span {
  std::optional<UtcTime> first;
  std::optional<UtcTime> last;
};
BOOST_DESCRIBE_STRUCT(Span, (), (first, last))

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

}  // namespace

Result<std::vector<KeptBalance>> LedgerCheckStore::balances(db::Transaction& tx, const AccountId& after,
                                                            bool changed_only, std::int64_t limit) const {
  return tx.query<KeptBalance>(
      "SELECT account_id, balance_micros, version, verified_version FROM account_balances WHERE account_id>:after AND "
      "(:changed=0 OR version<>verified_version) ORDER BY account_id LIMIT :limit",
      {{"after", after}, {"changed", changed_only}, {"limit", limit}});
}

Result<UsdMicros> LedgerCheckStore::sum_of_lines(db::Transaction& tx, const AccountId& account) const {
  const auto span = tx.query_one<Span>(
      "SELECT (SELECT created_at FROM transactions WHERE account_id=:account ORDER BY created_at, id LIMIT 1) AS "
      "first, "
      "(SELECT created_at FROM transactions WHERE account_id=:account ORDER BY created_at DESC, id DESC LIMIT 1) AS "
      "last",
      {{"account", account}});
  if (!span) return std::unexpected(span.error());
  UsdMicros total;
  if (!*span || !(*span)->first || !(*span)->last) return total;
  for (UtcTime from = *(*span)->first; from <= *(*span)->last; from += kSpan) {
    const auto part = tx.query_one<UsdMicros>(
        "SELECT COALESCE(SUM(amount_micros), 0) FROM transactions WHERE account_id=:account AND created_at>=:from AND "
        "created_at<:to",
        {{"account", account}, {"from", from}, {"to", from + kSpan}});
    if (!part) return std::unexpected(part.error());
    // A forged line could leave 64 bits; wrapping shows as a difference, which is what is looked for.
    total.value = static_cast<std::int64_t>(static_cast<std::uint64_t>(total.value) +
                                            static_cast<std::uint64_t>(part->value_or(UsdMicros{}).value));
  }
  return total;
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
