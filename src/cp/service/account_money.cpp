#include "cp/service/account_money.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "cp/domain/month.h"

namespace ee::cp {

namespace {
constexpr std::chrono::days kUsageRangeDefault{30};

/// A sum that stays at the ends of 64 bits.
UsdMicros added(UsdMicros a, UsdMicros b) {
  constexpr std::int64_t kLow = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kHigh = std::numeric_limits<std::int64_t>::max();
  if (b.value > 0 && a.value > kHigh - b.value) return {kHigh};
  if (b.value < 0 && a.value < kLow - b.value) return {kLow};
  return {a.value + b.value};
}
UsdMicros negated(UsdMicros a) {
  return {a.value == std::numeric_limits<std::int64_t>::min() ? std::numeric_limits<std::int64_t>::max() : -a.value};
}
}  // namespace

TransactionView view_of(const TransactionRow& row) {
  return {.id = row.id,
          .group_id = row.group_id,
          .amount = row.amount_micros,
          .tx_type = row.tx_type,
          .period_start_at = row.period_start_at,
          .reference_type = row.reference_type,
          .reference_id = row.reference_id,
          .description = row.description,
          .created_at = row.created_at};
}

Result<BalanceView> AccountMoney::balance(const AccountId& account) const {
  const UtcTime now = clock_.now();
  const auto funds = database_.read<FundsRow>([&](db::Transaction& tx) { return store_.funds(tx, account, now); });
  if (!funds) return std::unexpected(funds.error());
  const UsdMicros available = added(added(funds->balance, negated(funds->accrued)), funds->credit_limit);
  std::optional<std::int64_t> runway;
  if (funds->burn_per_hour.value > 0) runway = std::max<std::int64_t>(available.value, 0) / funds->burn_per_hour.value;
  return BalanceView{.balance = funds->balance,
                     .accrued = funds->accrued,
                     .available = available,
                     .burn_per_hour = funds->burn_per_hour,
                     .runway_hours = runway,
                     .billing_state = funds->billing_state,
                     .grace_ends_at = funds->grace_ends_at,
                     .credit_limit = funds->credit_limit,
                     .computed_at = now};
}

Result<TransactionPage> AccountMoney::transactions(const AccountId& account, const TransactionFilter& filter,
                                                   const PageRequest& page) const {
  return database_.read<TransactionPage>([&](db::Transaction& tx) -> Result<TransactionPage> {
    if (const auto known = store_.account(tx, account); !known) return std::unexpected(known.error());
    const auto rows = store_.newest(tx, account, filter, page);
    if (!rows) return std::unexpected(rows.error());
    TransactionPage out;
    out.items.reserve(rows->items.size());
    for (const TransactionRow& row : rows->items) out.items.push_back(view_of(row));
    out.next_cursor = cursors_.encode("transactions", rows->next);
    return out;
  });
}

Result<UsageView> AccountMoney::usage(const AccountId& account, std::optional<UtcTime> from_asked,
                                      std::optional<UtcTime> to_asked, UsageGroup group) const {
  const UtcTime to = to_asked.value_or(clock_.now());
  const UtcTime from = from_asked.value_or(to - kUsageRangeDefault);
  if (from > to)
    return fail(Error{.code = ErrorCode::invalid_request,
                      .detail = {},
                      .fields = {{.field = "from", .code = "above_max", .detail = "not after `to`"}}});
  if (to - from > kUsageRangeMax) return fail(ErrorCode::range_too_large, "at most 92 days");
  return database_.read<UsageView>([&](db::Transaction& tx) -> Result<UsageView> {
    if (const auto known = store_.account(tx, account); !known) return std::unexpected(known.error());
    const auto rows = store_.usage(tx, account, from, to, group, kUsageGroupsMax + 1);
    if (!rows) return std::unexpected(rows.error());
    if (static_cast<std::int64_t>(rows->size()) > kUsageGroupsMax)
      return fail(ErrorCode::range_too_large, "more than 5,000 groups");
    UsageView out;
    out.items.reserve(rows->size());
    for (const UsageRow& row : *rows) {
      out.items.push_back({.period_start_at = row.period_start_at,
                           .deployment_id = row.deployment_id,
                           .app_id = row.app_id,
                           .billed_seconds = row.billed_ms / 1000,
                           .amount = row.gross_micros});
      out.total = added(out.total, row.gross_micros);
    }
    return out;
  });
}

Result<StatementPage> AccountMoney::statements(const AccountId& account, const PageRequest& page) const {
  const UtcTime now = clock_.now();
  return database_.read<StatementPage>([&](db::Transaction& tx) -> Result<StatementPage> {
    const auto known = store_.account(tx, account);
    if (!known) return std::unexpected(known.error());
    const Month first = Month::of(known->created_at);
    Month month = page.after ? Month::of(page.after->at).previous() : Month::of(now);
    StatementPage out;
    for (; month >= first && static_cast<std::int64_t>(out.items.size()) < page.limit; month = month.previous()) {
      // Going back, each month closes with what the one after it opened with.
      UsdMicros closing;
      if (out.items.empty()) {
        const auto sum = store_.sum_of_months(tx, account, std::nullopt, month.end());
        if (!sum) return std::unexpected(sum.error());
        closing = *sum;
      } else {
        closing = out.items.back().opening_balance;
      }
      const auto within = store_.sum_of_months(tx, account, month.begin(), month.end());
      if (!within) return std::unexpected(within.error());
      out.items.push_back({.month = month.text(),
                           .opening_balance = added(closing, negated(*within)),
                           .closing_balance = closing,
                           .complete = month.end() <= now});
    }
    if (month >= first && !out.items.empty()) {
      const Month last = month.next();
      out.next_cursor = cursors_.encode("statements", PagePosition{.at = last.begin(), .id = last.text()});
    }
    return out;
  });
}

Result<StatementReader> AccountMoney::statement(const AccountId& account, std::string_view month_text,
                                                StatementFormat format) const {
  const UtcTime now = clock_.now();
  const auto month = Month::parse(month_text);
  const auto opening = database_.read<UsdMicros>([&](db::Transaction& tx) -> Result<UsdMicros> {
    const auto known = store_.account(tx, account);
    if (!known) return std::unexpected(known.error());
    if (!month || *month > Month::of(now) || *month < Month::of(known->created_at))
      return fail(ErrorCode::statement_not_found);
    return store_.sum_of_months(tx, account, std::nullopt, month->begin());
  });
  if (!opening) return std::unexpected(opening.error());
  return StatementReader(database_, account, *month,
                         StatementWriter(format, account.str(), month->text(), month->end() <= now, *opening));
}

}  // namespace ee::cp
