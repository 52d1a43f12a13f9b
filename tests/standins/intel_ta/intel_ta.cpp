#include "tests/standins/intel_ta/intel_ta.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "common/crypto.h"
#include "common/json.h"
#include "net/server.h"
#include "tests/support/ita_tokens.h"

namespace ee::standins {
namespace {

using boost::json::object;

constexpr std::int64_t kLifetimeSeconds = 300;

net::Response json_response(int status, std::string body) {
  return {.status = status,
          .headers = {{"Content-Type", "application/json"}, {"trace-id", "stand-in"}},
          .body = std::move(body)};
}
net::Response refused(int status, std::string_view why) {
  return json_response(status, boost::json::serialize(object{{"error", std::string(why)}}));
}

void override_members(object& target, const std::map<std::string, std::string>& overrides) {
  for (const auto& [name, text] : overrides) {
    if (text.empty())
      target.erase(name);
    else
      target[name] = json::parse(text).value();
  }
}

}  // namespace

class IntelTa::App final : public net::Application {
 public:
  explicit App(IntelTa& owner) : owner_(owner) {}
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& request) override { return owner_.answer(request); }

 private:
  IntelTa& owner_;
  net::RouteInfo route_{.route_template = "/"};
};

IntelTa::IntelTa(Clock& clock, std::string api_key) : clock_(clock), api_key_(std::move(api_key)) {
  keys_.push_back({"ita-1", testing::ita_signing_key()});
  keys_made_ = 1;
}

IntelTa::~IntelTa() { release(); }

void IntelTa::start(std::uint16_t port) {
  app_ = std::make_unique<App>(*this);
  net::ServerConfig config;
  config.bind = fmt::format("127.0.0.1:{}", port);
  config.worker_threads = 16;  // so that many calls can hang at once
  auto server = net::Server::start(std::move(config), *app_, server_clock_, random_);
  if (!server) throw std::runtime_error("the Intel Trust Authority stand-in cannot start: " + server.error());
  server_ = std::move(*server);
}

std::string IntelTa::url() const { return server_->url(); }

void IntelTa::set_token(IntelTaToken token) {
  const std::lock_guard lock(mutex_);
  token_ = std::move(token);
}

std::string IntelTa::rotate_key(bool keep_old) {
  auto key = jose::PrivateKey::from_pem(testing::make_rsa_key(2048).pem).value();
  const std::lock_guard lock(mutex_);
  if (!keep_old) keys_.clear();
  keys_.push_back({fmt::format("ita-{}", ++keys_made_), std::move(key)});
  return keys_.back().kid;
}

void IntelTa::fail_next_attest(std::vector<IntelTaFault> faults) {
  const std::lock_guard lock(mutex_);
  attest_faults_.assign(faults.begin(), faults.end());
}

void IntelTa::fail_next_keys(std::vector<IntelTaFault> faults) {
  const std::lock_guard lock(mutex_);
  key_faults_.assign(faults.begin(), faults.end());
}

void IntelTa::set_delay(Milliseconds delay) {
  const std::lock_guard lock(mutex_);
  delay_ = delay;
}

void IntelTa::hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void IntelTa::release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

void IntelTa::wait_for_requests(std::size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return requests_.size() >= count; });
}

std::vector<IntelTaRequest> IntelTa::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t IntelTa::count(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count(requests_, path, &IntelTaRequest::path));
}

net::Response IntelTa::answer(const net::Request& request) {
  std::unique_lock lock(mutex_);
  requests_.push_back({.method = request.method,
                       .path = request.path,
                       .api_key = std::string(request.header("x-api-key").value_or("")),
                       .request_id = std::string(request.header("request-id").value_or("")),
                       .body = request.body});
  changed_.notify_all();
  changed_.wait(lock, request.stop, [&] { return !held_; });
  if (const Milliseconds delay = delay_; delay.count() > 0) {
    lock.unlock();
    clock_.sleep_for(delay, request.stop);
    lock.lock();
  }
  if (request.path == "/certs" && request.method == "GET") return faulty(key_faults_).value_or(keys());
  const bool is_v1 = request.path == "/appraisal/v1/attest";
  if (!is_v1 && request.path != "/appraisal/v2/attest") return refused(404, "no such path");
  if (request.method != "POST") return refused(405, "POST only");
  if (auto fault = faulty(attest_faults_)) return std::move(*fault);
  return attest(request, is_v1 ? 1 : 2);
}

