#include "cp/integration/stripe/objects.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <utility>

#include "common/id.h"

namespace ee::cp::stripe {
namespace {

constexpr std::size_t kMaxId = 255;
constexpr std::size_t kMaxWord = 64;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::optional<std::int64_t> cents_member(const boost::json::value& value, std::string_view name) {
  const auto cents = integer_member(value, name);
  if (!cents || *cents < 0 || *cents > kMaxCents) return std::nullopt;
  return cents;
}

std::optional<IntentStatus> status_of(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, IntentStatus>, 7> kNames = {
      {{"requires_payment_method", IntentStatus::requires_payment},
       {"requires_confirmation", IntentStatus::requires_payment},
       {"requires_action", IntentStatus::requires_payment},
       {"requires_capture", IntentStatus::processing},  // paid for, not taken: we never ask for that
       {"processing", IntentStatus::processing},
       {"canceled", IntentStatus::canceled},
       {"succeeded", IntentStatus::succeeded}}};
  for (const auto& [name, status] : kNames)
    if (name == text) return status;
  return std::nullopt;
}

/// A reference is an id, or the object itself when it was expanded.
std::string intent_reference(const boost::json::value& value) {
  const auto* found = member(value, "payment_intent");
  if (found == nullptr) return {};
  const std::string_view id = found->is_object() ? text_member(*found, "id") : text_member(value, "payment_intent");
  return is_object_id(id, "pi_") ? std::string(id) : std::string();
}

/// Of a metadata value that is one of our ids; empty when it is anything else.
std::string id_in(const boost::json::value& metadata, std::string_view name) {
  const std::string_view text = text_member(metadata, name);
  return is_uuid(text) ? std::string(text) : std::string();
}

/// What a refund and a dispute have in common.
template <class T>
std::optional<T> movement_of(const boost::json::value& value, std::initializer_list<std::string_view> prefixes) {
  const std::string_view id = text_member(value, "id");
  const std::string_view status = text_member(value, "status");
  const std::string_view currency = text_member(value, "currency");
  const auto amount = cents_member(value, "amount");
  const bool known_id =
      std::ranges::any_of(prefixes, [&](std::string_view prefix) { return is_object_id(id, prefix); });
  if (!known_id || !amount || *amount == 0 || !is_word(status) || !is_word(currency)) return std::nullopt;
  T out;
  out.id = id;
  out.payment_intent = intent_reference(value);
  out.amount = *amount;
  out.currency = currency;
  out.status = status;
  return out;
}

}  // namespace

bool is_object_id(std::string_view text, std::string_view prefix) {
  return text.size() > prefix.size() && text.size() <= kMaxId && text.starts_with(prefix) &&
         std::ranges::all_of(text, is_name_character);
}

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= kMaxWord && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}

const boost::json::value* member(const boost::json::value& value, std::string_view name) {
  const auto* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

std::string_view text_member(const boost::json::value& value, std::string_view name) {
  const auto* found = member(value, name);
  if (found == nullptr || !found->is_string()) return {};
  return {found->get_string().data(), found->get_string().size()};
}

std::optional<std::int64_t> integer_member(const boost::json::value& value, std::string_view name) {
  const auto* found = member(value, name);
  if (found == nullptr || !found->is_int64()) return std::nullopt;
  return found->get_int64();
}

std::optional<PaymentIntent> intent_of(const boost::json::value& value) {
  const std::string_view id = text_member(value, "id");
  const std::string_view currency = text_member(value, "currency");
  const auto status = status_of(text_member(value, "status"));
  const auto amount = cents_member(value, "amount");
  const auto* livemode = member(value, "livemode");
  if (!is_object_id(id, "pi_") || !status || !amount || !is_word(currency) || livemode == nullptr ||
      !livemode->is_bool())
    return std::nullopt;
  PaymentIntent out{.id = std::string(id),
                    .status = *status,
                    .amount = *amount,
                    .currency = std::string(currency),
                    .livemode = livemode->get_bool(),
                    .client_secret = Secret(std::string(text_member(value, "client_secret")))};
  if (member(value, "amount_received") != nullptr) {
    const auto received = cents_member(value, "amount_received");
    if (!received) return std::nullopt;
    out.amount_received = *received;
  }
  if (const auto* metadata = member(value, "metadata")) {
    out.account_id = id_in(*metadata, "account_id");
    out.deposit_id = id_in(*metadata, "deposit_id");
    out.instance_id = id_in(*metadata, "instance_id");
  }
  if (const auto* error = member(value, "last_payment_error"))
    if (const auto code = text_member(*error, "code"); is_word(code)) out.last_error = code;
  return out;
}

// `pyr_` are refunds, `pdp_` and `du_` disputes of some payment methods.
std::optional<Refund> refund_of(const boost::json::value& value) { return movement_of<Refund>(value, {"re_", "pyr_"}); }
std::optional<Dispute> dispute_of(const boost::json::value& value) {
  return movement_of<Dispute>(value, {"dp_", "du_", "pdp_"});
}

}  // namespace ee::cp::stripe
