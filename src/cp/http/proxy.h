#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "common/metrics.h"
#include "cp/http/backend_address.h"
#include "cp/http/backend_health.h"
#include "cp/service/proxy_access.h"
#include "cp/service/proxy_assertions.h"
#include "cp/service/route_table.h"
#include "net/proxy/forward.h"
#include "net/rate_limiter.h"

namespace ee::cp {

/// The effective values of the `proxy.*` settings.
struct ProxySettings {
  std::string host_suffix = {};  ///< empty: no host mode
  net::ForwardLimits limits = {};
  std::int64_t max_in_flight = 10'000;
  std::int64_t max_in_flight_service = 512;
  std::int64_t max_in_flight_backend = 256;
  std::int64_t max_service_rps = 5'000;
  std::int64_t max_tunnels_service = 1'000;
  Seconds drain{30};
  std::int64_t rate_scale_percent = 100;  ///< of all limits on requests a second
};

/// What the requests of one service share in this process. Under `Proxy`'s lock.
struct ServiceLoad {
  std::int64_t in_flight = 0;
  std::int64_t tunnels = 0;
  std::int64_t full_at_ns = 0;  ///< its bucket (generic cell rate algorithm): when it is full again
};

/// The public way to workloads (03 section 9): finds the service, judges the sender, chooses a backend and hands over
/// to the forwarder. Thread-safe; nothing here waits on an io thread.
class Proxy {
 public:
  struct Parts {
    RouteSnapshots& routes;
    ProxyAccess& access;
    ProxyAssertions& assertions;
    BackendAddresses& addresses;
    Clock& clock;
    Random& random;
    std::function<ProxySettings()> settings;           ///< never waits
    std::shared_ptr<const net::TlsClientContext> tls;  ///< for agents behind a tunnel; none: they are not reachable
    metrics::Registry& metrics;
    /// A backend's name led to a forbidden address: for the audit log. On a worker.
    std::function<void(const BackendRoute&, const std::string& request_id)> target_refused;
    std::size_t io_threads = 1;
  };
  explicit Proxy(Parts parts);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  /// For `Application::open_stream`; nothing: the request is not for a workload.
  std::shared_ptr<net::StreamHandler> open(const net::RequestHead& head);
  /// Sets the gauges that time changes; before metrics are read.
  void update_gauges();

 private:
  friend class ProxiedRequest;
  struct Counters;

  /// Counts the request against all bounds until `leave`. Errors: proxy_overloaded.
  Result<void> enter(const ServiceRoute& service, bool tunnel, const ProxySettings& settings);
  void leave(const std::string& service_id, bool tunnel);
  void scale_rates(const ProxySettings& settings);
  net::RateDecision take_service(const ServiceRoute& service, const ProxySettings& settings);

  Parts parts_;
  const net::RouteInfo route_;
  net::Forwarder forwarder_;
  BackendHealth health_;
  net::RateLimiter by_address_;
  net::RateLimiter by_account_;
  std::unique_ptr<Counters> counters_;
  std::atomic<std::int64_t> in_flight_ = 0;
  std::atomic<std::int64_t> rate_scale_percent_ = 100;
  std::mutex mutex_;
  std::unordered_map<std::string, ServiceLoad> load_;  ///< by service id
};

}  // namespace ee::cp
