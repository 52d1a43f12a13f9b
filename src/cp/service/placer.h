#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/placement_reasons.h"
#include "cp/service/agent_slots.h"
#include "cp/store/placement_store.h"

namespace ee::cp {

/// How often a datacenter was used by the same request: replicas spread where they can.
using DatacenterUse = std::map<std::string, std::int64_t>;

/// `agent_not_eligible`, with every reason in its member `reasons`.
Error not_eligible(const std::vector<PlacementReason>& reasons);

/// Finds and claims agents (03 section 5.3). A pure function of the database: own agents before public ones, longest
/// idle first, ties by id. Thread-safe.
class Placer {
 public:
  /// Rows of one pool that are looked at when something beyond the index decides.
  static constexpr std::int64_t kMostRows = 256;
  static constexpr int kMostLosses = 16;
  static constexpr Seconds kLossRetry{1};
  static constexpr int kMostDatacenters = 256;

  Placer(const AgentSlots& slots, const DeploymentCounters& counters) : slots_(slots), counters_(counters) {}

  /// Claims one agent for the deployment, in the caller's transaction. `sizes` in the order of preference; pools of the
  /// least used datacenters first. Nothing: no agent can take it now.
  Result<std::optional<AgentRow>> claim(db::Transaction& tx, const PlacementQuestion& question,
                                        const PlacementCaller& caller, const std::vector<std::string>& sizes,
                                        const DeploymentId& deployment, const DatacenterUse& used, UtcTime now) const;
  /// The same for somebody who is told why not. Errors: `no_capacity`; with `retry_after` when others were faster
  /// kMostLosses times, so that there may well be an agent.
  Result<AgentRow> claim_or_refuse(db::Transaction& tx, const PlacementQuestion& question,
                                   const PlacementCaller& caller, const std::vector<std::string>& sizes,
                                   const DeploymentId& deployment, const DatacenterUse& used, UtcTime now) const;
  /// Claims the agent that the question pins. Errors: `agent_not_found`, `not_eligible`.
  Result<AgentRow> claim_pinned(db::Transaction& tx, const PlacementQuestion& question, const PlacementCaller& caller,
                                const DeploymentId& deployment, UtcTime now) const;
  /// The agent that `claim` would take; changes nothing.
  Result<std::optional<PlacementCandidate>> select(db::Transaction& tx, const PlacementQuestion& question,
                                                   const PlacementCaller& caller,
                                                   const std::vector<std::string>& sizes) const;

 private:
  struct Attempt {
    std::optional<AgentRow> won = {};
    int losses = 0;
  };
  Result<Attempt> attempt(db::Transaction& tx, const PlacementQuestion& question, const PlacementCaller& caller,
                          const std::vector<std::string>& sizes, const DeploymentId& deployment,
                          const DatacenterUse& used, UtcTime now) const;
  Result<std::vector<std::string>> datacenters(db::Transaction& tx, const PlacementRules& rules, const std::string& key,
                                               const std::string& size, const DatacenterUse& used) const;
  /// Calls `take` with candidates in order until it answers true.
  template <class Take>
  Result<bool> walk(db::Transaction& tx, const PlacementQuestion& question, const PlacementCaller& caller,
                    const std::vector<std::string>& sizes, const DatacenterUse& used, const Take& take) const;

  const AgentSlots& slots_;
  const DeploymentCounters& counters_;
  PlacementStore agents_;
};

}  // namespace ee::cp
