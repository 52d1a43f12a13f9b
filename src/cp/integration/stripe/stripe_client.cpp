#include "cp/integration/stripe/stripe_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <initializer_list>
#include <utility>

#include "common/bytes.h"
#include "common/json.h"
#include "common/outside_calls.h"
#include "common/require.h"
#include "cp/integration/stripe/objects.h"

namespace ee::cp::stripe {
namespace {

constexpr Milliseconds kConnectTimeout{3'000};
constexpr Milliseconds kTryTimeout{15'000};
constexpr std::array<std::int64_t, 3> kRetryDelaysMs = {500, 1000, 2000};
constexpr std::size_t kMaxAnswerBytes = 256UL * 1024;
constexpr json::Limits kLimits{.max_bytes = kMaxAnswerBytes, .max_depth = 32, .max_nodes = 50'000};

std::string form(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    if (!out.empty()) out += '&';
    out += form_encode(name);
    out += '=';
    out += form_encode(value);
  }
  return out;
}

/// Whether the same call may work a moment later.
bool may_pass(HttpFailure failure) {
  switch (failure) {
    case HttpFailure::resolve:
    case HttpFailure::connect:
    case HttpFailure::tls:
    case HttpFailure::timeout:
    case HttpFailure::protocol: return true;
    case HttpFailure::bad_url:
    case HttpFailure::address_refused:
    case HttpFailure::answer_too_large:
    case HttpFailure::cancelled: return false;
  }
  return false;
}
bool may_pass(int status) { return status == 409 || status == 429 || status >= 500; }

StripeError error_of(HttpFailure failure) {
  return {.failure = failure == HttpFailure::cancelled ? Failure::cancelled : Failure::unavailable,
          .code = std::string(to_string(failure))};
}

StripeError bad_answer(int status) {
  return {.failure = Failure::unavailable, .http_status = status, .code = "bad_answer"};
}

/// A 4xx counts as Stripe's own word only when it has Stripe's error object: a proxy in between knows nothing of it.
StripeError refusal(const HttpClientResponse& response) {
  StripeError error{
      .failure = Failure::unavailable, .http_status = response.status, .code = fmt::format("http_{}", response.status)};
  const auto document = json::parse(response.body, kLimits);
  const auto* said = document ? member(*document, "error") : nullptr;
  if (said == nullptr || !said->is_object()) return error;
  for (const std::string_view name : {"code", "type"}) {
    if (const auto word = text_member(*said, name); is_word(word)) {
      error.code = word;
      break;
    }
  }
  if (response.status >= 400 && response.status < 500 && !may_pass(response.status)) error.failure = Failure::refused;
  return error;
}

}  // namespace

struct StripeClient::Call {
  std::string_view op;  // for metrics: from a closed set
  std::string method;
  std::string path;  // below api_url
  std::string body = {};
  std::string idempotency_key = {};
};

struct StripeClient::Attempt {
  StripeResult<boost::json::value> result;
  bool again = false;
};

std::string form_encode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

StripeClient::StripeClient(HttpClient& http, Clock& clock, Random& random, StripeConfigSource config, Observer observe)
    : http_(http), clock_(clock), random_(random), config_(std::move(config)), observe_(std::move(observe)) {}

StripeClient::Attempt StripeClient::attempt(const Call& call, const StripeConfig& config, const CallContext& context) {
  const auto failed = [](StripeError error, bool again = false) {
    return Attempt{.result = std::unexpected(std::move(error)), .again = again};
  };
  if (context.stop.stop_requested()) return failed(error_of(HttpFailure::cancelled));
  const auto left = context.deadline == SteadyTime::max()
                        ? kTryTimeout
                        : std::chrono::duration_cast<Milliseconds>(context.deadline - clock_.steady_now());
  if (left <= Milliseconds(0)) return failed(error_of(HttpFailure::timeout));

  HttpClientRequest request{.method = call.method, .url = config.api_url + call.path};
  request.headers.push_back({"Authorization", "Bearer " + config.secret_key.reveal()});
  request.headers.push_back({"Stripe-Version", config.api_version});
  if (call.method == "POST") {
    request.headers.push_back({"Content-Type", "application/x-www-form-urlencoded"});
    request.headers.push_back({"Idempotency-Key", call.idempotency_key});
  }
  request.body = call.body;
  request.connect_timeout = std::min(kConnectTimeout, left);
  request.total_timeout = std::min(kTryTimeout, left);
  request.max_response_bytes = kMaxAnswerBytes;
  request.stop = context.stop;
  const auto response = http_.send(request);
  if (observe_) observe_(call.op, response ? std::to_string(response->status) : to_string(response.error()));
  if (!response) return failed(error_of(response.error()), may_pass(response.error()));
  if (response->status < 200 || response->status >= 300) return failed(refusal(*response), may_pass(response->status));
  auto document = json::parse(response->body, kLimits);
  if (!document || !document->is_object()) return failed(bad_answer(response->status));
  return {.result = std::move(*document)};
}

StripeResult<boost::json::value> StripeClient::call(const Call& call, const CallContext& context) {
  require(outside_calls_allowed());
  const StripeConfig config = config_();
  for (std::size_t retry = 0;; ++retry) {
    Attempt tried = attempt(call, config, context);
    if (tried.result || !tried.again || retry == kRetryDelaysMs.size()) return std::move(tried.result);
    const std::int64_t middle = kRetryDelaysMs[retry];
    const Milliseconds delay(random_.between(middle / 2, middle + middle / 2));
    if (context.deadline != SteadyTime::max() && delay >= context.deadline - clock_.steady_now())
      return std::move(tried.result);
    if (!clock_.sleep_for(delay, context.stop)) return std::unexpected(error_of(HttpFailure::cancelled));
  }
}

StripeResult<PaymentIntent> StripeClient::intent_call(const Call& request, const CallContext& context) {
  const auto answer = call(request, context);
  if (!answer) return std::unexpected(answer.error());
  auto intent = intent_of(*answer);
  if (!intent) return std::unexpected(bad_answer(200));
  return std::move(*intent);
}

StripeResult<PaymentIntent> StripeClient::create_intent(const NewIntent& wanted, const CallContext& context) {
  auto intent = intent_call({.op = "create_intent",
                             .method = "POST",
                             .path = "/v1/payment_intents",
                             .body = form({{"amount", std::to_string(wanted.amount_cents)},
                                           {"currency", "usd"},
                                           {"automatic_payment_methods[enabled]", "true"},
                                           {"metadata[account_id]", wanted.account_id},
                                           {"metadata[deposit_id]", wanted.deposit_id},
                                           {"metadata[instance_id]", wanted.instance_id},
                                           {"description", "easyenclave deposit"}}),
                             .idempotency_key = wanted.idempotency_key},
                            context);
  if (intent && (intent->amount != wanted.amount_cents || intent->currency != "usd"))
    return std::unexpected(bad_answer(200));
  return intent;
}

StripeResult<PaymentIntent> StripeClient::get_intent(const std::string& id, const CallContext& context) {
  require(is_object_id(id, "pi_"));
  auto intent = intent_call({.op = "get_intent", .method = "GET", .path = "/v1/payment_intents/" + id}, context);
  if (intent && intent->id != id) return std::unexpected(bad_answer(200));
  return intent;
}

StripeResult<PaymentIntent> StripeClient::cancel_intent(const std::string& id, const CallContext& context) {
  require(is_object_id(id, "pi_"));
  // A key of its own for each cancel: Stripe answers a known key with what it said then, for a day.
  ByteArray<8> salt{};
  if (!random_.fill(salt)) return std::unexpected(StripeError{.code = "no_random_bytes"});
  auto intent = intent_call({.op = "cancel_intent",
                             .method = "POST",
                             .path = "/v1/payment_intents/" + id + "/cancel",
                             .idempotency_key = "ee-cancel-" + id + "-" + to_hex(salt)},
                            context);
  if (intent && intent->id != id) return std::unexpected(bad_answer(200));
  return intent;
}

StripeResult<void> StripeClient::check_key(const CallContext& context) {
  const auto answer = call({.op = "get_balance", .method = "GET", .path = "/v1/balance"}, context);
  if (!answer) return std::unexpected(answer.error());
  return {};
}

}  // namespace ee::cp::stripe
