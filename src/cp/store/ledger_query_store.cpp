#include "cp/store/ledger_query_store.h"

#include <fmt/format.h>

#include "cp/store/segment_store.h"

namespace ee::cp {

namespace {

constexpr std::string_view kLineColumns =
    "t.id, t.group_id, t.amount_micros, t.tx_type, t.period_start_at, t.reference_type, t.reference_id, g.description, "
    "t.created_at";

/// What the row of an account says of its money.
struct KeptFunds {
  UsdMicros balance = {};
  UsdMicros credit_limit = {};
  std::string billing_state = {};
  std::optional<UtcTime> grace_ends_at = {};
};
BOOST_DESCRIBE_STRUCT(KeptFunds, (), (balance, credit_limit, billing_state, grace_ends_at))

}  // namespace

Result<LedgerAccountRow> LedgerQueryStore::account(db::Transaction& tx, const AccountId& id) const {
  auto found = tx.query_one<LedgerAccountRow>(
      "SELECT id, status, credit_limit_micros, created_at FROM accounts WHERE id=:id AND account_type<>'system'",
      {{"id", id}});
  if (!found) return std::unexpected(std::move(found.error()));
  if (!*found) return fail(ErrorCode::account_not_found);
  return std::move(**found);
}

Result<bool> LedgerQueryStore::can_be_platform(db::Transaction& tx, const AccountId& id) const {
  const auto found = account(tx, id);
  if (found) return found->status == "active";
  if (found.error().code == ErrorCode::account_not_found) return false;
  return std::unexpected(found.error());
}

Result<FundsRow> LedgerQueryStore::funds(db::Transaction& tx, const AccountId& id, UtcTime now) const {
  auto kept = tx.query_one<KeptFunds>(
      "SELECT b.balance_micros, a.credit_limit_micros, b.billing_state, b.grace_ends_at FROM account_balances b "
      "JOIN accounts a ON a.id=b.account_id WHERE b.account_id=:id AND a.account_type<>'system'",
      {{"id", id}});
  if (!kept) return std::unexpected(std::move(kept.error()));
  if (!*kept) return fail(ErrorCode::account_not_found);
  const auto use = SegmentStore().use_of(tx, id, now);
  if (!use) return std::unexpected(use.error());
  return FundsRow{.balance = (*kept)->balance,
                  .credit_limit = (*kept)->credit_limit,
                  .billing_state = std::move((*kept)->billing_state),
                  .grace_ends_at = (*kept)->grace_ends_at,
                  .accrued = use->accrued,
                  .burn_per_hour = use->burn};
}

Result<UsdMicros> LedgerQueryStore::balance(db::Transaction& tx, const AccountId& id) const {
  const auto found =
      tx.query_one<UsdMicros>("SELECT balance_micros FROM account_balances WHERE account_id=:id", {{"id", id}});
  if (!found) return std::unexpected(found.error());
  if (!*found) return fail(ErrorCode::account_not_found);
  return **found;
}

Result<Page<TransactionRow>> LedgerQueryStore::newest(db::Transaction& tx, const AccountId& id,
                                                      const TransactionFilter& filter, const PageRequest& page) const {
  std::string sql = fmt::format("SELECT {} FROM transactions t JOIN ledger_groups g ON g.id=t.group_id ", kLineColumns);
  sql += "WHERE t.account_id=:account";
  db::Params params = {{"account", id}, {"limit", page.limit + 1}};
  const auto add = [&](const auto& wanted, std::string_view condition, std::string_view name) {
    if (!wanted) return;
    sql += condition;
    params.emplace_back(name, *wanted);
  };
  add(filter.type, " AND t.tx_type=:type", "type");
  add(filter.from, " AND t.created_at>=:from", "from");
  add(filter.to, " AND t.created_at<:to", "to");
  if (page.after) {
    sql += " AND (t.created_at, t.id)<(:after_at, :after_id)";
    params.emplace_back("after_at", page.after->at);
    params.emplace_back("after_id", page.after->id);
  }
  sql += " ORDER BY t.created_at DESC, t.id DESC LIMIT :limit";
  auto rows = tx.query<TransactionRow>(sql, params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const TransactionRow& row) { return PagePosition{.at = row.created_at, .id = row.id}; });
}

