#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/random.h"
#include "cp/integration/stripe/stripe_types.h"
#include "cp/service/actor.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/deposit_store.h"
#include "cp/store/ledger_store.h"

namespace ee::cp {

/// What became of something that Stripe told. A reason is a slug; nothing was posted then.
struct StripeVerdict {
  bool matched = true;
  std::string_view reason = {};  ///< points at a literal
  static StripeVerdict unmatched(std::string_view why) { return {.matched = false, .reason = why}; }
};

/// Turns what Stripe says of a deposit into its state, the ledger's lines and audit rows (04 sections 9.2, 9.3), all in
/// the caller's transaction: nothing of it, or all. Every fact has one key in the ledger, so it is posted once however
/// often it is told. Thread-safe.
class DepositLedger {
 public:
  /// `random` outlives it. `before_post` (tests): runs before each posting. `conflict`: told of a key that was posted
  /// with other lines, see `noted`.
  explicit DepositLedger(Random& random, std::function<void()> before_post = {},
                         std::function<void(const Error&)> conflict = {})
      : random_(random), ledger_(random), before_post_(std::move(before_post)), conflict_(std::move(conflict)) {}

  /// Passes on what a write returned that called this. Every caller wraps its write in it, since a conflict of keys is
  /// written down in a transaction of its own.
  template <class T>
  Result<T> noted(Result<T> result) const {
    if (!result && result.error().code == ErrorCode::ledger_key_conflict && conflict_) conflict_(result.error());
    return result;
  }

  /// Why an intent is not that of this deposit; nothing when it is: `account_mismatch`, `currency_mismatch`,
  /// `intent_mismatch`, `nothing_received` (of one that says that it succeeded).
  static std::optional<std::string_view> mismatch(const DepositRow& deposit, const stripe::PaymentIntent& intent);

  /// Moves the deposit to what its intent says, if that is news (`next_status`), and posts what was received. Requires
  /// an intent without mismatch. `deposit` is changed with its row. Errors: of the database and the ledger.
  Result<void> intent_said(db::Transaction& tx, DepositRow& deposit, const stripe::PaymentIntent& intent,
                           DepositStatus said, const Actor& actor, UtcTime now) const;
  /// The intent could not be made, for good.
  Result<void> create_refused(db::Transaction& tx, DepositRow& deposit, const std::string& code, const Actor& actor,
                              UtcTime now) const;

  /// A refund as it stands now, of a deposit that succeeded. One that exceeds the deposit is kept, and posted when
  /// another one of the deposit has been given back.
  Result<StripeVerdict> refund_said(db::Transaction& tx, DepositRow& deposit, const stripe::Refund& refund,
                                    const Actor& actor, UtcTime now) const;

  enum class DisputeNews : std::uint8_t { created, withdrawn, reinstated, closed };
  struct DisputeTold {
    DisputeNews news = DisputeNews::created;
    UtcTime at;  ///< Stripe's time of the event
  };
  /// News of a dispute about a deposit that succeeded.
  Result<StripeVerdict> dispute_said(db::Transaction& tx, DepositRow& deposit, const stripe::Dispute& dispute,
                                     const DisputeTold& told, const Actor& actor, UtcTime now) const;

  /// An audit row about `deposit` (04 section 12).
  Result<void> audit(db::Transaction& tx, std::string_view action, const DepositRow& deposit, const Actor& actor,
                     UtcTime now, std::string_view detail_members = {}) const;

 private:
  Result<std::string> post(db::Transaction& tx, const LedgerPosting& posting, UtcTime now) const;
  Result<void> move_money(db::Transaction& tx, DepositRow& deposit, StripeObjectRow& object, StripeMoney to,
                          const Actor& actor, UtcTime now) const;
  Result<void> post_waiting(db::Transaction& tx, DepositRow& deposit, const Actor& actor, UtcTime now) const;
  Result<void> move_dispute(db::Transaction& tx, DepositRow& deposit, StripeObjectRow& object,
                            const stripe::Dispute& dispute, const DisputeTold& told, const Actor& actor,
                            UtcTime now) const;
  Result<void> close_dispute(db::Transaction& tx, const DepositRow& deposit, StripeObjectRow& object,
                             const stripe::Dispute& dispute, bool known, UtcTime now) const;

  Random& random_;
  DepositStore deposits_;
  LedgerStore ledger_;
  AuditLogStore audit_;
  std::function<void()> before_post_;
  std::function<void(const Error&)> conflict_;
};

/// The state of a deposit that an intent's own state means.
DepositStatus status_of(stripe::IntentStatus status);

}  // namespace ee::cp
