#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/random.h"
#include "cp/domain/cursor.h"
#include "cp/integration/stripe/stripe_client.h"
#include "cp/service/deposit_ledger.h"
#include "cp/service/deposits_api.h"
#include "cp/service/job_summary.h"
#include "cp/service/stripe_settings.h"
#include "cp/store/idempotency_store.h"
#include "db/database.h"

namespace ee::cp {

/// Deposits of money through Stripe (04 sections 9.1, 9.2). A deposit's row is committed before Stripe is asked, so no
/// intent exists without one; a create that did not end is repeated with the same key, which means the same intent.
/// Thread-safe; calls block and wait for Stripe.
class Deposits {
 public:
  struct Parts {
    db::Database& database;
    stripe::StripeClient& stripe;
    const DepositLedger& ledger;
    Clock& clock;
    Random& random;
    StripeSettingsSource settings;
    std::string instance_id = {};  ///< goes into the intent's metadata: tells our intents from others of that account
  };
  /// All outlive it.
  explicit Deposits(Parts parts) : parts_(std::move(parts)) {}

  struct Created {
    DepositCreated answer = {};
    bool replayed = false;
  };
  /// A new deposit and its intent. With `request` a repetition answers from the same deposit as it is then, and takes
  /// up a create that did not end.
  /// Errors: stripe_not_configured, invalid_amount, idempotency_key_reused, rate_limited (ten in an hour),
  /// too_many_pending_deposits, stripe_error, stripe_unavailable (the deposit stays; the same request goes on with it).
  Result<Created> create(const AccountId& account, std::string_view amount,
                         const std::optional<IdempotentRequest>& request, const Actor& actor,
                         const stripe::CallContext& context);
  /// Errors: not_found.
  Result<DepositView> get(const AccountId& account, std::string_view id) const;
  /// The same with the client secret, read from Stripe while it is unpaid. Errors: also Stripe's.
  Result<std::string> get_with_secret(const AccountId& account, std::string_view id,
                                      const stripe::CallContext& context) const;
  /// Newest first.
  Result<DepositPage> list(const AccountId& account, const PageRequest& page, const CursorCodec& cursors) const;
  /// Cancels one that is unpaid; one that is cancelled already is answered as it is.
  /// Errors: not_found, deposit_not_cancelable, Stripe's.
  Result<DepositView> cancel(const AccountId& account, std::string_view id, const Actor& actor,
                             const stripe::CallContext& context);

  static constexpr std::int64_t kReconcileBatch = 100;
  /// One pass of the job `deposit_reconcile`: repeats creates that did not end, asks Stripe about unpaid deposits, and
  /// cancels those of 72 hours. Every step is safe to repeat.
  Result<JobSummary> reconcile(const std::stop_token& stop, SteadyTime deadline);

 private:
  struct Begun {
    DepositRow row = {};
    bool replayed = false;
  };
  struct Opened {
    DepositRow row = {};
    stripe::PaymentIntent intent = {};
  };
  Result<Begun> begin(const AccountId& account, std::string_view amount, const StripeSettings& settings,
                      const std::optional<IdempotentRequest>& request, const Actor& actor);
  Result<void> check_pace(db::Transaction& tx, const AccountId& account, UtcTime now) const;
  Result<Opened> open_intent(const DepositRow& row, const Actor& actor, const stripe::CallContext& context);
  Result<DepositRow> find(const AccountId& account, std::string_view id) const;
  Result<DepositRow> take_over(const std::string& id, const stripe::PaymentIntent& intent, const Actor& actor);
  Result<void> look_again(const std::string& id, Seconds after);

  enum class Checked : std::uint8_t { settled, waiting, unavailable };
  Result<Checked> check(const DepositRow& row, const stripe::CallContext& context);
  Result<Checked> check_intent(const DepositRow& row, const stripe::CallContext& context);

  Parts parts_;
  DepositStore deposits_;
  IdempotencyStore idempotency_;
};

/// What a call of Stripe that did not work is for our own caller: stripe_unavailable or stripe_error.
Error service_error(const stripe::StripeError& error);

}  // namespace ee::cp
