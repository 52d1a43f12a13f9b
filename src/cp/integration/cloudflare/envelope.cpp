#include "cp/integration/cloudflare/envelope.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <charconv>

#include "common/bytes.h"
#include "common/id.h"
#include "common/json.h"

namespace ee::cp::cloudflare {
namespace {

constexpr Seconds kDefaultRetryAfter{300};
constexpr std::int64_t kMaxRetryAfter = 3600;
constexpr json::Limits kLimits{.max_bytes = kMaxAnswerBytes, .max_depth = 32, .max_nodes = 400'000};

CloudflareError not_an_answer(int status, std::string_view what) {
  return {.failure = Failure::transient, .http_status = status, .detail = std::string(what)};
}

std::optional<Failure> failure_of_code(std::int64_t code) {
  switch (code) {
    case 1013: return Failure::name_exists;
    case 1022: return Failure::has_connections;
    case 1003:
    case 81044: return Failure::gone;
    case 81053:
    case 81054:
    case 81057: return Failure::record_exists;
    case 9109:
    case 10000: return Failure::bad_token;
    default: return std::nullopt;
  }
}

std::optional<Failure> failure_of_status(int status, Subject subject) {
  if (status == 401 || status == 403) return Failure::bad_token;
  if (status == 429) return Failure::rate_limited;
  if (status == 404 && subject != Subject::token) return Failure::gone;
  if (status >= 500 || status == 408 || (status >= 300 && status < 400)) return Failure::transient;
  if (status >= 400) return Failure::refused;
  return std::nullopt;
}

Seconds retry_after_of(const HttpClientResponse& response) {
  const auto header = response.header("retry-after");
  if (!header) return kDefaultRetryAfter;
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(header->data(), header->data() + header->size(), seconds);
  if (error != std::errc() || end != header->data() + header->size() || seconds < 0) return kDefaultRetryAfter;
  return Seconds(std::min(seconds, kMaxRetryAfter));
}

const boost::json::value* member(const boost::json::value& value, std::string_view name) {
  const auto* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

std::string text_member(const boost::json::value& value, std::string_view name) {
  const auto* found = member(value, name);
  if (found == nullptr || !found->is_string()) return {};
  return std::string(found->get_string());
}

std::optional<UtcTime> time_member(const boost::json::value& value, std::string_view name) {
  return parse_rfc3339(text_member(value, name));
}

/// The first code that means something to us, else the first code at all.
std::int64_t code_of(const boost::json::value& document) {
  const auto* errors = member(document, "errors");
  if (errors == nullptr || !errors->is_array()) return 0;
  std::int64_t first = 0;
  for (const auto& error : errors->get_array()) {
    const auto* code = member(error, "code");
    if (code == nullptr || !code->is_int64()) continue;
    if (failure_of_code(code->get_int64())) return code->get_int64();
    if (first == 0) first = code->get_int64();
  }
  return first;
}

}  // namespace

CfResult<Envelope> read_envelope(const HttpClientResponse& response, Subject subject) {
  const auto document = json::parse(response.body, kLimits);
  const std::int64_t code = document ? code_of(*document) : 0;
  const auto* success = document ? member(*document, "success") : nullptr;
  const bool says_success = success != nullptr && success->is_bool() && success->get_bool();
  const bool ok_status = response.status >= 200 && response.status < 300;
  if (ok_status && says_success) {
    Envelope envelope;
    if (const auto* result = member(*document, "result")) envelope.result = *result;
    if (const auto* info = member(*document, "result_info"))
      if (const auto* pages = member(*info, "total_pages"); pages != nullptr && pages->is_int64())
        envelope.total_pages = pages->get_int64();
    return envelope;
  }
  if (ok_status && !document) return std::unexpected(not_an_answer(response.status, "the answer is not JSON"));
  CloudflareError error{.http_status = response.status, .code = static_cast<int>(code), .detail = "the API refused"};
  // A rate limit is one whatever its codes say; else codes come first.
  if (response.status == 429) {
    error.failure = Failure::rate_limited;
    error.retry_after = retry_after_of(response);
  } else if (const auto by_code = failure_of_code(code)) {
    error.failure = *by_code;
  } else {
    error.failure = failure_of_status(response.status, subject).value_or(Failure::transient);
  }
  return std::unexpected(std::move(error));
}

CloudflareError error_of(HttpFailure failure) {
  if (failure == HttpFailure::cancelled) return {.failure = Failure::cancelled, .detail = "cancelled"};
  return {.failure = Failure::transient, .detail = std::string(to_string(failure))};
}

bool is_record_id(std::string_view text) { return is_lower_hex(text, 32); }

CfResult<Tunnel> tunnel_of(const boost::json::value& value) {
  Tunnel tunnel{.id = text_member(value, "id"),
                .name = text_member(value, "name"),
                .status = text_member(value, "status"),
                .created_at = time_member(value, "created_at")};
  if (!is_uuid(tunnel.id)) return std::unexpected(not_an_answer(200, "a tunnel without a usable id"));
  if (const auto* connections = member(value, "connections"); connections != nullptr && connections->is_array())
    tunnel.connections = static_cast<std::int64_t>(connections->get_array().size());
  return tunnel;
}

CfResult<CreatedTunnel> created_tunnel_of(const boost::json::value& value) {
  const auto tunnel = tunnel_of(value);
  if (!tunnel) return std::unexpected(tunnel.error());
  return CreatedTunnel{.id = tunnel->id, .token = Secret(text_member(value, "token"))};
}

CfResult<DnsRecord> record_of(const boost::json::value& value) {
  DnsRecord record{.id = text_member(value, "id"),
                   .type = text_member(value, "type"),
                   .name = text_member(value, "name"),
                   .content = text_member(value, "content"),
                   .comment = text_member(value, "comment"),
                   .created_at = time_member(value, "created_on")};
  if (const auto* proxied = member(value, "proxied"); proxied != nullptr && proxied->is_bool())
    record.proxied = proxied->get_bool();
  if (!is_record_id(record.id)) return std::unexpected(not_an_answer(200, "a record without a usable id"));
  return record;
}

}  // namespace ee::cp::cloudflare
