#pragma once
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/secret.h"
#include "common/time.h"

namespace ee::cp::stripe {

/// Why a call did not do what it was asked for.
enum class Failure : std::uint8_t {
  unavailable,  ///< no usable answer after all tries: it may have worked, the same call with the same key tells
  refused,      ///< Stripe said no (4xx with its error object): the same call will not work either
  cancelled,    ///< by the caller's stop token
};

struct StripeError {
  Failure failure = Failure::unavailable;
  int http_status = 0;    ///< 0: no answer
  std::string code = {};  ///< `error.code` (else `error.type`) of Stripe, or a word of our own: `timeout`, `bad_answer`
};
template <class T>
using StripeResult = std::expected<T, StripeError>;

/// Effective values of the settings `stripe.*` that a call needs.
struct StripeConfig {
  std::string api_url = "https://api.stripe.com";
  std::string api_version = "2024-06-20";
  Secret secret_key = {};
};
using StripeConfigSource = std::function<StripeConfig()>;

/// Stripe's own states, as far as they differ for us: everything that waits for the payer is `requires_payment`.
enum class IntentStatus : std::uint8_t { requires_payment, processing, canceled, succeeded };

/// A PaymentIntent. Amounts in cents.
struct PaymentIntent {
  std::string id = {};
  IntentStatus status = IntentStatus::requires_payment;
  std::int64_t amount = 0;
  std::int64_t amount_received = 0;
  std::string currency = {};
  bool livemode = false;
  // metadata, as we set it; empty when absent
  std::string account_id = {};
  std::string deposit_id = {};
  std::string instance_id = {};
  std::string last_error = {};  ///< code of `last_payment_error`
  Secret client_secret = {};
};

struct Refund {
  std::string id = {};
  std::string payment_intent = {};  ///< empty when there is none
  std::int64_t amount = 0;
  std::string currency = {};
  std::string status = {};  ///< `pending`, `requires_action`, `succeeded`, `failed`, `canceled`
};

struct Dispute {
  std::string id = {};
  std::string payment_intent = {};
  std::int64_t amount = 0;
  std::string currency = {};
  std::string status = {};  ///< `needs_response`, `won`, `lost`, `warning_closed`, ...
};

/// What a new intent is made of. `idempotency_key`: the same one always means the same intent.
struct NewIntent {
  std::int64_t amount_cents = 0;
  std::string account_id = {};
  std::string deposit_id = {};
  std::string instance_id = {};
  std::string idempotency_key = {};
};

/// How long a caller waits for its call, all tries together.
struct CallContext {
  std::stop_token stop = {};
  SteadyTime deadline = SteadyTime::max();
};

/// Whether a key of Stripe is of live mode. Keys look like `sk_live_...` or `rk_test_...`.
inline bool is_live_key(std::string_view key) { return key.starts_with("sk_live_") || key.starts_with("rk_live_"); }

}  // namespace ee::cp::stripe
