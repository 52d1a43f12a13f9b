#pragma once
#include <boost/json/fwd.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/random.h"
#include "cp/integration/stripe/stripe_types.h"

namespace ee::cp::stripe {

/// The four calls of Stripe's API that deposits need (04 section 9.1). Thread-safe; calls block and must not be made
/// while a transaction is open.
///
/// Connect 3 s, 15 s in all for one try. Tried four times on no answer, 409, 429 and 5xx, with pauses of 0.5, 1 and 2 s
/// (half to one and a half of it) and the same idempotency key, as long as the caller's deadline allows.
class StripeClient {
 public:
  /// One try as it ended, for `ee_stripe_calls_total{call,result}`: the HTTP status, or why there was none.
  using Observer = std::function<void(std::string_view call, std::string_view result)>;

  /// All outlive the client.
  StripeClient(HttpClient& http, Clock& clock, Random& random, StripeConfigSource config, Observer observe = {});

  /// `POST /v1/payment_intents`. The answer's amount and currency are checked.
  StripeResult<PaymentIntent> create_intent(const NewIntent& wanted, const CallContext& context);
  /// `GET /v1/payment_intents/{id}`. `id` is one that Stripe gave.
  StripeResult<PaymentIntent> get_intent(const std::string& id, const CallContext& context);
  /// `POST /v1/payment_intents/{id}/cancel`. Refused with `payment_intent_unexpected_state` when it is too late.
  StripeResult<PaymentIntent> cancel_intent(const std::string& id, const CallContext& context);
  /// `GET /v1/balance`: whether the key works.
  StripeResult<void> check_key(const CallContext& context);

 private:
  struct Call;
  struct Attempt;
  StripeResult<boost::json::value> call(const Call& call, const CallContext& context);
  Attempt attempt(const Call& call, const StripeConfig& config, const CallContext& context);
  StripeResult<PaymentIntent> intent_call(const Call& call, const CallContext& context);

  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  StripeConfigSource config_;
  Observer observe_;
};

/// Everything but RFC 3986's unreserved characters as `%XX`: one key or value of a form.
std::string form_encode(std::string_view text);

}  // namespace ee::cp::stripe