Result<std::vector<TransactionRow>> LedgerQueryStore::oldest(db::Transaction& tx, const AccountId& id, UtcTime from,
                                                             UtcTime to, const std::optional<PagePosition>& after,
                                                             std::int64_t limit) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM transactions t JOIN ledger_groups g ON g.id=t.group_id WHERE t.account_id=:account AND "
      "t.created_at>=:from AND t.created_at<:to AND (t.created_at, t.id)>(:after_at, :after_id) "
      "ORDER BY t.created_at, t.id LIMIT :limit",
      kLineColumns);
  const PagePosition begin = after.value_or(PagePosition{.at = from, .id = ""});
  return tx.query<TransactionRow>(
      sql,
      {{"account", id}, {"from", from}, {"to", to}, {"after_at", begin.at}, {"after_id", begin.id}, {"limit", limit}});
}

Result<std::optional<TransactionRow>> LedgerQueryStore::line_of(db::Transaction& tx, const std::string& group_id,
                                                                const AccountId& id) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM transactions t JOIN ledger_groups g ON g.id=t.group_id WHERE t.group_id=:group AND "
      "t.account_id=:account ORDER BY t.line_no LIMIT 1",
      kLineColumns);
  return tx.query_one<TransactionRow>(sql, {{"group", group_id}, {"account", id}});
}

std::string_view LedgerQueryStore::sum_of_months_sql() {
  return "SELECT COALESCE(SUM(amount_micros), 0) FROM account_months WHERE account_id=:account AND "
         "month_start_at>=:from AND month_start_at<:before";
}

Result<UsdMicros> LedgerQueryStore::sum_of_months(db::Transaction& tx, const AccountId& id, std::optional<UtcTime> from,
                                                  UtcTime before) const {
  const auto found = tx.query_one<UsdMicros>(
      sum_of_months_sql(), {{"account", id}, {"from", from.value_or(UtcTime::min())}, {"before", before}});
  if (!found) return std::unexpected(found.error());
  return found->value_or(UsdMicros{});
}

Result<std::vector<UsageRow>> LedgerQueryStore::usage(db::Transaction& tx, const AccountId& id, UtcTime from,
                                                      UtcTime to, UsageGroup group, std::int64_t limit) const {
  struct Form {
    std::string_view columns, by;
  };
  const Form form = [&]() -> Form {
    switch (group) {
      case UsageGroup::hour: return {"at AS period_start_at, NULL AS deployment_id, NULL AS app_id", "at"};
      case UsageGroup::day:
        return {"at - at % 86400000 AS period_start_at, NULL AS deployment_id, NULL AS app_id", "at - at % 86400000"};
      case UsageGroup::deployment: return {"NULL AS period_start_at, deployment_id, NULL AS app_id", "deployment_id"};
      case UsageGroup::app: return {"NULL AS period_start_at, NULL AS deployment_id, app_id", "app_id"};
    }
    return {};
  }();
  const std::string sql = fmt::format(
      "SELECT {0}, SUM(billed_ms) AS billed_ms, SUM(gross_micros) AS gross_micros FROM "
      "(SELECT hour_start_at AS at, deployment_id, app_id, billed_ms, gross_micros FROM usage_charges "
      "WHERE account_id=:account AND hour_start_at>=:from AND hour_start_at<:to UNION ALL "
      "SELECT day_start_at, deployment_id, app_id, billed_ms, gross_micros FROM usage_daily "
      "WHERE account_id=:account AND day_start_at>=:from AND day_start_at<:to) AS charged "
      "GROUP BY {1} ORDER BY ({1}) IS NOT NULL, {1} LIMIT :limit",
      form.columns, form.by);
  return tx.query<UsageRow>(sql, {{"account", id}, {"from", from}, {"to", to}, {"limit", limit}});
}

}  // namespace ee::cp
