#pragma once
#include <array>
#include <boost/describe.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "cp/domain/amount.h"
#include "cp/store/ledger_query_store.h"

/// JSON bodies of the routes of money (04 section 6.4).
namespace ee::cp {

/// `POST .../credit`.
struct CreditRequest {
  std::string amount;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(CreditRequest, (), (amount, reason))
constexpr auto json_rules(json::For<CreditRequest>) {
  return std::array{json::field("amount").matching(is_amount_text, kAmountPattern).describe("Dollars, above zero."),
                    json::field("reason").length(1, 500)};
}
constexpr std::string_view json_name(json::For<CreditRequest>) { return "CreditRequest"; }

/// `POST .../adjust` (either sign) and `POST .../payout`.
struct MoneyMoveRequest {
  std::string amount;
  std::string reason;
  std::optional<std::string> external_reference;
};
BOOST_DESCRIBE_STRUCT(MoneyMoveRequest, (), (amount, reason, external_reference))
constexpr auto json_rules(json::For<MoneyMoveRequest>) {
  return std::array{json::field("amount").matching(is_amount_text, kAmountPattern).describe("Dollars."),
                    json::field("reason").length(1, 500), json::field("external_reference").length(1, 200)};
}
constexpr std::string_view json_name(json::For<MoneyMoveRequest>) { return "MoneyMoveRequest"; }

/// `PUT .../limits`.
struct LimitsRequest {
  std::string credit_limit;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(LimitsRequest, (), (credit_limit, reason))
constexpr auto json_rules(json::For<LimitsRequest>) {
  return std::array{
      json::field("credit_limit").matching(is_amount_text, kAmountPattern).describe("Dollars, zero or more."),
      json::field("reason").length(1, 500)};
}
constexpr std::string_view json_name(json::For<LimitsRequest>) { return "LimitsRequest"; }

struct LimitsView {
  std::string account_id;
  UsdMicros credit_limit;
};
BOOST_DESCRIBE_STRUCT(LimitsView, (), (account_id, credit_limit))
constexpr std::string_view json_name(json::For<LimitsView>) { return "AccountLimits"; }

/// `POST /api/v1/admin/billing/resume`.
struct ReasonRequest {
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(ReasonRequest, (), (reason))
constexpr auto json_rules(json::For<ReasonRequest>) { return std::array{json::field("reason").length(1, 500)}; }
constexpr std::string_view json_name(json::For<ReasonRequest>) { return "BillingReason"; }

struct BillingHaltView {
  bool halted = false;
  bool was_halted = false;
};
BOOST_DESCRIBE_STRUCT(BillingHaltView, (), (halted, was_halted))
constexpr std::string_view json_name(json::For<BillingHaltView>) { return "BillingHalt"; }

/// `GET .../balance`.
struct BalanceView {
  UsdMicros balance;
  UsdMicros accrued;    ///< used, not yet charged
  UsdMicros available;  ///< balance - accrued + credit limit
  UsdMicros burn_per_hour;
  std::optional<std::int64_t> runway_hours;  ///< whole hours; null when nothing runs
  std::string billing_state;
  std::optional<UtcTime> grace_ends_at;
  UsdMicros credit_limit;
  UtcTime computed_at;
};
BOOST_DESCRIBE_STRUCT(BalanceView, (),
                      (balance, accrued, available, burn_per_hour, runway_hours, billing_state, grace_ends_at,
                       credit_limit, computed_at))
constexpr std::string_view json_name(json::For<BalanceView>) { return "Balance"; }

/// A line of an account.
struct TransactionView {
  std::string id;
  std::string group_id;
  UsdMicros amount;
  TransactionType tx_type = TransactionType::adjustment;
  std::optional<UtcTime> period_start_at;
  std::optional<std::string> reference_type;
  std::optional<std::string> reference_id;
  std::string description;
  UtcTime created_at;
};
BOOST_DESCRIBE_STRUCT(TransactionView, (),
                      (id, group_id, amount, tx_type, period_start_at, reference_type, reference_id, description,
                       created_at))
constexpr std::string_view json_name(json::For<TransactionView>) { return "Transaction"; }
TransactionView view_of(const TransactionRow& row);

struct TransactionPage {
  std::vector<TransactionView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(TransactionPage, (), (items, next_cursor))

struct UsageItem {
  std::optional<UtcTime> period_start_at;
  std::optional<std::string> deployment_id;
  std::optional<std::string> app_id;
  std::int64_t billed_seconds = 0;
  UsdMicros amount;
};
BOOST_DESCRIBE_STRUCT(UsageItem, (), (period_start_at, deployment_id, app_id, billed_seconds, amount))
constexpr std::string_view json_name(json::For<UsageItem>) { return "UsageItem"; }

/// `GET .../usage`.
struct UsageView {
  std::vector<UsageItem> items;
  UsdMicros total;
};
BOOST_DESCRIBE_STRUCT(UsageView, (), (items, total))
constexpr std::string_view json_name(json::For<UsageView>) { return "Usage"; }

/// An item of `GET .../statements`.
struct StatementSummary {
  std::string month;  ///< `yyyy-mm`, UTC
  UsdMicros opening_balance;
  UsdMicros closing_balance;
  bool complete = false;  ///< the month is over
};
BOOST_DESCRIBE_STRUCT(StatementSummary, (), (month, opening_balance, closing_balance, complete))
constexpr std::string_view json_name(json::For<StatementSummary>) { return "StatementSummary"; }

struct StatementPage {
  std::vector<StatementSummary> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(StatementPage, (), (items, next_cursor))

/// A line of a statement and the balance after it.
struct StatementLine {
  UtcTime created_at;
  std::string id;
  std::string group_id;
  TransactionType tx_type = TransactionType::adjustment;
  UsdMicros amount;
  UsdMicros balance;
  std::optional<UtcTime> period_start_at;
  std::optional<std::string> reference_type;
  std::optional<std::string> reference_id;
  std::string description;
};
BOOST_DESCRIBE_STRUCT(StatementLine, (),
                      (created_at, id, group_id, tx_type, amount, balance, period_start_at, reference_type,
                       reference_id, description))
constexpr std::string_view json_name(json::For<StatementLine>) { return "StatementLine"; }

/// `GET .../statements/{yyyy-mm}`. Its text is written page by page, in the order of these members.
struct StatementView {
  std::string account_id;
  std::string month;
  bool complete = false;
  UsdMicros opening_balance;
  std::vector<StatementLine> lines;
  std::map<std::string, UsdMicros> totals;  ///< by tx_type
  UsdMicros closing_balance;
};
BOOST_DESCRIBE_STRUCT(StatementView, (), (account_id, month, complete, opening_balance, lines, totals, closing_balance))
constexpr std::string_view json_name(json::For<StatementView>) { return "Statement"; }

}  // namespace ee::cp
