#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "cp/domain/cursor.h"
#include "cp/service/ledger_api.h"
#include "cp/service/statement_reader.h"
#include "cp/store/ledger_query_store.h"
#include "db/database.h"

namespace ee::cp {

enum class StatementFormat : std::uint8_t { json, csv };
BOOST_DESCRIBE_ENUM(StatementFormat, json, csv)

/// What accounts see of their money (04 section 6.4). An account that does not exist, or is one of the system's, is
/// `account_not_found`. Thread-safe; the references outlive it.
class AccountMoney {
 public:
  static constexpr std::int64_t kUsageGroupsMax = 5000;
  static constexpr std::chrono::days kUsageRangeMax{92};

  AccountMoney(db::Database& database, const Clock& clock, const CursorCodec& cursors)
      : database_(database), clock_(clock), cursors_(cursors) {}

  Result<BalanceView> balance(const AccountId& account) const;
  /// Newest first.
  Result<TransactionPage> transactions(const AccountId& account, const TransactionFilter& filter,
                                       const PageRequest& page) const;
  /// Without `to`: until now; without `from`: the 30 days before. Errors: `invalid_request` (from after to),
  /// `range_too_large`.
  Result<UsageView> usage(const AccountId& account, std::optional<UtcTime> from, std::optional<UtcTime> to,
                          UsageGroup group) const;
  /// Months from the present one back to the account's first.
  Result<StatementPage> statements(const AccountId& account, const PageRequest& page) const;
  /// A statement, to be read piece by piece. Errors: `statement_not_found`.
  Result<StatementReader> statement(const AccountId& account, std::string_view month, StatementFormat format) const;

 private:
  db::Database& database_;
  const Clock& clock_;
  const CursorCodec& cursors_;
  LedgerQueryStore store_;
};

}  // namespace ee::cp
