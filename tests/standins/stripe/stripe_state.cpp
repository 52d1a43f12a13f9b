#include "tests/standins/stripe/stripe_state.h"

#include <fmt/format.h>

#include <charconv>

#include "common/bytes.h"

namespace ee::standins {
namespace {

using boost::json::object;

constexpr std::string_view kInvalid = "invalid_request_error";
constexpr StripeState::Refusal kNoSuchThing{404, kInvalid, "resource_missing"};
constexpr StripeState::Refusal kUnexpectedState{400, kInvalid, "payment_intent_unexpected_state"};
constexpr StripeState::Refusal kInvalidParameter{400, kInvalid, "parameter_invalid"};
constexpr std::int64_t kLeastCents = 50;
constexpr std::int64_t kMostCents = 99'999'999;

std::int64_t seconds_of(UtcTime time) { return unix_ms(time) / 1000; }

std::string_view text(const object& of, std::string_view name) {
  const auto* value = of.if_contains(name);
  return value == nullptr || !value->is_string() ? std::string_view{} : std::string_view(value->get_string());
}

StripeState::Outcome refused(StripeState::Refusal refusal) { return {.object = {}, .refusal = refusal}; }

std::string field(const std::map<std::string, std::string>& fields, const std::string& name) {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second;
}

template <class Map>
auto* find(Map& map, std::string_view id) {
  const auto found = map.find(id);
  return found == map.end() ? nullptr : &found->second;
}

}  // namespace

std::string StripeState::new_id(std::string_view prefix) { return fmt::format("{}_test_{}", prefix, ++made_); }

object StripeState::make_event(std::string_view type, object about, UtcTime now) {
  object event = {{"id", new_id("evt")},
                  {"object", "event"},
                  {"api_version", "2024-06-20"},
                  {"created", seconds_of(now)},
                  {"livemode", livemode_},
                  {"pending_webhooks", 1},
                  {"request", {{"id", nullptr}, {"idempotency_key", nullptr}}},
                  {"type", type},
                  {"data", {{"object", std::move(about)}}}};
  events_.push_back(event);
  return event;
}

StripeState::Outcome StripeState::happened(std::string_view type, const object& about, UtcTime now) {
  make_event(type, about, now);
  return {.object = about};
}

StripeState::Outcome StripeState::create_intent(const std::map<std::string, std::string>& fields, UtcTime now) {
  const std::string amount_text = field(fields, "amount");
  std::int64_t amount = 0;
  const auto [end, error] = std::from_chars(amount_text.data(), amount_text.data() + amount_text.size(), amount);
  if (error != std::errc() || end != amount_text.data() + amount_text.size()) return refused(kInvalidParameter);
  if (amount < kLeastCents) return refused({400, kInvalid, "amount_too_small"});
  if (amount > kMostCents) return refused({400, kInvalid, "amount_too_large"});
  if (field(fields, "currency") != "usd" || field(fields, "automatic_payment_methods[enabled]") != "true")
    return refused(kInvalidParameter);
  ByteArray<12> salt{};
  if (!random_.fill(salt)) return refused({500, "api_error", "random"});
  object metadata;
  for (const auto& [name, value] : fields)
    if (name.starts_with("metadata[") && name.ends_with("]")) metadata[name.substr(9, name.size() - 10)] = value;
  const std::string id = new_id("pi");
  object intent = {{"id", id},
                   {"object", "payment_intent"},
                   {"amount", amount},
                   {"amount_received", 0},
                   {"client_secret", id + "_secret_" + to_hex(salt)},
                   {"created", seconds_of(now)},
                   {"currency", "usd"},
                   {"description", field(fields, "description")},
                   {"last_payment_error", nullptr},
                   {"livemode", livemode_},
                   {"metadata", std::move(metadata)},
                   {"status", "requires_payment_method"}};
  intents_[id] = intent;
  return {.object = std::move(intent)};
}

StripeState::Outcome StripeState::intent(std::string_view id) const {
  const auto* found = find(intents_, id);
  return found == nullptr ? refused(kNoSuchThing) : Outcome{.object = *found};
}

StripeState::Outcome StripeState::cancel_intent(std::string_view id, UtcTime now) {
  const auto* found = find(intents_, id);
  if (found == nullptr) return refused(kNoSuchThing);
  const std::string_view status = text(*found, "status");
  if (status == "succeeded" || status == "processing" || status == "canceled") return refused(kUnexpectedState);
  return move_intent(id, "cancel", {}, now);
}

StripeState::Outcome StripeState::move_intent(std::string_view id, std::string_view verb,
                                              std::optional<std::int64_t> amount_received, UtcTime now) {
  auto* found = find(intents_, id);
  if (found == nullptr) return refused(kNoSuchThing);
  object& intent = *found;
  if (verb == "succeed") {
    intent["status"] = "succeeded";
    intent["amount_received"] = amount_received.value_or(intent.at("amount").as_int64());
    intent["last_payment_error"] = nullptr;
    return happened("payment_intent.succeeded", intent, now);
  }
  if (verb == "fail") {
    intent["status"] = "requires_payment_method";
    intent["last_payment_error"] = {{"type", "card_error"}, {"code", "card_declined"}, {"message", "declined"}};
    return happened("payment_intent.payment_failed", intent, now);
  }
  if (verb == "process") {
    intent["status"] = "processing";
    return happened("payment_intent.processing", intent, now);
  }
  if (verb == "cancel") {
    intent["status"] = "canceled";
    return happened("payment_intent.canceled", intent, now);
  }
  return refused(kInvalidParameter);
}

StripeState::Outcome StripeState::add_refund(std::string_view intent, std::int64_t amount, std::string_view status,
                                             UtcTime now) {
  object refund = {{"id", new_id("re")},   {"object", "refund"},         {"amount", amount},
                   {"charge", "ch_test"},  {"created", seconds_of(now)}, {"currency", "usd"},
                   {"metadata", object()}, {"payment_intent", intent},   {"status", status}};
  refunds_[std::string(text(refund, "id"))] = refund;
  return happened("refund.created", refund, now);
}

StripeState::Outcome StripeState::change_refund(std::string_view id, std::string_view status, UtcTime now) {
  auto* found = find(refunds_, id);
  if (found == nullptr) return refused(kNoSuchThing);
  (*found)["status"] = status;
  return happened(status == "failed" ? "refund.failed" : "refund.updated", *found, now);
}

StripeState::Outcome StripeState::add_dispute(std::string_view intent, std::int64_t amount, UtcTime now) {
  object dispute = {{"id", new_id("dp")},        {"object", "dispute"},        {"amount", amount},
                    {"charge", "ch_test"},       {"created", seconds_of(now)}, {"currency", "usd"},
                    {"livemode", livemode_},     {"payment_intent", intent},   {"reason", "fraudulent"},
                    {"status", "needs_response"}};
  disputes_[std::string(text(dispute, "id"))] = dispute;
  return happened("charge.dispute.created", dispute, now);
}

StripeState::Outcome StripeState::change_dispute(std::string_view id, std::string_view verb, std::string_view status,
                                                 UtcTime now) {
  auto* found = find(disputes_, id);
  if (found == nullptr) return refused(kNoSuchThing);
  if (verb == "withdraw") return happened("charge.dispute.funds_withdrawn", *found, now);
  if (verb == "reinstate") return happened("charge.dispute.funds_reinstated", *found, now);
  if (verb != "close") return refused(kInvalidParameter);
  (*found)["status"] = status;
  return happened("charge.dispute.closed", *found, now);
}

}  // namespace ee::standins
