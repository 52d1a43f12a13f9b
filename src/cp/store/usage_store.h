#pragma once
#include <string>
#include <vector>

#include "common/id.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// Rolls rows of `usage_charges` up into `usage_daily` (04 section 7.4). Stateless.
class UsageStore {
 public:
  /// Accounts after `after` that have usage of hours before `before`, in their order.
  Result<std::vector<AccountId>> accounts_with_old(db::Transaction& tx, const AccountId& after, UtcTime before,
                                                   std::int64_t limit) const;
  /// Moves the account's oldest rows of hours before `before` into their days, at most `limit`; how many.
  Result<std::int64_t> roll_up(db::Transaction& tx, const AccountId& account, UtcTime before, std::int64_t limit) const;
};

}  // namespace ee::cp
