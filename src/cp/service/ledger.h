#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/money.h"
#include "common/random.h"
#include "cp/store/billing_meta_store.h"
#include "cp/store/ledger_query_store.h"
#include "cp/store/ledger_store.h"
#include "db/database.h"

namespace ee::cp {

/// Why capacity is paid back: it was not delivered, or an administrator decided so. Each happens once at most.
enum class CapacityRefundCause : std::uint8_t { undelivered, admin };
BOOST_DESCRIBE_ENUM(CapacityRefundCause, undelivered, admin)

/// Whether the ledger is sound, as the last check and the administrators left it. What health looks at: never waits.
/// Thread-safe.
class LedgerAlarm {
 public:
  explicit LedgerAlarm(metrics::Registry& metrics);
  bool raised() const { return raised_; }
  void raise();
  void clear();
  void key_conflict() const { conflicts_.increment(); }

 private:
  std::atomic<bool> raised_ = false;
  metrics::Gauge failed_;
  metrics::Counter conflicts_;
};

/// The ledger for other services: posting with what belongs around it, and the charges of capacity (04 section 6.2).
/// Thread-safe; the references outlive it.
class Ledger {
 public:
  struct Parts {
    db::Database& database;
    const Clock& clock;
    Random& random;
    LedgerAlarm& alarm;
    /// Setting `billing.platform_account_id`; empty: the system's own.
    std::function<std::string()> platform_account_id;
  };
  explicit Ledger(Parts parts) : parts_(std::move(parts)), store_(parts_.random) {}

  /// As LedgerStore::post, at the clock's time.
  Result<PostOutcome> post(db::Transaction& tx, const LedgerPosting& posting) const {
    return store_.post(tx, posting, parts_.clock.now());
  }
  /// Who is paid the platform's part: the account of the setting while it is active, else the system's.
  Result<AccountId> platform_account(db::Transaction& tx) const;

  /// Passes on what a write returned. A `ledger_key_conflict` among it, whose transaction was rolled back, is audited
  /// in a transaction of its own and counted. Every caller of `post` wraps its write in this.
  template <class T>
  Result<T> noted(Result<T> result) const {
    if (!result && result.error().code == ErrorCode::ledger_key_conflict) note_conflict(result.error());
    return result;
  }

  /// Takes the price of capacity from the account, which may not overdraw, and returns its new balance. `ref` is the
  /// purchase's id: the same one is charged once. Errors: `insufficient_funds`, `billing_halted`,
  /// `ledger_key_conflict`, `account_not_found`.
  Result<UsdMicros> charge(db::Transaction& tx, const AccountId& account, UsdMicros amount, std::string_view ref,
                           std::string_view actor) const;
  /// Gives back a part of what `ref` was charged to the account that paid; its new balance. Each cause counts once, and
  /// all together never give back more than was charged. Also while billing is halted. Errors: `not_found` (no such
  /// charge), `invalid_amount` (more than is left), `ledger_key_conflict` (this cause gave back another amount).
  Result<UsdMicros> refund(db::Transaction& tx, std::string_view ref, CapacityRefundCause cause, UsdMicros amount,
                           std::string_view actor) const;

 private:
  void note_conflict(const Error& error) const;

  Parts parts_;
  LedgerStore store_;
  LedgerQueryStore queries_;
  BillingMetaStore meta_;
};

}  // namespace ee::cp
