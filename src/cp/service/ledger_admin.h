#pragma once
#include <optional>
#include <string>

#include "cp/service/actor.h"
#include "cp/service/idempotency.h"
#include "cp/service/ledger.h"
#include "cp/service/ledger_api.h"

namespace ee::cp {

/// What administrators do with money (04 section 6.4): each act posts once, under the request's Idempotency-Key, and
/// writes one audit row with the amounts before and after, all in one transaction. An account that does not exist, or
/// is one of the system's, is `account_not_found`. Thread-safe; the references outlive it.
class LedgerAdmin {
 public:
  struct Parts {
    db::Database& database;
    const Clock& clock;
    Random& random;
    LedgerAlarm& alarm;
    const Ledger& ledger;
  };
  explicit LedgerAdmin(Parts parts) : parts_(parts), idempotency_(parts.database, parts.clock) {}

  /// Gives money: above zero, at most 100,000 dollars. `request` is that of the route, with its key. The answer is the
  /// account's line (TransactionView). Errors: `invalid_amount`, `billing_halted`, `account_closed`,
  /// `idempotency_key_reused`.
  Result<IdempotentAnswer> credit(const AccountId& account, const CreditRequest& wanted,
                                  const IdempotentRequest& request, const Actor& actor) const;
  /// Corrects a balance, either way; also while billing is halted, and of a closed account.
  Result<IdempotentAnswer> adjust(const AccountId& account, const MoneyMoveRequest& wanted,
                                  const IdempotentRequest& request, const Actor& actor) const;
  /// Records that money was paid out. Errors: also `insufficient_funds`.
  Result<IdempotentAnswer> payout(const AccountId& account, const MoneyMoveRequest& wanted,
                                  const IdempotentRequest& request, const Actor& actor) const;

  /// Errors: `invalid_amount`.
  Result<LimitsView> set_limits(const AccountId& account, const LimitsRequest& wanted, const Actor& actor) const;
  /// Lifts the halt; saying it again is fine. Of a halt for a leap of the clock it says that the clock is right.
  Result<BillingHaltView> resume(const std::string& reason, const Actor& actor) const;

 private:
  struct Move;
  Result<IdempotentAnswer> post(const Move& move, const IdempotentRequest& request, const Actor& actor) const;
  Result<EffectAnswer> effect(db::Transaction& tx, const Move& move, const std::string& key, const Actor& actor) const;
  Result<void> audit(db::Transaction& tx, std::string_view action, const std::optional<AccountId>& account,
                     const Actor& actor, const std::string& detail) const;

  Parts parts_;
  Idempotency idempotency_;
  LedgerQueryStore queries_;
  BillingMetaStore meta_;
};

}  // namespace ee::cp
