#include "cp/service/stripe_webhook.h"

#include <fmt/format.h>

#include <utility>

#include "common/json.h"
#include "common/log.h"
#include "cp/integration/stripe/webhook_signature.h"
#include "cp/service/address_key.h"
#include "cp/service/deposits.h"

namespace ee::cp {
namespace {

/// Stripe's clock and ours may differ, and what is received was made before.
constexpr std::chrono::days kEventsOnTheirWay{1};
constexpr std::int64_t kBadSignaturesPerMinute = 60;
constexpr std::size_t kMaxAddresses = 65'536;
constexpr std::string_view kActor = "system:stripe_webhook";

const std::vector<std::string> kTypes = {"payment_intent.succeeded",
                                         "payment_intent.processing",
                                         "payment_intent.payment_failed",
                                         "payment_intent.canceled",
                                         "refund.created",
                                         "refund.updated",
                                         "charge.refund.updated",
                                         "refund.failed",
                                         "charge.dispute.created",
                                         "charge.dispute.funds_withdrawn",
                                         "charge.dispute.funds_reinstated",
                                         "charge.dispute.closed"};
const std::vector<std::string> kOutcomes = {"processed", "ignored", "unmatched", "duplicate", "refused", "failed"};

std::string_view to_text(StripeOutcome outcome) {
  switch (outcome) {
    case StripeOutcome::processed: return "processed";
    case StripeOutcome::ignored: return "ignored";
    case StripeOutcome::unmatched: return "unmatched";
  }
  return "failed";
}

DepositStatus said_by(stripe::EventKind kind) {
  switch (kind) {
    case stripe::EventKind::intent_succeeded: return DepositStatus::succeeded;
    case stripe::EventKind::intent_processing: return DepositStatus::processing;
    case stripe::EventKind::intent_canceled: return DepositStatus::canceled;
    default: return DepositStatus::requires_payment;
  }
}

DepositLedger::DisputeNews news_of(stripe::EventKind kind) {
  switch (kind) {
    case stripe::EventKind::dispute_withdrawn: return DepositLedger::DisputeNews::withdrawn;
    case stripe::EventKind::dispute_reinstated: return DepositLedger::DisputeNews::reinstated;
    case stripe::EventKind::dispute_closed: return DepositLedger::DisputeNews::closed;
    default: return DepositLedger::DisputeNews::created;
  }
}

/// The intent that a refund or dispute is about; nullptr for other events, empty when it names none.
const std::string* intent_of_movement(const stripe::Event& event) {
  if (const auto* refund = std::get_if<stripe::Refund>(&event.object)) return &refund->payment_intent;
  if (const auto* dispute = std::get_if<stripe::Dispute>(&event.object)) return &dispute->payment_intent;
  return nullptr;
}

}  // namespace

StripeWebhook::StripeWebhook(Parts parts)
    : parts_(std::move(parts)),
      throttle_(kBadSignaturesPerMinute, Milliseconds(60'000 / kBadSignaturesPerMinute), kMaxAddresses),
      counted_(parts_.metrics.counter("ee_stripe_events_total", "Webhooks of Stripe.",
                                      {{"type", kTypes}, {"outcome", kOutcomes}})) {}

std::optional<Seconds> StripeWebhook::blocked(std::string_view address_key) const {
  return throttle_.blocked(address_key, parts_.clock.steady_now());
}

/// Anybody can send these: equal ones of one address share an audit row each minute.
void StripeWebhook::refuse(const WebhookDelivery& delivery, std::string_view action, ErrorCode why) {
  counted_.with({"other", "refused"}).increment();
  const std::string key = fmt::format("{} {} {}", action, slug(why), address_key(delivery.client_address));
  const auto folded = fold_.admit(key, parts_.clock.steady_now());
  if (!folded) return;
  const UtcTime now = parts_.clock.now();
  const auto written = parts_.database.write<std::string>([&](db::Transaction& tx) {
    return audit_.append(tx,
                         {.actor = "anonymous",
                          .action = std::string(action),
                          .object_type = "webhook",
                          .object_id = "stripe",
                          .result = AuditResult::refused,
                          .reason_code = std::string(slug(why)),
                          .request_id = delivery.request_id,
                          .client_address = delivery.client_address,
                          .detail = fmt::format(R"({{"folded":{}}})", *folded)},
                         now, parts_.random);
  });
  if (!written) log::error("stripe", "a refused webhook could not be audited", {{"error", written.error().code}});
}

Result<stripe::Event> StripeWebhook::accept(const WebhookDelivery& delivery, std::string_view address_key) {
  const StripeSettings settings = parts_.settings();
  // Without a key there is no mode that an event could be compared with.
  if (settings.webhook_secrets.empty() || settings.secret_key.empty()) return fail(ErrorCode::stripe_not_configured);
  if (auto verified = stripe::verify_webhook(delivery.body, delivery.signature, settings.webhook_secrets,
                                             parts_.clock.now(), settings.webhook_tolerance);
      !verified) {
    throttle_.failed(address_key, parts_.clock.steady_now());
    refuse(delivery, "stripe_signature_refused", verified.error().code);
    return std::unexpected(std::move(verified.error()));
  }
  auto event = stripe::parse_event(delivery.body);
  if (!event) {
    refuse(delivery, "stripe_event_refused", event.error().code);
    return event;
  }
  if (event->livemode != settings.is_live()) {
    refuse(delivery, "stripe_event_refused", ErrorCode::livemode_mismatch);
    return fail(ErrorCode::livemode_mismatch, settings.is_live() ? "the key is of live mode" : "the key is a test key");
  }
  return event;
}

Result<WebhookAnswer> StripeWebhook::receive(const WebhookDelivery& delivery, std::string_view address_key) {
  const auto event = accept(delivery, address_key);
  if (!event) return std::unexpected(event.error());
  const auto failed = [&](Error error) -> Result<WebhookAnswer> {
    counted_.with({event->type, "failed"}).increment();
    log::error("stripe", "an event could not be handled; Stripe delivers it again",
               {{"event_id", event->id}, {"type", event->type}, {"error", error.code}, {"detail", error.detail}});
    return std::unexpected(std::move(error));
  };
  // Whether it was handled may be forgotten, so it is not handled: whoever repeats it now is not Stripe's retry.
  if (event->created_at < parts_.clock.now() - kStripeEventsKept + kEventsOnTheirWay) {
    counted_.with({event->type, "duplicate"}).increment();
    log::warn("stripe", "an event that is over a year old was passed over",
              {{"event_id", event->id}, {"type", event->type}});
    return WebhookAnswer{.duplicate = true};
  }
  const auto needed = needs_intent(*event);
  if (!needed) return failed(needed.error());
  std::optional<stripe::PaymentIntent> fetched;
  if (*needed) {
    auto intent = fetch_intent(*intent_of_movement(*event));
    if (!intent) return failed(intent.error());
    fetched = std::move(*intent);
  }
  const Actor actor{
      .name = std::string(kActor), .request_id = delivery.request_id, .client_address = delivery.client_address};
  auto stored = store(*event, fetched, actor);
  if (!stored) return failed(stored.error());
  return stored;
}

/// Whether a refund or dispute came before the news that its deposit was paid: then Stripe is asked, outside of any
/// transaction.
Result<bool> StripeWebhook::needs_intent(const stripe::Event& event) const {
  const std::string* intent = intent_of_movement(event);
  if (intent == nullptr || intent->empty()) return false;
  return parts_.database.read<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto known = events_.known(tx, event.id);
    if (!known) return std::unexpected(known.error());
    if (*known) return false;
    const auto deposit = deposits_.find_by_intent(tx, *intent);
    if (!deposit) return std::unexpected(deposit.error());
    return !*deposit || (*deposit)->status != DepositStatus::succeeded;
  });
}

Result<std::optional<stripe::PaymentIntent>> StripeWebhook::fetch_intent(const std::string& id) {
  const SteadyTime deadline = parts_.clock.steady_now() + kFetchTime;
  auto intent = parts_.stripe.get_intent(id, {.stop = {}, .deadline = deadline});
  if (intent) return std::optional(std::move(*intent));
  if (intent.error().failure == stripe::Failure::refused && intent.error().http_status == 404)
    return std::optional<stripe::PaymentIntent>{};
  return fail(service_error(intent.error()));
}

Result<WebhookAnswer> StripeWebhook::store(const stripe::Event& event,
                                           const std::optional<stripe::PaymentIntent>& fetched, const Actor& actor) {
  const UtcTime now = parts_.clock.now();
  std::string_view outcome;
  auto answer =
      parts_.ledger.noted(parts_.database.write<WebhookAnswer>([&](db::Transaction& tx) -> Result<WebhookAnswer> {
        const auto fresh = events_.insert(tx, {.id = event.id,
                                               .type = event.type,
                                               .object_id = event.object_id,
                                               .event_created_at = event.created_at,
                                               .received_at = now});
        if (!fresh) return std::unexpected(fresh.error());
        if (!*fresh) {
          outcome = "duplicate";
          return WebhookAnswer{.duplicate = true};
        }
        const auto handled = handle(tx, event, fetched, actor, now);
        if (!handled) return std::unexpected(handled.error());
        outcome = to_text(handled->outcome);
        if (handled->outcome == StripeOutcome::unmatched)
          if (auto done = audit_unmatched(tx, event, handled->detail, actor, now); !done)
            return std::unexpected(done.error());
        if (handled->outcome != StripeOutcome::processed)
          if (auto done = events_.set_outcome(tx, event.id, handled->outcome, std::string(handled->detail)); !done)
            return std::unexpected(done.error());
        return WebhookAnswer{};
      }));
  if (answer) counted_.with({event.type, outcome}).increment();
  return answer;
}

Result<StripeWebhook::Handled> StripeWebhook::handle(db::Transaction& tx, const stripe::Event& event,
                                                     const std::optional<stripe::PaymentIntent>& fetched,
                                                     const Actor& actor, UtcTime now) {
  if (const auto* intent = std::get_if<stripe::PaymentIntent>(&event.object))
    return handle_intent(tx, event, *intent, actor, now);
  const std::string* intent_id = intent_of_movement(event);
  if (intent_id == nullptr) return Handled{.outcome = StripeOutcome::ignored, .detail = "type"};
  auto paid = paid_deposit(tx, *intent_id, fetched, actor, now);
  if (!paid) return std::unexpected(paid.error());
  if (!paid->deposit) return paid->otherwise;
  const auto* refund = std::get_if<stripe::Refund>(&event.object);
  const auto verdict =
      refund != nullptr ? parts_.ledger.refund_said(tx, *paid->deposit, *refund, actor, now)
                        : parts_.ledger.dispute_said(tx, *paid->deposit, std::get<stripe::Dispute>(event.object),
                                                     {.news = news_of(event.kind), .at = event.created_at}, actor, now);
  if (!verdict) return std::unexpected(verdict.error());
  if (!verdict->matched) return Handled{.outcome = StripeOutcome::unmatched, .detail = verdict->reason};
  return Handled{};
}

Result<StripeWebhook::Handled> StripeWebhook::handle_intent(db::Transaction& tx, const stripe::Event& event,
                                                            const stripe::PaymentIntent& intent, const Actor& actor,
                                                            UtcTime now) {
  if (intent.instance_id != parts_.instance_id) return Handled{.outcome = StripeOutcome::ignored, .detail = "not_ours"};
  auto deposit = deposits_.find(tx, intent.deposit_id);
  if (!deposit) return std::unexpected(deposit.error());
  if (!*deposit) return Handled{.outcome = StripeOutcome::unmatched, .detail = "deposit_unknown"};
  if (const auto why = DepositLedger::mismatch(**deposit, intent))
    return Handled{.outcome = StripeOutcome::unmatched, .detail = *why};
  const DepositStatus said = said_by(event.kind);
  if (said == DepositStatus::succeeded && intent.amount_received <= 0)
    return Handled{.outcome = StripeOutcome::unmatched, .detail = "nothing_received"};
  if (auto done = parts_.ledger.intent_said(tx, **deposit, intent, said, actor, now); !done)
    return std::unexpected(done.error());
  return Handled{};
}

Result<StripeWebhook::Paid> StripeWebhook::paid_deposit(db::Transaction& tx, const std::string& intent_id,
                                                        const std::optional<stripe::PaymentIntent>& fetched,
                                                        const Actor& actor, UtcTime now) {
  const auto unmatched = [](std::string_view why) {
    return Paid{.deposit = {}, .otherwise = {.outcome = StripeOutcome::unmatched, .detail = why}};
  };
  if (intent_id.empty()) return unmatched("intent_unknown");
  auto deposit = deposits_.find_by_intent(tx, intent_id);
  if (!deposit) return std::unexpected(deposit.error());
  if (!*deposit) {
    if (!fetched) return unmatched("intent_unknown");
    if (fetched->instance_id != parts_.instance_id)
      return Paid{.deposit = {}, .otherwise = {.outcome = StripeOutcome::ignored, .detail = "not_ours"}};
    deposit = deposits_.find(tx, fetched->deposit_id);
    if (!deposit) return std::unexpected(deposit.error());
    if (!*deposit) return unmatched("deposit_unknown");
  }
  if ((*deposit)->status != DepositStatus::succeeded) {
    if (!fetched || fetched->status != stripe::IntentStatus::succeeded) return unmatched("deposit_not_paid");
    if (const auto why = DepositLedger::mismatch(**deposit, *fetched)) return unmatched(*why);
    if (auto done = parts_.ledger.intent_said(tx, **deposit, *fetched, DepositStatus::succeeded, actor, now); !done)
      return std::unexpected(done.error());
  }
  return Paid{.deposit = std::move(*deposit)};
}

Result<void> StripeWebhook::audit_unmatched(db::Transaction& tx, const stripe::Event& event, std::string_view why,
                                            const Actor& actor, UtcTime now) {
  const bool exceeds = why == "refund_exceeds_deposit";
  const auto written = audit_.append(
      tx,
      {.actor = actor.name,
       .action = exceeds ? "refund_exceeds_deposit" : "stripe_event_unmatched",
       .object_type = "stripe_event",
       .object_id = event.id,
       .result = AuditResult::refused,
       .reason_code = std::string(why),
       .request_id = actor.request_id,
       .client_address = actor.client_address,
       .detail = fmt::format(R"({{"type":{},"object_id":{}}})", json::quote(event.type), json::quote(event.object_id))},
      now, parts_.random);
  if (!written) return std::unexpected(written.error());
  return {};
}

}  // namespace ee::cp
