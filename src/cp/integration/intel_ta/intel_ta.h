#pragma once
#include <stop_token>
#include <string>
#include <string_view>

#include "attestation/verify/intel_ta_client.h"
#include "attestation/verify/ita_token.h"
#include "cp/integration/jwks/jwks_cache.h"

namespace ee::cp {

/// All that `intel_ta.*` settings say.
struct IntelTaConfig {
  attestation::IntelTaSettings call;
  JwksSettings keys;
  attestation::ItaRules rules;
};

/// What Intel Trust Authority vouches for.
struct IntelTaVerdict {
  attestation::ItaClaims claims;
  bool stale_keys = false;   ///< warning `jwks_stale`
  std::string token_sha256;  ///< hexadecimal: all of the token that is kept
};

/// Intel Trust Authority as a verifier of quotes: has a token made, or takes one that an agent had made, and checks it
/// against the quote. Fails closed. Thread-safe; calls block.
class IntelTa {
 public:
  /// The references outlive this. Counts `ee_ita_requests_total` and `ee_jwks_refresh_total`.
  IntelTa(HttpClient& http, Clock& clock, Random& random, metrics::Registry& metrics);

  /// Token made now, by our own API key. `preimage` is what REPORTDATA hashes.
  /// Errors: those of IntelTaClient::attest and of `verify`.
  [[nodiscard]] Result<IntelTaVerdict> appraise(const attestation::Quote& quote, Bytes preimage,
                                                const IntelTaConfig& config, std::string_view request_id,
                                                const std::stop_token& stop);
  /// A token from elsewhere. Errors: those of JwksCache::keys_for, attestation::ItaVerifier, check_ita_claims.
  [[nodiscard]] Result<IntelTaVerdict> verify(std::string_view token, const attestation::Quote& quote, Bytes preimage,
                                              const IntelTaConfig& config, const std::stop_token& stop);

  /// For the job `jwks_refresh` and for metrics.
  JwksCache& keys() { return keys_; }

 private:
  attestation::IntelTaClient client_;
  JwksCache keys_;
  Clock& clock_;
};

}  // namespace ee::cp
