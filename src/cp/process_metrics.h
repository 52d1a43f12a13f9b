#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "attestation/verify/collateral_cache.h"
#include "common/metrics.h"
#include "cp/domain/attestation_attempt.h"
#include "cp/service/heartbeat.h"
#include "db/write_observer.h"
#include "net/server.h"

namespace ee::cp {

/// The counters that no single part owns: requests, database groups, registrations, tunnels. Thread-safe.
class ProcessMetrics final : public db::WriteObserver {
 public:
  /// `routes`: templates of all routes, the closed set of that label.
  ProcessMetrics(metrics::Registry& registry, const std::string& version, const std::string& git_sha);

  /// Once the route table is known.
  void set_routes(metrics::Registry& registry, const std::vector<std::string>& routes);

  void group_finished(std::size_t items, bool committed, db::Microseconds took, std::size_t queued) override;
  void write_finished(db::Microseconds took) override;
  void slow_write(db::Microseconds took) override;
  void group_failed(std::string_view detail) override;

  /// One request: metrics, and the access line in the log (query strings never appear).
  void request(const net::AccessRecord& record);
  void rate_limited(std::string_view limit_class);
  void registration(std::optional<ErrorCode> reason, const AttestationAttempt& attempt, Milliseconds took);
  /// An attempt to attest, of a registration or a refresh.
  void attestation(std::optional<ErrorCode> reason, const AttestationAttempt& attempt, Milliseconds took);
  void nonce_issued(std::string_view purpose);
  /// A nonce was used up (nothing), or refused with the reason.
  void nonce_used(std::optional<ErrorCode> refused);
  void heartbeat(HeartbeatResult result);
  void tunnel(std::string_view op, std::string_view result);
  void cloudflare_call(std::string_view op, std::string_view status);
  void stripe_call(std::string_view call, std::string_view result);
  void audit_failed();
  void collateral(const attestation::CollateralFetchReport& report);

 private:
  metrics::Histogram write_seconds_;
  metrics::Histogram group_size_;
  metrics::Gauge queue_depth_;
  metrics::Family<metrics::Counter> attempts_;
  metrics::Family<metrics::Counter> rejects_;
  metrics::Family<metrics::Counter> registrations_;
  metrics::Family<metrics::Histogram> attestation_seconds_;
  metrics::Family<metrics::Counter> warnings_;
  metrics::Family<metrics::Counter> nonces_;
  metrics::Counter nonces_consumed_;
  metrics::Family<metrics::Counter> nonces_rejected_;
  metrics::Family<metrics::Counter> heartbeats_;
  metrics::Family<metrics::Counter> rate_limited_;
  metrics::Family<metrics::Counter> tunnels_;
  metrics::Family<metrics::Counter> cloudflare_;
  metrics::Family<metrics::Counter> stripe_;
  metrics::Counter audit_failures_;
  metrics::Family<metrics::Counter> collateral_;
  metrics::Family<metrics::Counter> rejected_;
  std::optional<metrics::Family<metrics::Counter>> requests_;
  std::optional<metrics::Family<metrics::Histogram>> request_seconds_;
};

}  // namespace ee::cp
