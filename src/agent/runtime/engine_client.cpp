#include "agent/runtime/engine_client.h"

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/log.h"
#include "common/redact.h"
#include "common/utf8.h"
#include "net/unix_http_client.h"

namespace ee::agent {
namespace {

constexpr std::string_view kApiPrefix = "/v1.41";
constexpr std::array kPauses{Seconds(1), Seconds(2), Seconds(4)};
constexpr std::size_t kMaxErrorBytes = 512;
constexpr json::Limits kListLimits{.max_bytes = kMaxEngineListBytes, .max_depth = 32, .max_nodes = 1'000'000};

RuntimeError error_of(HttpFailure failure) {
  switch (failure) {
    case HttpFailure::cancelled: return {.failure = RuntimeFailure::cancelled};
    case HttpFailure::answer_too_large:
      return {.failure = RuntimeFailure::bad_answer, .detail = "the engine's answer is too long"};
    case HttpFailure::timeout:
      return {.failure = RuntimeFailure::unavailable, .detail = "the container engine did not answer in time"};
    case HttpFailure::connect:
      return {.failure = RuntimeFailure::unavailable, .detail = "the container engine's socket refused"};
    default: return {.failure = RuntimeFailure::unavailable, .detail = "the container engine closed the connection"};
  }
}

net::UnixHttpRequest request_of(const EngineCall& call, const std::string& socket, Milliseconds connect_timeout,
                                const std::stop_token& stop) {
  net::UnixHttpRequest request{.socket = socket,
                               .method = call.method,
                               .target = call.versioned ? std::string(kApiPrefix) + call.target : call.target,
                               .headers = call.headers,
                               .body = call.body,
                               .connect_timeout = connect_timeout,
                               .total_timeout = call.total,
                               .idle_timeout = call.silence,
                               .stop = stop};
  if (!call.body.empty()) request.headers.push_back({"Content-Type", "application/json"});
  return request;
}

}  // namespace

RuntimeResult<EngineAnswer> EngineClient::once(const EngineCall& call, const std::stop_token& stop) const {
  EngineAnswer answer;
  const net::UnixHttpHandlers handlers{.on_status = {}, .on_body = [&](int, std::string_view bytes) {
                                         if (bytes.size() > call.max_bytes - answer.body.size()) return false;
                                         answer.body += bytes;
                                         return true;
                                       }};
  const auto status = net::unix_http(request_of(call, socket_, timeouts_.connect, stop), handlers);
  if (!status) return std::unexpected(error_of(status.error()));
  answer.status = *status;
  reachable_ = true;
  return answer;
}

RuntimeResult<EngineAnswer> EngineClient::call(const EngineCall& call, const std::stop_token& stop) const {
  for (std::size_t tries = 0;; ++tries) {
    auto answer = once(call, stop);
    if (answer || answer.error().failure != RuntimeFailure::unavailable) return answer;
    if (tries == kPauses.size()) {
      if (reachable_.exchange(false))
        log::error("container_runtime", "the container engine cannot be reached", {{"detail", answer.error().detail}});
      return answer;
    }
    if (!clock_.sleep_for(kPauses.at(tries), stop)) return runtime_fail(RuntimeFailure::cancelled);
  }
}

RuntimeResult<EngineAnswer> EngineClient::stream(const EngineCall& call, const std::function<void()>& on_open,
                                                 const std::function<bool(std::string_view)>& on_bytes,
                                                 const std::stop_token& stop) const {
  EngineAnswer answer;
  const auto is_good = [](int status) { return status >= 200 && status < 300; };
  const net::UnixHttpHandlers handlers{.on_status =
                                           [&](int status) {
                                             reachable_ = true;
                                             if (is_good(status) && on_open) on_open();
                                           },
                                       .on_body =
                                           [&](int status, std::string_view bytes) {
                                             if (is_good(status)) return on_bytes(bytes);
                                             answer.body += bytes.substr(0, call.max_bytes - answer.body.size());
                                             return true;
                                           }};
  const auto status = net::unix_http(request_of(call, socket_, timeouts_.connect, stop), handlers);
  if (!status) return std::unexpected(error_of(status.error()));
  answer.status = *status;
  return answer;
}

bool LineSplitter::feed(std::string_view bytes, const std::function<void(std::string_view)>& on_line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (part.size() > kMaxEngineLineBytes - rest_.size()) return false;
    rest_ += part;
    if (end == std::string_view::npos) return true;
    const std::string line = std::move(rest_);
    rest_.clear();
    on_line(line);
    bytes.remove_prefix(end + 1);
  }
  return true;
}

std::string error_text(std::string_view text) {
  std::string line;
  for (std::string_view rest = text.substr(0, 4 * kMaxErrorBytes); !rest.empty();) {
    const std::size_t length = std::max<std::size_t>(utf8_sequence(rest), 1);
    const bool plain = length > 1 || (rest.front() >= ' ' && rest.front() < 0x7f);
    line += plain ? rest.substr(0, length) : std::string_view(" ");
    rest.remove_prefix(length);
  }
  const std::string clean = scrub(line);
  return std::string(utf8_prefix(clean, kMaxErrorBytes));
}

std::string engine_message(const EngineAnswer& answer) {
  if (const auto body = json::parse(answer.body); body && body->is_object())
    if (const auto* const message = body->as_object().if_contains("message"); message && message->is_string())
      return error_text(message->as_string());
  return "HTTP " + std::to_string(answer.status);
}

RuntimeResult<boost::json::value> engine_object(const EngineAnswer& answer) {
  auto value = json::parse(answer.body, kListLimits);
  if (!value || !value->is_object())
    return runtime_fail(RuntimeFailure::bad_answer, "the engine's answer is not a JSON object");
  return std::move(*value);
}

RuntimeResult<boost::json::value> engine_array(const EngineAnswer& answer) {
  if (answer.body == "null\n" || answer.body == "null") return boost::json::value(boost::json::array_kind);
  auto value = json::parse(answer.body, kListLimits);
  if (!value || !value->is_array())
    return runtime_fail(RuntimeFailure::bad_answer, "the engine's answer is not a JSON list");
  return std::move(*value);
}

}  // namespace ee::agent
