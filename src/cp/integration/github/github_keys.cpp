#include "cp/integration/github/github_keys.h"

namespace ee::cp::github {

JwksLimits signing_key_limits(metrics::Registry& metrics, std::function<void()> wake_refresh) {
  const auto fetches = metrics.counter("ee_github_jwks_refresh_total", "Fetches of GitHub Actions' signing keys.",
                                       {{"result", {"ok", "unreachable", "bad_answer", "stopped"}}});
  return {.connect_timeout = Milliseconds(3'000),
          .total_timeout = Milliseconds(5'000),
          .max_bytes = 256UL * 1024,
          .max_keys = 64,
          .forced_interval = Seconds(10),
          .failure_memory = Seconds(5),
          .retry_delays = {{.least = Milliseconds(100), .most = Milliseconds(300)},
                           {.least = Milliseconds(300), .most = Milliseconds(900)}},
          .max_waiting = 4,
          .refresh_percent = 80,
          .wake_refresh = std::move(wake_refresh),
          .unavailable = ErrorCode::auth_unavailable,
          .unknown_key = ErrorCode::oidc_invalid,
          .on_fetch = [fetches](JwksFetch result) { fetches.with({to_string(result)}).increment(); }};
}

}  // namespace ee::cp::github
