#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/id.h"
#include "cp/domain/funds.h"
#include "db/database.h"

namespace ee::cp {

/// The money side of an account.
struct AccountFunds {
  AccountId account_id = {};
  UsdMicros balance_micros = {};
  std::int64_t version = 0;  ///< of the balance
  BillingState billing_state = BillingState::ok;
  std::optional<UtcTime> grace_ends_at = {};
  bool dispute_hold = false;
  UsdMicros credit_limit_micros = {};
  std::optional<UsdMicros> spend_limit_micros = {};
  SpendLimitAction spend_limit_action = SpendLimitAction::block;
};
BOOST_DESCRIBE_STRUCT(AccountFunds, (),
                      (account_id, balance_micros, version, billing_state, grace_ends_at, dispute_hold,
                       credit_limit_micros, spend_limit_micros, spend_limit_action))

/// The same with what the account has used and not been charged for, and what it burns per hour.
struct FundsOfAccount {
  AccountId account_id = {};
  UsdMicros balance_micros = {};
  std::int64_t version = 0;
  BillingState billing_state = BillingState::ok;
  std::optional<UtcTime> grace_ends_at = {};
  bool dispute_hold = false;
  UsdMicros credit_limit_micros = {};
  std::optional<UsdMicros> spend_limit_micros = {};
  SpendLimitAction spend_limit_action = SpendLimitAction::block;
  UsdMicros accrued = {};
  UsdMicros burn = {};
};
BOOST_DESCRIBE_STRUCT(FundsOfAccount, (),
                      (account_id, balance_micros, version, billing_state, grace_ends_at, dispute_hold,
                       credit_limit_micros, spend_limit_micros, spend_limit_action, accrued, burn))

/// Funds of accounts over `account_balances`, `accounts`, `deployment_segments` and `transactions` (04 section 8).
/// Stateless.
class FundsStore {
 public:
  /// Nothing: no such account.
  Result<std::optional<AccountFunds>> find(db::Transaction& tx, const AccountId& account) const;
  /// A page, by account, of those with segments that are not settled or a state other than ok; at most `limit`.
  Result<std::vector<FundsOfAccount>> page(db::Transaction& tx, const AccountId& after, UtcTime now,
                                           std::int64_t limit) const;
  /// What the account was charged for hours since `month`, as a positive amount.
  Result<UsdMicros> charged_since(db::Transaction& tx, const AccountId& account, UtcTime month) const;
  /// Changes the state when nobody has changed it or the balance meanwhile; whether it did.
  Result<bool> change_state(db::Transaction& tx, const FundsOfAccount& seen, BillingState to,
                            std::optional<UtcTime> grace_ends_at, UtcTime now) const;
  /// Accounts in each state; states without accounts are absent.
  struct StateCount {
    BillingState state = BillingState::ok;
    std::int64_t accounts = 0;
    BOOST_DESCRIBE_CLASS(StateCount, (), (state, accounts), (), ())
  };
  Result<std::vector<StateCount>> by_state(db::Transaction& tx) const;
};

}  // namespace ee::cp
