// Gauges about agents that are looked up when metrics are read (02 section 11.2).
#include <boost/describe/enumerators.hpp>
#include <boost/mp11/algorithm.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "cp/app_parts.h"

namespace ee::cp {
namespace {

/// The values of a described enumeration, as they are named in JSON.
template <class Enum>
std::vector<std::string> names() {
  std::vector<std::string> out;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<Enum>>(
      [&](auto each) { out.emplace_back(name_of(each.value)); });
  return out;
}

}  // namespace

void add_agent_metrics(App::Parts& parts) {
  const auto agents = parts.metrics.gauge("ee_agents", "Agents that are not deleted.",
                                          {{"status", names<AgentStatus>()}, {"health", names<HealthStatus>()}});
  const auto lag = parts.metrics.gauge("ee_agent_flush_lag_seconds", "How long a heartbeat waited to be written.");
  const auto budget = parts.metrics.gauge("ee_cloudflare_budget_remaining", "Calls of Cloudflare's API that are left.");
  const auto stuck =
      parts.metrics.gauge("ee_agent_cleanup_stuck", "Deleted agents whose clean-up has failed for a day.");
  const auto in_flight = parts.metrics.gauge("ee_http_in_flight", "Requests that are worked on.");
  struct Counted {  // by every reader of the metrics
    std::mutex mutex;
    std::map<std::pair<AgentStatus, HealthStatus>, std::int64_t> agents;
  };
  parts.metrics.on_collect([&parts, agents, lag, budget, stuck, in_flight, known = std::make_shared<Counted>()] {
    const std::lock_guard lock(known->mutex);
    for (auto& [key, count] : known->agents) count = 0;  // a kind that has none left is told as zero
    std::ignore = parts.directory->select([&](const DirectoryEntry& entry) {
      if (entry.status != AgentStatus::deleted) ++known->agents[{entry.status, entry.health_status}];
      return false;  // counted; no copy is wanted
    });
    for (const auto& [key, count] : known->agents)
      agents.with({name_of(key.first), name_of(key.second)}).set(static_cast<double>(count));
    lag.set(static_cast<double>(parts.flusher->lag().count()) / 1e3);
    budget.set(static_cast<double>(parts.cloudflare->status().budget_remaining));
    stuck.set(static_cast<double>(parts.tunnels->stuck_cleanups()));
    if (parts.server) in_flight.set(static_cast<double>(parts.server->stats().in_flight));
  });
}

}  // namespace ee::cp
