#include "cp/service/route_table.h"

#include <algorithm>
#include <condition_variable>

#include "common/json.h"
#include "common/log.h"

namespace ee::cp {
namespace {

struct IngressList {
  std::vector<agent_api::IngressRule> rules = {};
};
BOOST_DESCRIBE_STRUCT(IngressList, (), (rules))

/// The column holds an array; the reader of documents takes objects.
std::optional<std::vector<agent_api::IngressRule>> read_ingress(const std::string& text) {
  auto list = json::read<IngressList>("{\"rules\":" + text + "}");
  if (!list) return std::nullopt;
  return std::move(list->rules);
}

/// I4: the present assignment of a deployment that runs, on an agent that is trusted, and not unhealthy.
bool may_get_traffic(const RoutedBackendRow& row) {
  return row.agent_status != AgentStatus::quarantined && row.attestation_state != AttestationState::failed &&
         row.health != DeploymentHealth::unhealthy;
}

}  // namespace

const BackendRoute* ServiceRoute::backend(std::string_view deployment, std::int64_t wanted_epoch) const {
  const auto found = std::ranges::find_if(backends, [&](const BackendRoute& route) {
    return route.deployment_id == deployment && route.epoch == wanted_epoch;
  });
  return found == backends.end() ? nullptr : &*found;
}

std::shared_ptr<const ServiceRoute> RouteTable::find(std::string_view name) const {
  const auto found = services.find(std::string(name));
  return found == services.end() ? nullptr : found->second;
}

RouteTable build_routes(std::vector<RoutedServiceRow> services, const std::vector<RoutedBackendRow>& backends,
                        const AgentEndpoint& endpoint) {
  RouteTable table{.services = {}, .epoch = 0, .version = 0, .available = true};
  std::unordered_map<std::string, std::shared_ptr<ServiceRoute>> by_id;
  table.services.reserve(services.size());
  for (RoutedServiceRow& row : services) {
    auto route = std::make_shared<ServiceRoute>();
    route->id = row.id;
    route->name = row.name;
    route->account_id = row.account_id;
    route->access = row.access;
    // Settings that cannot be read were written by nobody: the defaults are the safe ones.
    if (row.settings != "{}")
      route->overrides = json::read<ServiceOverrides>(row.settings).value_or(ServiceOverrides{});
    by_id.emplace(row.id, route);
    table.services.emplace(std::move(row.name), std::move(route));
  }
  for (const RoutedBackendRow& row : backends) {
    const auto service = by_id.find(row.service_id);
    if (service == by_id.end()) continue;
    ServiceRoute& route = *service->second;
    ++route.running;
    if (row.attestation_state == AttestationState::failed) route.attestation_lost.push_back(row.deployment_id.str());
    if (!may_get_traffic(row)) continue;
    const ResolvedEndpoint where = endpoint.resolve(EndpointFacts{.status = row.agent_status,
                                                                  .attestation_state = row.attestation_state,
                                                                  .tunnel_state = row.tunnel_state,
                                                                  .hostname = row.hostname,
                                                                  .direct_url = row.direct_url});
    auto ingress = read_ingress(row.ingress);
    if (!where || !ingress || ingress->empty()) continue;
    route.backends.push_back({.deployment_id = row.deployment_id.str(),
                              .agent_id = row.agent_id.str(),
                              .epoch = row.assignment_epoch,
                              .url = where.url,
                              .is_direct = where.is_direct,
                              .ingress = std::move(*ingress)});
  }
  return table;
}

RouteSnapshots::RouteSnapshots(db::Database& database, const AgentEndpoint& endpoint, Clock& clock)
    : database_(database),
      endpoint_(endpoint),
      clock_(clock),
      table_(std::make_shared<const RouteTable>()),
      read_at_(clock.steady_now()) {}

RouteSnapshots::~RouteSnapshots() = default;

Milliseconds RouteSnapshots::age() const {
  return std::chrono::duration_cast<Milliseconds>(clock_.steady_now() - read_at_.load());
}

/// Nothing when the counter stands where it is known to.
Result<std::optional<RouteTable>> RouteSnapshots::read(std::int64_t known) {
  return database_.read<std::optional<RouteTable>>([&](db::Transaction& tx) -> Result<std::optional<RouteTable>> {
    const auto epoch = store_.epoch(tx);
    if (!epoch) return std::unexpected(epoch.error());
    if (*epoch == known) return std::optional<RouteTable>{};
    auto services = store_.services(tx);
    if (!services) return std::unexpected(std::move(services.error()));
    const auto backends = store_.backends(tx);
    if (!backends) return std::unexpected(backends.error());
    RouteTable table = build_routes(std::move(*services), *backends, endpoint_);
    table.epoch = *epoch;
    return std::optional(std::move(table));
  });
}

Result<void> RouteSnapshots::refresh(bool force) {
  const std::lock_guard lock(refreshing_);
  const bool is_due = force || clock_.steady_now() - built_at_ >= kRebuild;
  auto fresh = read(is_due ? -1 : built_epoch_.value_or(-1));
  if (!fresh) {
    if (age() > kMaxAge && table()->available) {
      log::error("proxy", "the routes are too old, nothing is served", {{"code", fresh.error().code}});
      built_epoch_.reset();
      publish({});
    }
    return std::unexpected(std::move(fresh.error()));
  }
  read_at_ = clock_.steady_now();
  if (!*fresh) return {};
  built_epoch_ = (*fresh)->epoch;
  built_at_ = clock_.steady_now();
  publish(std::move(**fresh));
  return {};
}

void RouteSnapshots::publish(RouteTable table) {
  table.version = ++version_;
  auto made = std::make_shared<const RouteTable>(std::move(table));
  const std::lock_guard lock(mutex_);
  table_.swap(made);
}

void RouteSnapshots::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    while (!stop.stop_requested()) {
      (void)refresh();
      std::unique_lock lock(mutex);
      wake.wait_for(lock, stop, kPoll, [] { return false; });
    }
  });
}

void RouteSnapshots::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace ee::cp
