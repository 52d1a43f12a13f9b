#include "attestation/verify/pcs_client.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>

namespace ee::attestation {
namespace {

constexpr std::size_t kMaxAnswerBytes = 1024UL * 1024;
constexpr std::size_t kMaxChainBytes = 16384;
constexpr std::array kPauses = {Milliseconds(500), Milliseconds(2000)};
constexpr Seconds kMaxRetryAfter{5};

/// Where a piece lies, and which header carries the chain of who signed it (none: empty).
struct Place {
  std::string url;
  std::string_view chain_header;
};

std::string without_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

Place place_of(const CollateralKey& key, const PcsEndpoints& endpoints) {
  const std::string base = without_slash(endpoints.pcs_url);
  switch (key.kind) {
    case CollateralKind::root_crl:
      if (!endpoints.root_crl_url.empty()) return {.url = endpoints.root_crl_url, .chain_header = {}};
      return {.url = base + "/sgx/certification/v4/rootcacrl", .chain_header = {}};
    case CollateralKind::pck_crl:
      return {.url = fmt::format("{}/sgx/certification/v4/pckcrl?ca={}&encoding=der", base, to_string(key.ca)),
              .chain_header = "SGX-PCK-CRL-Issuer-Chain"};
    case CollateralKind::tcb_info:
      return {
          .url = fmt::format("{}/tdx/certification/v4/tcb?fmspc={}&update={}", base, key.fmspc, to_string(key.update)),
          .chain_header = "TCB-Info-Issuer-Chain"};
    case CollateralKind::qe_identity:
      return {.url = fmt::format("{}/tdx/certification/v4/qe/identity?update={}", base, to_string(key.update)),
              .chain_header = "SGX-Enclave-Identity-Issuer-Chain"};
  }
  std::abort();
}

/// Strict RFC 3986 percent-decoding; nothing on a broken escape. A plus sign is a plus sign: PEM has some.
std::optional<std::string> percent_decode(std::string_view text) {
  if (text.size() > 3 * kMaxChainBytes) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto byte = from_hex_exact<1>(text.substr(i + 1, 2));
    if (!byte) return std::nullopt;
    out += static_cast<char>(byte->front());
    i += 2;
  }
  return out;
}

bool is_worth_another_try(int status) { return status == 401 || status == 429 || status >= 500; }

/// Whole seconds only: the form with a date is not used by these services.
std::optional<Seconds> retry_after(const HttpClientResponse& answer) {
  const auto header = answer.header("Retry-After");
  if (!header) return std::nullopt;
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(header->data(), header->data() + header->size(), seconds);
  if (error != std::errc{} || end != header->data() + header->size()) return std::nullopt;
  return Seconds(seconds);
}

}  // namespace

PcsClient::PcsClient(HttpClient& http, Clock& clock, Random& random, std::function<PcsEndpoints()> endpoints)
    : http_(http), clock_(clock), random_(random), endpoints_(std::move(endpoints)) {}

Result<CollateralItem> PcsClient::fetch(const CollateralKey& key, std::stop_token stop) {
  const Place place = place_of(key, endpoints_());
  auto answer = get(place.url, stop);
  if (!answer) return std::unexpected(std::move(answer.error()));
  const std::string name = key.text();
  if (answer->status == 404 && key.kind == CollateralKind::tcb_info) return fail(ErrorCode::fmspc_unknown, name);
  if (answer->status != 200)
    return fail(ErrorCode::collateral_unavailable, fmt::format("{}: status {}", name, answer->status));
  if (place.chain_header.empty()) return CollateralItem(std::move(answer->body), "");
  const auto header = answer->header(place.chain_header);
  auto chain = header ? percent_decode(*header) : std::nullopt;
  if (!chain) return fail(ErrorCode::collateral_unavailable, name + ": no issuer chain in the answer");
  return CollateralItem(std::move(answer->body), std::move(*chain));
}

/// The first answer that is not worth another try, or the last one.
Result<HttpClientResponse> PcsClient::get(const std::string& url, const std::stop_token& stop) {
  for (int attempt = 0;; ++attempt) {
    auto answer = http_.send({.url = url, .max_response_bytes = kMaxAnswerBytes, .stop = stop});
    if (answer && !is_worth_another_try(answer->status)) return std::move(*answer);
    if (!pause(attempt, answer ? &*answer : nullptr, stop)) {
      if (answer) return std::move(*answer);
      return fail(ErrorCode::collateral_unavailable, std::string(to_string(answer.error())));
    }
  }
}

/// Waits before another try; false when there shall be none.
bool PcsClient::pause(int attempt, const HttpClientResponse* answer, const std::stop_token& stop) {
  const auto index = static_cast<std::size_t>(attempt);
  if (index >= kPauses.size() || stop.stop_requested()) return false;
  Milliseconds wait(random_.between(0, kPauses[index].count()));
  const auto asked = answer == nullptr ? std::nullopt : retry_after(*answer);
  if (asked && *asked > kMaxRetryAfter) return false;
  if (asked) wait = *asked;
  return clock_.sleep_for(wait, stop);
}

}  // namespace ee::attestation
