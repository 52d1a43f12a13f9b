#pragma once
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/http_client.h"
#include "common/metrics.h"
#include "common/random.h"
#include "common/secret.h"

namespace ee::attestation {

enum class IntelTaVersion : std::uint8_t { v1, v2 };

/// `intel_ta.*` settings of the attest call.
struct IntelTaSettings {
  std::string api_url;  ///< scheme, host and perhaps a prefix; the path is added
  IntelTaVersion version = IntelTaVersion::v2;
  Secret api_key;
  std::vector<std::string> policy_ids = {};
  bool policy_must_match = false;
};

/// Whether a base URL can be used: http or https, without query, fragment or user, and not already ending in the path
/// that is added (nothing is silently cut off). Error: setting_invalid.
[[nodiscard]] Result<void> check_intel_ta_url(std::string_view api_url);

/// Body of the attest call, byte for byte (01 section 9.2).
std::string intel_ta_attest_body(const IntelTaSettings& settings, Bytes quote, Bytes runtime_data);

/// Asks Intel Trust Authority to appraise a quote. Blocks for up to three calls of 15 s each, and the waits between
/// them; a stop request ends it at once. Thread-safe.
class IntelTaClient {
 public:
  static constexpr Milliseconds kConnectTimeout{5'000};
  static constexpr Milliseconds kTotalTimeout{15'000};
  static constexpr std::size_t kMaxAnswerBytes = 64UL * 1024;

  /// The references outlive this. Counts `ee_ita_requests_total{result}`.
  IntelTaClient(HttpClient& http, Clock& clock, Random& random, metrics::Registry& metrics);

  /// The token, not verified. `runtime_data` is what REPORTDATA is the SHA-512 of. The API key goes into one header of
  /// requests to `settings.api_url` and nowhere else; redirects are not followed.
  /// Errors: ita_quote_rejected (400, 422), ita_auth_failed (401, 403), verifier_timeout (stopped),
  /// verifier_unavailable (everything else, after two retries where that can help).
  [[nodiscard]] Result<std::string> attest(const IntelTaSettings& settings, Bytes quote, Bytes runtime_data,
                                           std::string_view request_id, const std::stop_token& stop) const;

 private:
  Result<std::string> attest_with_retries(const HttpClientRequest& request, const std::stop_token& stop) const;

  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  metrics::Family<metrics::Counter> requests_;
};

}  // namespace ee::attestation
