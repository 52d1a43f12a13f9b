#include "tests/standins/stripe/stripe.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <stdexcept>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/fake_random.h"
#include "common/json.h"
#include "net/curl_http_client.h"
#include "net/server.h"

namespace ee::standins {
namespace {

namespace bj = boost::json;

net::Response json_response(int status, const bj::value& body) {
  return {.status = status, .headers = {{"Content-Type", "application/json"}}, .body = bj::serialize(body)};
}
net::Response refused(int status, std::string_view type, std::string_view code) {
  return json_response(status, bj::object{{"error", {{"type", type}, {"code", code}, {"message", "no"}}}});
}
net::Response shown(const StripeState::Outcome& outcome) {
  if (outcome.refusal) return refused(outcome.refusal->status, outcome.refusal->type, outcome.refusal->code);
  return json_response(200, *outcome.object);
}

/// `%XX` and `+` of a form.
std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && from_hex(text.substr(i + 1, 2))) {
      out += static_cast<char>(from_hex(text.substr(i + 1, 2)).value().front());
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::map<std::string, std::string> form_of(std::string_view body) {
  std::map<std::string, std::string> out;
  while (!body.empty()) {
    const std::size_t end = body.find('&');
    const std::string_view field = body.substr(0, end);
    const std::size_t equals = field.find('=');
    if (equals != field.npos) out[decoded(field.substr(0, equals))] = decoded(field.substr(equals + 1));
    body = end == body.npos ? std::string_view{} : body.substr(end + 1);
  }
  return out;
}

std::string text_of_member(const bj::object& of, std::string_view name, std::string otherwise = "") {
  const auto* value = of.if_contains(name);
  return value == nullptr || !value->is_string() ? std::move(otherwise) : std::string(value->get_string());
}
std::int64_t number_of_member(const bj::object& of, std::string_view name, std::int64_t otherwise = 0) {
  const auto* value = of.if_contains(name);
  return value == nullptr || !value->is_int64() ? otherwise : value->get_int64();
}

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    if (slash != 0) out.emplace_back(path.substr(0, slash));
    path = slash == path.npos ? std::string_view{} : path.substr(slash + 1);
  }
  return out;
}

}  // namespace

std::string stripe_signature_header(std::string_view body, std::string_view secret, std::int64_t t_seconds) {
  const std::string message = fmt::format("{}.{}", t_seconds, body);
  return fmt::format("t={},v1={}", t_seconds, to_hex(hmac_sha256(bytes_of(secret), bytes_of(message))));
}

class StripeStandIn::App final : public net::Application {
 public:
  explicit App(StripeStandIn& owner) : owner_(owner) {}
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& request) override { return owner_.answer(request); }

 private:
  StripeStandIn& owner_;
  net::RouteInfo route_{.route_template = "/", .max_body_bytes = 16UL * 1024 * 1024};
};

StripeStandIn::StripeStandIn(Clock& clock, Config config)
    : clock_(clock),
      config_(std::move(config)),
      random_(std::make_unique<FakeRandom>(config_.seed)),
      state_(*random_, config_.secret_key.find("_live_") != std::string::npos),
      client_(std::make_unique<net::CurlHttpClient>()) {}
StripeStandIn::~StripeStandIn() = default;

void StripeStandIn::start(std::uint16_t port) {
  app_ = std::make_unique<App>(*this);
  net::ServerConfig config;
  config.bind = fmt::format("127.0.0.1:{}", port);
  auto server = net::Server::start(std::move(config), *app_, server_clock_, server_random_);
  if (!server) throw std::runtime_error("the Stripe stand-in cannot start: " + server.error());
  server_ = std::move(*server);
}

std::string StripeStandIn::url() const { return server_->url(); }

void StripeStandIn::set_webhook_url(std::string url) {
  const std::lock_guard lock(mutex_);
  config_.webhook_url = std::move(url);
}

net::Response StripeStandIn::answer(const net::Request& request) {
  if (request.path.starts_with("/_test/")) return test_call(request);
  return api(request);
}

std::optional<StripeFault> StripeStandIn::take_fault(const std::string& path) {
  const auto it =
      std::ranges::find_if(faults_, [&](const StripeFault& fault) { return path.find(fault.path) != path.npos; });
  if (it == faults_.end()) return std::nullopt;
  StripeFault fault = *it;
  if (--it->count <= 0) faults_.erase(it);
  return fault;
}

