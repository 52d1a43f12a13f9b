#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "common/deployment_document.h"
#include "cp/service/agent_endpoint.h"
#include "cp/store/route_store.h"

namespace ee::cp {

/// Which pages of other origins may call a service (Fetch standard), answered by the proxy.
struct ServiceCors {
  std::vector<std::string> origins = {};                 ///< `https://host[:port]`, or `*` alone
  std::optional<std::vector<std::string>> methods = {};  ///< GET, HEAD and POST unless given
  std::optional<std::vector<std::string>> headers = {};
  std::optional<bool> credentials = {};  ///< cookies of the workload; never with `*`
};
BOOST_DESCRIBE_STRUCT(ServiceCors, (), (origins, methods, headers, credentials))
constexpr auto json_rules(json::For<ServiceCors>) {
  return std::array{json::field("origins").items(1, 32).length(1, 200), json::field("methods").items(1, 7).length(1, 7),
                    json::field("headers").items(0, 32).length(1, 64)};
}
constexpr std::string_view json_name(json::For<ServiceCors>) { return "ServiceCors"; }

/// What a service may set for itself (03 section 9.8).
struct ServiceOverrides {
  std::optional<std::int64_t> rps = {};
  std::optional<std::int64_t> burst = {};
  std::optional<std::int64_t> max_body_bytes = {};
  std::optional<std::int64_t> header_timeout_ms = {};
  std::optional<std::int64_t> idle_timeout_ms = {};
  std::optional<std::int64_t> total_timeout_ms = {};
  std::optional<ServiceCors> cors = {};
};
BOOST_DESCRIBE_STRUCT(ServiceOverrides, (),
                      (rps, burst, max_body_bytes, header_timeout_ms, idle_timeout_ms, total_timeout_ms, cors))
constexpr auto json_rules(json::For<ServiceOverrides>) {
  return std::array{json::field("rps").between(1, 100'000),
                    json::field("burst").between(1, 200'000),
                    json::field("max_body_bytes").between(1024, 10'737'418'240),
                    json::field("header_timeout_ms").between(1000, 900'000),
                    json::field("idle_timeout_ms").between(5000, 3'600'000),
                    json::field("total_timeout_ms").between(10'000, 86'400'000)};
}
constexpr std::string_view json_name(json::For<ServiceOverrides>) { return "ServiceSettings"; }

/// Where traffic may go: an assignment of a deployment that meets I4 of 03 section 1.
struct BackendRoute {
  std::string deployment_id;
  std::string agent_id;
  std::int64_t epoch = 0;
  std::string url;  ///< an origin, of `AgentEndpoint`
  bool is_direct = false;
  std::vector<agent_api::IngressRule> ingress;
};

struct ServiceRoute {
  std::string id;
  std::string name;
  AccountId account_id;
  ServiceAccess access = ServiceAccess::account;
  ServiceOverrides overrides;
  std::vector<BackendRoute> backends;         ///< in the order of their deployments
  std::vector<std::string> attestation_lost;  ///< deployments that run on agents that lost trust
  std::int64_t running = 0;                   ///< deployments, routable or not

  const BackendRoute* backend(std::string_view deployment, std::int64_t epoch) const;
};

/// Immutable.
struct RouteTable {
  std::unordered_map<std::string, std::shared_ptr<const ServiceRoute>> services;  ///< by name
  std::int64_t epoch = 0;
  std::uint64_t version = 0;  ///< another one: another table
  bool available = false;     ///< false: it is not known where anything runs

  std::shared_ptr<const ServiceRoute> find(std::string_view name) const;
};
using RouteTablePtr = std::shared_ptr<const RouteTable>;

/// Judges the rows. Pure but for what `endpoint` reads of the settings.
RouteTable build_routes(std::vector<RoutedServiceRow> services, const std::vector<RoutedBackendRow>& backends,
                        const AgentEndpoint& endpoint);

/// The route table in memory (03 section 9.2). `table` never blocks; `refresh` looks whether the counter of the
/// database moved and then builds anew. When the database cannot be read for `kMaxAge` the table is emptied: nobody is
/// sent where nothing is known. Thread-safe.
class RouteSnapshots {
 public:
  static constexpr Seconds kMaxAge{15};
  static constexpr Seconds kRebuild{10};    ///< also when nothing moved: settings decide too
  static constexpr Milliseconds kPoll{50};  ///< by the database's own counter, so also for other replicas' changes

  RouteSnapshots(db::Database& database, const AgentEndpoint& endpoint, Clock& clock);
  ~RouteSnapshots();
  RouteSnapshots(const RouteSnapshots&) = delete;
  RouteSnapshots& operator=(const RouteSnapshots&) = delete;

  RouteTablePtr table() const {
    const std::lock_guard lock(mutex_);
    return table_;
  }
  /// Since the database was last read.
  Milliseconds age() const;
  /// Errors: those of the database; the table stays as it is until it is too old.
  Result<void> refresh(bool force = false);
  /// Refreshes each `kPoll` on a thread of its own, until destroyed.
  void start();
  /// Ends that thread.
  void stop();

 private:
  Result<std::optional<RouteTable>> read(std::int64_t known);
  void publish(RouteTable table);

  db::Database& database_;
  const AgentEndpoint& endpoint_;
  Clock& clock_;
  RouteStore store_;
  mutable std::mutex mutex_;  ///< held for the copy of a pointer
  RouteTablePtr table_;
  std::atomic<SteadyTime> read_at_;
  std::mutex refreshing_;
  std::uint64_t version_ = 0;
  std::optional<std::int64_t> built_epoch_;
  SteadyTime built_at_{};
  std::jthread thread_;
};

}  // namespace ee::cp
