#include "cp/service/tunnel_probe.h"

#include <algorithm>

namespace ee::cp {

Result<bool> TunnelProbe::answers(const AgentId& agent, const std::stop_token& stop) {
  const auto row = parts_.database.read<std::optional<DirectoryRow>>(
      [&](db::Transaction& tx) { return agents_.directory_row(tx, agent); });
  if (!row) return std::unexpected(row.error());
  if (!*row) return false;
  const ResolvedEndpoint endpoint =
      parts_.endpoint.resolve(EndpointFacts{.status = (*row)->status,
                                            .attestation_state = (*row)->attestation_state,
                                            .tunnel_state = (*row)->tunnel_state,
                                            .hostname = (*row)->hostname,
                                            .direct_url = {}});
  if (!endpoint) return false;
  const Milliseconds timeout = parts_.timeout();
  const auto answer = parts_.http.send({.url = endpoint.url + "/.easyenclave/v1/health",
                                        .connect_timeout = timeout,
                                        .total_timeout = timeout,
                                        .max_response_bytes = kMaxAnswer,
                                        .stop = stop});
  // The edge answers for a tunnel without connections too: only the agent knows its own id.
  return answer && answer->status == 200 && answer->header("X-EE-Agent") == agent.str();
}

Result<bool> TunnelProbe::note(const AgentId& agent, bool reachable) {
  const auto changed =
      parts_.database.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
        const auto before = agents_.get(tx, agent);
        if (!before) return std::unexpected(before.error());
        if (!*before || (*before)->tunnel_state != TunnelState::ready || (*before)->tunnel_reachable == reachable)
          return std::optional<AgentRow>();
        AgentRow after = **before;
        after.tunnel_reachable = reachable;
        const auto written = agents_.update(tx, **before, after, parts_.clock.now());
        if (!written) return std::unexpected(written.error());
        return *written ? std::optional(after) : std::nullopt;  // somebody else was faster: the next pass tells
      });
  if (!changed) return std::unexpected(changed.error());
  if (!*changed) return false;
  parts_.directory.put(**changed);
  return true;
}

Result<JobSummary> TunnelProbe::run(const std::stop_token& stop, SteadyTime deadline) {
  auto agents = parts_.directory.select([](const DirectoryEntry& entry) {
    return entry.is_live() && entry.tunnel_state == TunnelState::ready && entry.current_deployment_id.has_value();
  });
  std::ranges::sort(agents, {}, [](const DirectoryEntryPtr& entry) { return entry->id; });
  // Goes on behind the last one, so that a pass that runs out of time does not starve the rest.
  const auto first = std::ranges::upper_bound(agents, last_, {}, [](const DirectoryEntryPtr& e) { return e->id; });
  std::ranges::rotate(agents, first);
  std::map<AgentKey, int> failures;
  for (const DirectoryEntryPtr& entry : agents)
    if (const auto known = failures_.find(entry->id); known != failures_.end()) failures.insert(*known);
  failures_ = std::move(failures);

  JobSummary summary;
  std::int64_t probed = 0;
  std::int64_t failed = 0;
  std::int64_t changed = 0;
  for (const DirectoryEntryPtr& entry : agents) {
    if (stop.stop_requested() || parts_.clock.steady_now() + parts_.timeout() > deadline) break;
    const SteadyTime next = parts_.clock.steady_now() + kBetweenProbes;
    const AgentId id(uuid_text(entry->id));
    const auto answered = answers(id, stop);
    if (!answered) return std::unexpected(answered.error());
    if (stop.stop_requested()) break;  // the answer may be missing because of that
    const bool reachable = *answered;
    last_ = entry->id;
    ++probed;
    if (parts_.observe) parts_.observe(reachable ? "ok" : "failed");
    if (reachable) {
      failures_.erase(entry->id);
    } else {
      ++failed;
      int& in_a_row = failures_[entry->id];
      in_a_row = std::min(in_a_row + 1, kFailuresUntilUnreachable);
    }
    if (reachable || failures_[entry->id] == kFailuresUntilUnreachable) {
      const auto noted = note(id, reachable);
      if (!noted) return std::unexpected(noted.error());
      changed += *noted ? 1 : 0;
    }
    if (!parts_.clock.sleep_until(next, stop)) break;
  }
  summary.count("probed", probed);
  summary.count("failed", failed);
  summary.count("changed", changed);
  summary.stopped = stop.stop_requested();
  return summary;
}

}  // namespace ee::cp
