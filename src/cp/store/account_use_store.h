#pragma once
#include "common/id.h"
#include "db/database.h"

namespace ee::cp {

/// What the tables of agents, billing and deposits hold of an account: whatever keeps it from being closed. Stateless.
class AccountUseStore {
 public:
  /// Agents that are not deleted.
  Result<bool> has_agents(db::Transaction& tx, const AccountId& account) const;
  /// Segments of use that charging has not settled, or could not.
  Result<bool> has_unbilled_usage(db::Transaction& tx, const AccountId& account) const;
  /// Deposits that neither succeeded nor ended.
  Result<bool> has_pending_deposits(db::Transaction& tx, const AccountId& account) const;
  /// Agents that are not deleted and name this GitHub owner.
  Result<bool> owner_has_agents(db::Transaction& tx, std::int64_t github_id) const;
  /// The hold that a dispute left is lifted.
  Result<void> lift_dispute_hold(db::Transaction& tx, const AccountId& account, UtcTime now) const;
};

}  // namespace ee::cp