net::Response StripeStandIn::api(const net::Request& request) {
  std::optional<StripeFault> fault;
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back({.method = request.method,
                      .path = request.path,
                      .body = request.body,
                      .idempotency_key = std::string(request.header("Idempotency-Key").value_or("")),
                      .api_version = std::string(request.header("Stripe-Version").value_or(""))});
    fault = take_fault(request.path);
  }
  if (fault && fault->delay > Milliseconds(0)) server_clock_.sleep_for(fault->delay, request.stop);
  if (fault && fault->status != 0)
    return refused(fault->status, "api_error", fault->code.empty() ? "injected" : fault->code);
  if (fault && fault->drop == "before") return {.drop = true};
  const std::lock_guard lock(mutex_);
  if (request.header("Authorization") != "Bearer " + config_.secret_key)
    return refused(401, "invalid_request_error", "api_key_invalid");
  net::Response response;
  if (request.method == "POST") {
    const std::string key(request.header("Idempotency-Key").value_or(""));
    response = run_call(request, key);
  } else {
    response = run_call(request, "");
  }
  response.drop = fault && fault->drop == "after";
  return response;
}

net::Response StripeStandIn::run_call(const net::Request& request, const std::string& key) {
  const std::string content = request.path + "\n" + request.body;
  if (const auto kept = kept_.find(key); !key.empty() && kept != kept_.end()) {
    if (kept->second.body != content) return refused(400, "idempotency_error", "idempotency_key_reused");
    return kept->second.response;
  }
  const UtcTime now = clock_.now();
  const std::vector<std::string> parts = parts_of(request.path);
  net::Response response = refused(404, "invalid_request_error", "unknown_path");
  const bool intents = parts.size() >= 2 && parts[0] == "v1" && parts[1] == "payment_intents";
  if (intents && parts.size() == 2 && request.method == "POST") {
    response = shown(state_.create_intent(form_of(request.body), now));
  } else if (intents && parts.size() == 3 && request.method == "GET") {
    response = shown(state_.intent(parts[2]));
  } else if (intents && parts.size() == 4 && parts[3] == "cancel" && request.method == "POST") {
    response = shown(state_.cancel_intent(parts[2], now));
  } else if (request.path == "/v1/balance" && request.method == "GET") {
    response = json_response(200, bj::object{{"object", "balance"}, {"livemode", false}, {"available", bj::array()}});
  }
  if (!key.empty()) kept_[key] = {.body = content, .response = response};
  return response;
}

net::Response StripeStandIn::test_call(const net::Request& request) {
  const std::vector<std::string> parts = parts_of(request.path);
  bj::object body;
  if (!request.body.empty()) {
    auto parsed = json::parse(request.body, {.max_bytes = 16UL * 1024 * 1024});
    if (!parsed || !parsed->is_object()) return refused(400, "test", "body");
    body = std::move(parsed->get_object());
  }
  if (parts.size() == 2 && parts[1] == "deliver") return deliver(request);
  const std::lock_guard lock(mutex_);
  const UtcTime now = clock_.now();
  const std::string what = parts.size() > 1 ? parts[1] : "";
  if (request.method == "GET" && what == "calls") {
    bj::array out;
    for (const Received& call : calls_)
      out.push_back({{"method", call.method},
                     {"path", call.path},
                     {"body", call.body},
                     {"idempotency_key", call.idempotency_key},
                     {"api_version", call.api_version}});
    return json_response(200, out);
  }
  if (request.method == "GET" && what == "events") {
    bj::array out;
    for (const bj::object& event : state_.events()) out.push_back(event);
    return json_response(200, out);
  }
  if (request.method != "POST") return refused(405, "test", "method");
  if (what == "intents" && parts.size() == 4) {
    const auto* received = body.if_contains("amount_received");
    return shown(state_.move_intent(parts[2], parts[3],
                                    received == nullptr ? std::nullopt : std::optional(received->as_int64()), now));
  }
  if (what == "refunds" && parts.size() == 2)
    return shown(state_.add_refund(text_of_member(body, "payment_intent"), number_of_member(body, "amount"),
                                   text_of_member(body, "status", "succeeded"), now));
  if (what == "refunds" && parts.size() == 3)
    return shown(state_.change_refund(parts[2], text_of_member(body, "status"), now));
  if (what == "disputes" && parts.size() == 2)
    return shown(state_.add_dispute(text_of_member(body, "payment_intent"), number_of_member(body, "amount"), now));
  if (what == "disputes" && parts.size() == 4)
    return shown(state_.change_dispute(parts[2], parts[3], text_of_member(body, "status", "won"), now));
  if (what == "events" && parts.size() == 2) {
    const auto* about = body.if_contains("object");
    if (about == nullptr || !about->is_object()) return refused(400, "test", "object");
    return json_response(200, state_.make_event(text_of_member(body, "type"), about->get_object(), now));
  }
  if (what == "faults") {
    faults_.push_back({.path = text_of_member(body, "path"),
                       .status = static_cast<int>(number_of_member(body, "status")),
                       .code = text_of_member(body, "code"),
                       .drop = text_of_member(body, "drop"),
                       .delay = Milliseconds(number_of_member(body, "delay_ms")),
                       .count = static_cast<int>(number_of_member(body, "count", 1))});
    return json_response(200, bj::object());
  }
  return refused(404, "test", "control");
}

