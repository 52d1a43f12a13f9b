#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/money.h"
#include "cp/domain/cursor.h"
#include "cp/domain/ledger.h"
#include "db/database.h"

namespace ee::cp {

/// What is known of an account's money (tables `accounts`, `account_balances`, `deployment_segments`).
struct FundsRow {
  UsdMicros balance = {};
  UsdMicros credit_limit = {};
  std::string billing_state = {};
  std::optional<UtcTime> grace_ends_at = {};
  UsdMicros accrued = {};        ///< used and not charged yet; of each segment rounded down
  UsdMicros burn_per_hour = {};  ///< rates of the open segments
};

/// An account that a request may name.
struct LedgerAccountRow {
  AccountId id = {};
  std::string status = {};
  UsdMicros credit_limit_micros = {};
  UtcTime created_at = {};
};
BOOST_DESCRIBE_STRUCT(LedgerAccountRow, (), (id, status, credit_limit_micros, created_at))

/// A line with what its group says.
struct TransactionRow {
  std::string id = {};
  std::string group_id = {};
  UsdMicros amount_micros = {};
  TransactionType tx_type = TransactionType::adjustment;
  std::optional<UtcTime> period_start_at = {};
  std::optional<std::string> reference_type = {};
  std::optional<std::string> reference_id = {};
  std::string description = {};
  UtcTime created_at = {};
};
BOOST_DESCRIBE_STRUCT(TransactionRow, (),
                      (id, group_id, amount_micros, tx_type, period_start_at, reference_type, reference_id, description,
                       created_at))

struct TransactionFilter {
  std::optional<TransactionType> type = {};
  std::optional<UtcTime> from = {};  ///< from then on
  std::optional<UtcTime> to = {};    ///< before then
};

enum class UsageGroup : std::uint8_t { hour, day, deployment, app };
BOOST_DESCRIBE_ENUM(UsageGroup, hour, day, deployment, app)

/// Charged use of one group; what it is not grouped by is absent.
struct UsageRow {
  std::optional<UtcTime> period_start_at = {};
  std::optional<std::string> deployment_id = {};
  std::optional<std::string> app_id = {};
  std::int64_t billed_ms = 0;
  UsdMicros gross_micros = {};
};
BOOST_DESCRIBE_STRUCT(UsageRow, (), (period_start_at, deployment_id, app_id, billed_ms, gross_micros))

/// Reads of the ledger, for answers (04 section 6.4). Stateless.
class LedgerQueryStore {
 public:
  /// Errors: `account_not_found`, also for the system's accounts.
  Result<LedgerAccountRow> account(db::Transaction& tx, const AccountId& id) const;
  /// Whether this account can be paid the platform's part: it is there, active, and not one of the system's.
  Result<bool> can_be_platform(db::Transaction& tx, const AccountId& id) const;
  /// Errors: `account_not_found`.
  Result<FundsRow> funds(db::Transaction& tx, const AccountId& id, UtcTime now) const;
  Result<UsdMicros> balance(db::Transaction& tx, const AccountId& id) const;

  /// Newest first.
  Result<Page<TransactionRow>> newest(db::Transaction& tx, const AccountId& id, const TransactionFilter& filter,
                                      const PageRequest& page) const;
  /// Oldest first, of [from, to), after `after`; at most `limit`.
  Result<std::vector<TransactionRow>> oldest(db::Transaction& tx, const AccountId& id, UtcTime from, UtcTime to,
                                             const std::optional<PagePosition>& after, std::int64_t limit) const;
  /// The account's line in a group.
  Result<std::optional<TransactionRow>> line_of(db::Transaction& tx, const std::string& group_id,
                                                const AccountId& id) const;
  /// Sum of the lines of the months that begin in [from, before); nothing: from the first on. A seek over months,
  /// however many lines there are.
  Result<UsdMicros> sum_of_months(db::Transaction& tx, const AccountId& id, std::optional<UtcTime> from,
                                  UtcTime before) const;
  static std::string_view sum_of_months_sql();  ///< for tests; names :account, :from and :before

  /// Charges of the hours that begin in [from, to), the oldest group first; at most `limit`. Days whose hours were
  /// rolled up count with the time at which they begin.
  Result<std::vector<UsageRow>> usage(db::Transaction& tx, const AccountId& id, UtcTime from, UtcTime to,
                                      UsageGroup group, std::int64_t limit) const;
};

}  // namespace ee::cp
