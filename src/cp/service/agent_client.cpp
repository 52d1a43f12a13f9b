#include "cp/service/agent_client.h"

#include <algorithm>
#include <array>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/outside_calls.h"
#include "common/require.h"
#include "common/url.h"

namespace ee::cp {
namespace {

constexpr std::string_view kPrefix = "/.easyenclave/v1";
constexpr std::string_view kAgentHeader = "X-EE-Agent";
constexpr Milliseconds kDeploymentTimeout{30'000};  // of a push and of a stop: the agent may be at work on either

std::unexpected<Error> unreachable(std::string why) {
  return fail(ErrorCode::agent_unreachable, "the agent cannot be reached: " + std::move(why));
}
std::unexpected<Error> bad_response(std::string why) {
  return fail(ErrorCode::agent_bad_response, "the agent answered badly: " + std::move(why));
}

Error failure_of(HttpFailure failure) {
  switch (failure) {
    case HttpFailure::answer_too_large:
    case HttpFailure::protocol: return bad_response(std::string(to_string(failure))).error();
    default: return unreachable(std::string(to_string(failure))).error();
  }
}

void add_to_query(std::string& target, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  target += target.find('?') == std::string::npos ? '?' : '&';
  target.append(name).append("=").append(percent_encode(value));
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

std::string log_target(const AgentLogQuery& query, std::optional<std::int64_t> tail) {
  std::string target = std::string(kPrefix) + "/logs";
  add_to_query(target, "deployment_id", query.deployment_id);
  add_to_query(target, "container", query.container);
  add_to_query(target, "since", query.since);
  add_to_query(target, "until", query.until);
  if (tail) add_to_query(target, "tail", std::to_string(*tail));
  add_to_query(target, "stream", query.stream);
  add_to_query(target, "q", query.search);
  return target;
}

}  // namespace

bool is_from_agent(const HttpClientResponse& response, const AgentId& agent) {
  int count = 0;
  for (const HttpHeader& header : response.headers) {
    if (!same_name(header.name, kAgentHeader)) continue;
    if (header.value != agent.str()) return false;
    ++count;
  }
  return count == 1;
}

bool is_ndjson(std::string_view content_type) {
  std::string_view media = content_type.substr(0, content_type.find(';'));
  while (media.ends_with(' ')) media.remove_suffix(1);
  return same_name(media, "application/x-ndjson");
}

struct AgentClient::Call {
  std::string_view method;
  std::string target;  // path with query, as sent
  std::string body = {};
  std::vector<HttpHeader> headers = {};
  std::size_t max_answer = kMaxAnswer;
  Milliseconds timeout = kTimeout;
  bool keep_part = false;
};

std::optional<std::string> AgentClient::token_for(const AgentId& agent, const Call& call) const {
  std::array<std::uint8_t, 16> id{};
  if (!parts_.random.fill(id)) return std::nullopt;
  const std::int64_t now = unix_ms(parts_.clock.now()) / 1000;
  const boost::json::object claims{{"iss", "easyenclave-cp"},
                                   {"aud", agent.str()},
                                   {"iat", now},
                                   {"exp", now + kTokenLife.count()},
                                   {"htm", call.method},
                                   {"htp", call.target},
                                   {"bsh", to_base64url(sha256(bytes_of(call.body)))},
                                   {"jti", to_hex(id)}};
  return parts_.signing_keys.sign_token("ee-control+jwt", boost::json::serialize(claims));
}

Result<HttpClientRequest> AgentClient::request_of(const AgentRow& agent, Call call) const {
  const ResolvedEndpoint endpoint = parts_.endpoint.resolve(agent);
  if (!endpoint) return unreachable(std::string(name_of(*endpoint.reason)));
  const auto token = token_for(agent.id, call);
  if (!token) return fail(ErrorCode::internal_error, "no random bytes");
  HttpClientRequest request{.method = std::string(call.method), .url = endpoint.url + call.target};
  request.headers = std::move(call.headers);
  request.headers.push_back({"Authorization", "EE-Control " + *token});
  request.body = std::move(call.body);
  request.connect_timeout = std::min(Milliseconds(5000), call.timeout);
  request.total_timeout = call.timeout;
  request.max_response_bytes = call.max_answer;
  return request;
}

Result<AgentAnswer> AgentClient::send(const AgentRow& agent, Call call, std::stop_token stop, bool* too_long) {
  require(outside_calls_allowed());
  const bool keep_part = call.keep_part;
  auto request = request_of(agent, std::move(call));
  if (!request) return std::unexpected(std::move(request.error()));
  request->stop = std::move(stop);
  HttpClientResponse part;
  if (keep_part) request->broken_off = &part;
  auto response = parts_.http.send(*request);
  const bool was_too_long = !response && response.error() == HttpFailure::answer_too_large;
  if (too_long != nullptr) *too_long = was_too_long;
  if (response) return judged(std::move(*response), agent.id);
  if (part.status == 200 && !part.body.empty() && !was_too_long) {
    auto answer = judged(std::move(part), agent.id);
    if (answer) answer->broken_off = true;
    return answer;
  }
  return fail(failure_of(response.error()));
}

Result<AgentAnswer> AgentClient::judged(HttpClientResponse response, const AgentId& agent) {
  if (!is_from_agent(response, agent)) return bad_response("not this agent");
  if (response.status < 200 || (response.status >= 300 && response.status < 400))
    return bad_response("status " + std::to_string(response.status));
  std::string content_type(response.header("Content-Type").value_or(""));
  return AgentAnswer{
      .status = response.status, .body = std::move(response.body), .content_type = std::move(content_type)};
}

Result<AgentAnswer> AgentClient::put_deployment(const AgentRow& agent, std::string document,
                                                const BodySignature& signature, std::stop_token stop) {
  return send(agent,
              {.method = "PUT",
               .target = std::string(kPrefix) + "/deployment",
               .body = std::move(document),
               .headers = {{"Content-Type", "application/json"},
                           {"X-EE-Kid", signature.kid},
                           {"X-EE-Signature", signature.signature}},
               .timeout = kDeploymentTimeout},
              std::move(stop));
}

Result<AgentAnswer> AgentClient::delete_deployment(const AgentRow& agent, const DeploymentId& deployment,
                                                   std::int64_t epoch, std::stop_token stop) {
  std::string target = std::string(kPrefix) + "/deployment";
  add_to_query(target, "deployment_id", deployment.str());
  add_to_query(target, "assignment_epoch", std::to_string(epoch));
  return send(agent, {.method = "DELETE", .target = std::move(target), .timeout = kDeploymentTimeout}, std::move(stop));
}

Result<AgentAnswer> AgentClient::get_deployment(const AgentRow& agent, std::stop_token stop) {
  return send(agent, {.method = "GET", .target = std::string(kPrefix) + "/deployment"}, std::move(stop));
}

Result<AgentAnswer> AgentClient::sync(const AgentRow& agent, std::stop_token stop) {
  return send(agent, {.method = "POST", .target = std::string(kPrefix) + "/sync"}, std::move(stop));
}

Result<AgentAnswer> AgentClient::logs(const AgentRow& agent, const AgentLogQuery& query, const std::stop_token& stop) {
  const SteadyTime end = parts_.clock.steady_now() + kTimeout;
  std::optional<std::int64_t> tail = query.tail;
  for (bool shortened = false;; shortened = true) {
    std::string target = log_target(query, tail);
    const auto left = std::chrono::duration_cast<Milliseconds>(end - parts_.clock.steady_now());
    if (left <= Milliseconds(0)) return unreachable("no answer in time");
    bool too_long = false;
    auto answer = send(agent,
                       {.method = "GET",
                        .target = std::move(target),
                        .max_answer = query.max_answer,
                        .timeout = left,
                        .keep_part = query.keep_part},
                       stop, &too_long);
    if (answer) answer->shortened = shortened;
    if (too_long && !query.shorten) return fail(ErrorCode::body_too_large);
    if (!too_long || !tail || *tail <= 1) return answer;
    tail = std::max<std::int64_t>(1, *tail / 8);
  }
}

Result<HttpClientRequest> AgentClient::follow_request(const AgentRow& agent, const AgentLogQuery& query) {
  std::string target = log_target(query, query.tail);
  add_to_query(target, "follow", "true");
  return request_of(agent, {.method = "GET", .target = std::move(target)});
}

Result<AgentAnswer> AgentClient::stats(const AgentRow& agent, std::stop_token stop) {
  return send(agent, {.method = "GET", .target = std::string(kPrefix) + "/stats"}, std::move(stop));
}

Result<AgentAnswer> AgentClient::evidence(const AgentRow& agent, std::string_view nonce, std::stop_token stop) {
  std::string target = std::string(kPrefix) + "/evidence";
  add_to_query(target, "nonce", nonce);
  return send(agent, {.method = "GET", .target = std::move(target), .max_answer = kMaxEvidenceAnswer}, std::move(stop));
}

Result<AgentAnswer> AgentClient::reattest(const AgentRow& agent, std::stop_token stop) {
  return send(agent, {.method = "POST", .target = std::string(kPrefix) + "/reattest"}, std::move(stop));
}

}  // namespace ee::cp