net::Response StripeStandIn::deliver(const net::Request& request) {
  const bj::object body = json::parse(request.body, {.max_bytes = 16UL * 1024 * 1024}).value().get_object();
  const auto* wanted = body.if_contains("events");
  if (wanted == nullptr || !wanted->is_array()) return refused(400, "test", "events");
  std::vector<std::string> payloads;
  std::string secret;
  std::string url;
  std::int64_t t = 0;
  {
    const std::lock_guard lock(mutex_);
    secret = text_of_member(body, "secret", config_.webhook_secret);
    url = text_of_member(body, "url", config_.webhook_url);
    t = unix_ms(clock_.now()) / 1000 + number_of_member(body, "t_offset");
    for (const bj::value& item : wanted->get_array()) {
      if (item.is_object()) {
        payloads.push_back(bj::serialize(item));
        continue;
      }
      for (const bj::object& event : state_.events())
        if (event.at("id") == item) payloads.push_back(bj::serialize(event));
    }
    const std::size_t once = payloads.size();
    for (std::int64_t repeat = number_of_member(body, "repeat", 1); repeat > 1; --repeat)
      for (std::size_t i = 0; i < once; ++i) payloads.push_back(payloads[i]);
    if (const auto* shuffle = body.if_contains("shuffle");
        shuffle != nullptr && shuffle->is_bool() && shuffle->get_bool())
      for (std::size_t i = payloads.size(); i > 1; --i)
        std::swap(payloads[i - 1],
                  payloads[static_cast<std::size_t>(random_->between(0, static_cast<std::int64_t>(i) - 1))]);
  }
  const auto* tamper = body.if_contains("tamper");
  const bool tampered = tamper != nullptr && tamper->is_bool() && tamper->get_bool();
  bj::array answers;
  for (std::string& payload : payloads) {
    HttpClientRequest post{.method = "POST", .url = url};
    post.headers.push_back({"Content-Type", "application/json; charset=utf-8"});
    post.headers.push_back({"User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"});
    post.headers.push_back({"Accept", "*/*; q=0.5, application/xml"});
    post.headers.push_back({"Stripe-Signature", stripe_signature_header(payload, secret, t)});
    if (tampered) payload.insert(payload.size() - 1, " ");  // the same JSON in other bytes
    post.body = payload;
    const auto answered = client_->send(post);
    answers.push_back({{"status", answered ? answered->status : 0}, {"body", answered ? answered->body : ""}});
  }
  return json_response(200, bj::object{{"answers", std::move(answers)}});
}

bj::value StripeStandIn::control(const std::string& path, const bj::value& body) {
  net::Request request;
  request.method = body.is_null() ? "GET" : "POST";
  request.path = "/_test/" + path;
  if (!body.is_null()) request.body = bj::serialize(body);
  const net::Response response = answer(request);
  if (response.status != 200) throw std::runtime_error("the Stripe stand-in refused " + path + ": " + response.body);
  return json::parse(response.body, {.max_bytes = 64UL * 1024 * 1024, .max_nodes = 10'000'000}).value();
}

std::vector<int> StripeStandIn::deliver(const bj::array& events, const bj::object& options) {
  bj::object body = options;
  body["events"] = events;
  const bj::value answered = control("deliver", body);
  std::vector<int> out;
  for (const bj::value& each : answered.at("answers").as_array())
    out.push_back(static_cast<int>(each.at("status").as_int64()));
  return out;
}

bj::object StripeStandIn::last_event(std::string_view type) {
  const std::lock_guard lock(mutex_);
  for (auto it = state_.events().rbegin(); it != state_.events().rend(); ++it)
    if (it->at("type").as_string() == type) return *it;
  throw std::runtime_error("no event of that type");
}

void StripeStandIn::add_fault(StripeFault fault) {
  const std::lock_guard lock(mutex_);
  faults_.push_back(std::move(fault));
}

void StripeStandIn::clear_faults() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
}

std::vector<StripeStandIn::Received> StripeStandIn::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::size_t StripeStandIn::intents() const {
  const std::lock_guard lock(mutex_);
  return state_.intents();
}

}  // namespace ee::standins
