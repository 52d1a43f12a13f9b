#include "attestation/verify/intel_ta_client.h"

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <optional>

#include "common/jose.h"
#include "common/json.h"
#include "common/log.h"
#include "common/url.h"

namespace ee::attestation {
namespace {

constexpr std::array<Milliseconds, 2> kRetryDelays = {Milliseconds(500), Milliseconds(2000)};
constexpr Seconds kMaxRetryAfter{5};

std::string_view path_of(IntelTaVersion version) {
  return version == IntelTaVersion::v1 ? "/appraisal/v1/attest" : "/appraisal/v2/attest";
}

std::string url_of(const IntelTaSettings& settings) {
  std::string_view base = settings.api_url;
  while (base.ends_with('/')) base.remove_suffix(1);
  return std::string(base).append(path_of(settings.version));
}

HttpClientRequest request_of(const IntelTaSettings& settings, std::string body, std::string_view request_id,
                             std::stop_token stop) {
  return {.method = "POST",
          .url = url_of(settings),
          .headers = {{"x-api-key", settings.api_key.reveal()},
                      {"Accept", "application/json"},
                      {"Content-Type", "application/json"},
                      {"request-id", std::string(request_id)}},
          .body = std::move(body),
          .connect_timeout = IntelTaClient::kConnectTimeout,
          .total_timeout = IntelTaClient::kTotalTimeout,
          .max_response_bytes = IntelTaClient::kMaxAnswerBytes,
          .stop = std::move(stop)};
}

Result<std::string> token_of(const std::string& body) {
  const auto value = json::parse(body, {.max_bytes = IntelTaClient::kMaxAnswerBytes, .max_depth = 16});
  if (value && value->is_object()) {
    const auto token = jose::text_member(value->get_object(), "token");
    if (token && !token->empty()) return std::string(*token);
  }
  return fail(ErrorCode::verifier_unavailable, "Intel Trust Authority answered without a token");
}

/// `Retry-After` in seconds; dates, which ITA does not send, count as absent.
std::optional<Seconds> retry_after_of(const HttpClientResponse& response) {
  const auto text = response.header("Retry-After");
  if (!text) return std::nullopt;
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return Seconds(seconds);
}

/// What one call came to: an answer for the caller, or a failure that another call may mend.
struct Outcome {
  Result<std::string> result;
  bool retry = false;
  std::optional<Seconds> retry_after = {};
};

Outcome outcome_of(const std::expected<HttpClientResponse, HttpFailure>& answer) {
  const auto unavailable = [](std::string detail) { return fail(ErrorCode::verifier_unavailable, std::move(detail)); };
  if (!answer) {
    const HttpFailure failure = answer.error();
    log::warn("intel_ta", "attest call failed", {{"failure", to_string(failure)}});
    if (failure == HttpFailure::cancelled) return {.result = fail(ErrorCode::verifier_timeout)};
    const bool retry = failure != HttpFailure::bad_url && failure != HttpFailure::answer_too_large;
    return {.result = unavailable("Intel Trust Authority: " + std::string(to_string(failure))), .retry = retry};
  }
  const int status = answer->status;
  log::info("intel_ta", "attest call answered", {{"status", status}, {"trace_id", answer->header("trace-id")}});
  const std::string detail = "Intel Trust Authority answered " + std::to_string(status);
  if (status == 200) return {.result = token_of(answer->body)};
  if (status == 400 || status == 422) return {.result = fail(ErrorCode::ita_quote_rejected, detail)};
  if (status == 401 || status == 403) return {.result = fail(ErrorCode::ita_auth_failed, detail)};
  const bool retry = status == 408 || status == 429 || status >= 500;
  return {.result = unavailable(detail), .retry = retry, .retry_after = retry_after_of(*answer)};
}

}  // namespace

Result<void> check_intel_ta_url(std::string_view api_url) {
  const auto url = parse_url(api_url);
  if (!url || url->has_user || url->has_query || url->has_fragment)
    return fail(ErrorCode::setting_invalid, "must be an http or https URL without user, query and fragment");
  std::string_view path = url->path;
  while (path.ends_with('/')) path.remove_suffix(1);
  for (const std::string_view ending :
       {"/appraisal/v1/attest", "/appraisal/v2/attest", "/appraisal/v1", "/appraisal/v2"})
    if (path.ends_with(ending))
      return fail(ErrorCode::setting_invalid, "must end before /appraisal: the path is added");
  return {};
}

std::string intel_ta_attest_body(const IntelTaSettings& settings, Bytes quote, Bytes runtime_data) {
  std::string policies;
  if (!settings.policy_ids.empty()) {
    policies = R"("policy_ids":[)";
    for (const std::string& id : settings.policy_ids) policies += json::quote(id) + ',';
    policies.back() = ']';
    if (settings.version == IntelTaVersion::v2)
      policies += R"(,"policy_must_match":)" + std::string(settings.policy_must_match ? "true" : "false");
    policies += ',';
  }
  const std::string evidence =
      R"("quote":")" + to_base64(quote) + R"(","runtime_data":")" + to_base64(runtime_data) + '"';
  const bool is_v1 = settings.version == IntelTaVersion::v1;
  return "{" + (is_v1 ? evidence : R"("tdx":{)" + evidence + "}") + ',' + policies + R"("token_signing_alg":"PS384"})";
}

IntelTaClient::IntelTaClient(HttpClient& http, Clock& clock, Random& random, metrics::Registry& metrics)
    : http_(http),
      clock_(clock),
      random_(random),
      requests_(metrics.counter(
          "ee_ita_requests_total", "Attest requests to Intel Trust Authority, each with its retries.",
          {{"result", {"ok", "ita_quote_rejected", "ita_auth_failed", "verifier_unavailable", "verifier_timeout"}}})) {}

Result<std::string> IntelTaClient::attest(const IntelTaSettings& settings, Bytes quote, Bytes runtime_data,
                                          std::string_view request_id, const std::stop_token& stop) const {
  if (auto usable = check_intel_ta_url(settings.api_url); !usable)
    return fail(ErrorCode::verifier_unavailable, "intel_ta.api_url " + usable.error().detail);
  auto token = attest_with_retries(
      request_of(settings, intel_ta_attest_body(settings, quote, runtime_data), request_id, stop), stop);
  requests_.with({token ? "ok" : slug(token.error().code)}).increment();
  return token;
}

Result<std::string> IntelTaClient::attest_with_retries(const HttpClientRequest& request,
                                                       const std::stop_token& stop) const {
  for (std::size_t attempt = 0;; ++attempt) {
    if (stop.stop_requested()) return fail(ErrorCode::verifier_timeout);
    Outcome outcome = outcome_of(http_.send(request));
    if (!outcome.retry || attempt == kRetryDelays.size()) return std::move(outcome.result);
    if (outcome.retry_after > kMaxRetryAfter) {
      // It said when to come back, and that is later than anybody here waits.
      outcome.result.error().retry_after = outcome.retry_after;
      return std::move(outcome.result);
    }
    const Milliseconds delay = outcome.retry_after ? Milliseconds(*outcome.retry_after)
                                                   : Milliseconds(random_.between(0, kRetryDelays[attempt].count()));
    if (!clock_.sleep_for(delay, stop)) return fail(ErrorCode::verifier_timeout);
  }
}

}  // namespace ee::attestation
