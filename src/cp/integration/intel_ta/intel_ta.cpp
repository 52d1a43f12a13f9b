#include "cp/integration/intel_ta/intel_ta.h"

#include "common/crypto.h"

namespace ee::cp {
namespace {

JwksLimits limits_with(const metrics::Family<metrics::Counter>& fetches) {
  JwksLimits limits;
  limits.on_fetch = [fetches](JwksFetch result) { fetches.with({to_string(result)}).increment(); };
  return limits;
}

}  // namespace

IntelTa::IntelTa(HttpClient& http, Clock& clock, Random& random, metrics::Registry& metrics)
    : client_(http, clock, random, metrics),
      keys_(http, clock, random,
            limits_with(metrics.counter("ee_jwks_refresh_total", "Fetches of Intel Trust Authority's signing keys.",
                                        {{"result", {"ok", "unreachable", "bad_answer", "stopped"}}}))),
      clock_(clock) {}

Result<IntelTaVerdict> IntelTa::appraise(const attestation::Quote& quote, Bytes preimage, const IntelTaConfig& config,
                                         std::string_view request_id, const std::stop_token& stop) {
  const auto token = client_.attest(config.call, quote.bytes(), preimage, request_id, stop);
  if (!token) return std::unexpected(token.error());
  return verify(*token, quote, preimage, config, stop);
}

Result<IntelTaVerdict> IntelTa::verify(std::string_view token, const attestation::Quote& quote, Bytes preimage,
                                       const IntelTaConfig& config, const std::stop_token& stop) {
  const attestation::ItaVerifier verifier(config.rules);
  const auto parsed = verifier.read(token);
  if (!parsed) return std::unexpected(parsed.error());
  const auto keys = keys_.keys_for(parsed->kid(), config.keys, stop);
  if (!keys) return std::unexpected(keys.error());
  auto claims = verifier.verify(*parsed, *keys->set, clock_.now());
  if (!claims) return std::unexpected(std::move(claims.error()));
  if (auto fits = attestation::check_ita_claims(*claims, quote, preimage); !fits)
    return std::unexpected(std::move(fits.error()));
  return IntelTaVerdict{
      .claims = std::move(*claims), .stale_keys = keys->stale, .token_sha256 = to_hex(sha256(bytes_of(token)))};
}

}  // namespace ee::cp