std::optional<net::Response> IntelTa::faulty(std::deque<IntelTaFault>& faults) {
  if (faults.empty()) return std::nullopt;
  const IntelTaFault fault = faults.front();
  faults.pop_front();
  net::Response response = json_response(fault.status, fault.body);
  if (fault.retry_after_seconds)
    response.headers.push_back({"Retry-After", std::to_string(*fault.retry_after_seconds)});
  response.drop = fault.drop;
  return response;
}

net::Response IntelTa::keys() const {
  std::string body;
  for (const Key& key : keys_) body += (body.empty() ? "" : ",") + key.key.public_jwk(key.kid);
  return json_response(200, R"({"keys":[)" + body + "]}");
}

net::Response IntelTa::attest(const net::Request& request, int version) const {
  if (request.header_count("x-api-key") != 1 || request.header("x-api-key") != api_key_) return refused(401, "api key");
  const auto body = json::parse(request.body);
  if (!body || !body->is_object()) return refused(400, "not a JSON object");
  const object& top = body->get_object();
  const auto* const tdx = version == 1 ? &top : top.contains("tdx") ? top.at("tdx").if_object() : nullptr;
  if (tdx == nullptr) return refused(400, "no tdx object");
  const auto runtime_data = from_base64(jose::text_member(*tdx, "runtime_data").value_or("!"));
  const auto quote = attestation::parse_quote_base64(jose::text_member(*tdx, "quote").value_or(""),
                                                     attestation::TrailingPolicy::zeros);
  if (!quote || !runtime_data) return refused(400, "quote or runtime_data cannot be read");
  if (!constant_time_equal(sha512(*runtime_data), quote->report_data())) return refused(400, "runtime_data");

  testing::ItaTokenSpec spec{.version = version,
                             .issuer = token_.issuer,
                             .now = clock_.now(),
                             .lifetime = Seconds(kLifetimeSeconds),
                             .tcb_status = token_.tcb_status};
  boost::json::array unmatched;
  if (const auto* const policies = top.if_contains("policy_ids"); policies != nullptr && policies->is_array())
    for (const auto& id : policies->get_array()) {
      const bool misses = id.is_string() && token_.unmatched_policies.contains(std::string(id.get_string()));
      (misses ? unmatched : spec.policy_ids_matched).push_back(object{{"id", id}, {"version", "v1"}});
    }
  object claims = testing::ita_claims_of(*quote, *runtime_data, spec);
  if (!unmatched.empty()) claims["policy_ids_unmatched"] = unmatched;
  for (const auto& [name, offset] :
       {std::pair{"iat", token_.iat_offset}, {"nbf", token_.nbf_offset}, {"exp", token_.exp_offset}})
    claims[name] = claims[name].as_int64() + offset;
  if (token_.audience) claims["aud"] = *token_.audience;
  override_members(claims, token_.overrides);
  override_members(version == 1 ? claims : claims["tdx"].as_object(), token_.tdx_overrides);
  const std::string token = sign(claims, std::string(jose::text_member(top, "token_signing_alg").value_or("RS256")));
  if (token.empty()) return refused(400, "token_signing_alg");
  return json_response(200, boost::json::serialize(object{{"token", token}}));
}

std::string IntelTa::sign(const object& claims, const std::string& asked_for) const {
  const auto algorithm = token_.algorithm ? token_.algorithm : jose::algorithm_of(asked_for);
  if (!algorithm || jose::key_type_of(*algorithm) != jose::KeyType::rsa) return {};
  static const jose::PrivateKey foreign = jose::PrivateKey::from_pem(testing::make_rsa_key(2048).pem).value();
  const Key& current = keys_.back();
  const object header = {{"alg", token_.header_alg.value_or(std::string(jose::to_string(*algorithm)))},
                         {"kid", token_.kid.value_or(current.kid)},
                         {"typ", "JWT"},
                         {"jku", "https://elsewhere.invalid/certs"}};
  const std::string input = to_base64url(bytes_of(boost::json::serialize(header))) + '.' +
                            to_base64url(bytes_of(boost::json::serialize(claims)));
  const jose::PrivateKey& key = token_.foreign_signature ? foreign : current.key;
  return input + '.' + to_base64url(key.sign(*algorithm, bytes_of(input)).value());
}

}  // namespace ee::standins
