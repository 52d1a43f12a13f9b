#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/random.h"
#include "cp/integration/stripe/event.h"
#include "cp/integration/stripe/stripe_client.h"
#include "cp/service/audit_fold.h"
#include "cp/service/deposit_ledger.h"
#include "cp/service/deposits_api.h"
#include "cp/service/failure_throttle.h"
#include "cp/service/stripe_settings.h"
#include "cp/store/stripe_event_store.h"
#include "db/database.h"

namespace ee::cp {

/// A webhook as it came, before anything of it was believed.
struct WebhookDelivery {
  std::string_view body = {};       ///< raw bytes
  std::string_view signature = {};  ///< the field Stripe-Signature; empty when it is not there exactly once
  std::string client_address = {};
  std::string request_id = {};
};

/// Events of Stripe (04 section 9.3). An event, what it posts to the ledger and what it changes are one transaction:
/// none of it is stored, and Stripe delivers again, or all of it is. Thread-safe.
class StripeWebhook {
 public:
  struct Parts {
    db::Database& database;
    stripe::StripeClient& stripe;
    const DepositLedger& ledger;
    Clock& clock;
    Random& random;
    StripeSettingsSource settings;
    metrics::Registry& metrics;
    std::string instance_id = {};
  };
  /// All outlive it.
  explicit StripeWebhook(Parts parts);

  static constexpr std::string_view kPath = "/api/v1/webhooks/stripe";
  /// How long a fresh intent is waited for.
  static constexpr Seconds kFetchTime{5};

  /// How long this address is not heard, after 60 bad signatures in a minute; nothing: it is. Does not block.
  std::optional<Seconds> blocked(std::string_view address_key) const;

  /// Errors: stripe_not_configured, invalid_signature, signature_expired, invalid_event, livemode_mismatch; and what
  /// Stripe repeats the delivery for: stripe_unavailable, those of database and ledger.
  Result<WebhookAnswer> receive(const WebhookDelivery& delivery, std::string_view address_key);

 private:
  /// What the handling of one event came to.
  struct Handled {
    StripeOutcome outcome = StripeOutcome::processed;
    std::string_view detail = {};  ///< a slug, or empty
  };
  Result<stripe::Event> accept(const WebhookDelivery& delivery, std::string_view address_key);
  void refuse(const WebhookDelivery& delivery, std::string_view action, ErrorCode why);
  Result<bool> needs_intent(const stripe::Event& event) const;
  Result<std::optional<stripe::PaymentIntent>> fetch_intent(const std::string& id);
  Result<WebhookAnswer> store(const stripe::Event& event, const std::optional<stripe::PaymentIntent>& fetched,
                              const Actor& actor);
  Result<Handled> handle(db::Transaction& tx, const stripe::Event& event,
                         const std::optional<stripe::PaymentIntent>& fetched, const Actor& actor, UtcTime now);
  Result<Handled> handle_intent(db::Transaction& tx, const stripe::Event& event, const stripe::PaymentIntent& intent,
                                const Actor& actor, UtcTime now);
  /// The deposit that money goes back of, made succeeded by `fetched` where that was not known yet.
  struct Paid {
    std::optional<DepositRow> deposit = {};
    Handled otherwise = {};  ///< without a deposit: why
  };
  Result<Paid> paid_deposit(db::Transaction& tx, const std::string& intent_id,
                            const std::optional<stripe::PaymentIntent>& fetched, const Actor& actor, UtcTime now);
  Result<void> audit_unmatched(db::Transaction& tx, const stripe::Event& event, std::string_view why,
                               const Actor& actor, UtcTime now);

  Parts parts_;
  DepositStore deposits_;
  StripeEventStore events_;
  AuditLogStore audit_;
  FailureThrottle throttle_;
  AuditFold fold_;
  metrics::Family<metrics::Counter> counted_;
};

}  // namespace ee::cp
