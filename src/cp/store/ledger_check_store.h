#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/id.h"
#include "common/money.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// A balance as it is kept, to be compared with the lines.
struct KeptBalance {
  AccountId account_id = {};
  UsdMicros balance_micros = {};
  std::int64_t version = 0;
  std::int64_t verified_version = 0;
};
BOOST_DESCRIBE_STRUCT(KeptBalance, (), (account_id, balance_micros, version, verified_version))

/// A group whose lines do not make it up, or a line that no group has.
struct BrokenGroup {
  std::string id = {};
  std::int64_t line_count = 0;  ///< what the header says; 0 without one
  std::int64_t lines = 0;
  UsdMicros sum = {};
};
BOOST_DESCRIBE_STRUCT(BrokenGroup, (), (id, line_count, lines, sum))

/// Usage of one account in one group that is not what the group's lines charged it.
struct UsageDifference {
  std::string group_id = {};
  UsdMicros usage = {};
  UsdMicros charged = {};
};

/// A month of which the table says another sum than its lines. Amounts in micro-dollars.
struct MonthDifference {
  UtcTime month_start_at = {};
  UsdMicros lines = {};
  UsdMicros kept = {};
};

/// What an account's lines sum to.
struct SumOfLines {
  UsdMicros total = {};
  std::optional<MonthDifference> month = {};  ///< the first that is wrong
};

/// A step through the ids of a table: how many rows it saw and where the next begins; nothing after the last.
template <class T>
struct CheckedPage {
  std::vector<T> broken = {};
  std::int64_t seen = 0;
  std::optional<std::string> next = {};
};

/// What the check of the ledger reads and marks (04 section 6.3). All statements are bounded, so that a long ledger
/// never meets a reader's time limit. Stateless.
class LedgerCheckStore {
 public:
  /// Balances by account id, after `after`; with `changed_only` those that changed since they were last verified.
  Result<std::vector<KeptBalance>> balances(db::Transaction& tx, const AccountId& after, bool changed_only,
                                            std::int64_t limit) const;
  /// What the account's lines sum to, added up month by month and compared with what is kept of each month.
  Result<SumOfLines> sum_of_lines(db::Transaction& tx, const AccountId& account) const;
  /// Notes which version was found right.
  Result<void> mark_verified(db::Transaction& tx, const AccountId& account, std::int64_t version) const;

  /// Walks all groups: those that are incomplete or do not sum to zero.
  Result<CheckedPage<BrokenGroup>> groups(db::Transaction& tx, const std::string& after, std::int64_t limit) const;
  /// Walks all lines: those without a header.
  Result<CheckedPage<BrokenGroup>> orphans(db::Transaction& tx, const std::string& after, std::int64_t limit) const;
  /// Usage of the hours in [from, to) against the account's `charge` lines. Of [from, to) nothing may be rolled up yet.
  Result<std::vector<UsageDifference>> usage(db::Transaction& tx, const AccountId& account, UtcTime from,
                                             UtcTime to) const;

  /// Sets the sums of the months to what the lines say. For a repair while nothing else runs.
  Result<void> set_months(db::Transaction& tx, const AccountId& account) const;
  /// Sets a balance to what the lines say. For a repair while nothing else runs.
  Result<void> set_balance(db::Transaction& tx, const AccountId& account, UsdMicros balance, UtcTime now) const;
};

}  // namespace ee::cp
