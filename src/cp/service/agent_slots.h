#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/random.h"
#include "cp/domain/agent_state.h"
#include "cp/domain/deployment.h"
#include "cp/service/deployment_counters.h"
#include "cp/store/agent_store.h"
#include "cp/store/reservation_store.h"
#include "db/database.h"

namespace ee::cp {

/// The agent's side of a deployment: its row (rows D of 02 section 3.1) and its reservation (05 section 6.3), always in
/// the caller's transaction and by the row's guard. Never writes who owns an agent. Thread-safe.
class AgentSlots {
 public:
  AgentSlots(Random& random, const DeploymentCounters& counters) : random_(random), counters_(counters) {}

  /// The agent becomes the deployment's, its open reservation consumed. Nothing: it cannot be claimed any more.
  Result<std::optional<AgentRow>> claim(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment,
                                        UtcTime now) const;

  /// Moves the agent, which is the deployment's, by `event`. Errors: `concurrent_update`; `internal_error`, counted: it
  /// is not the deployment's, or not in a state for this (the placement check mends such rows).
  Result<void> move(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment, AgentEvent event,
                    UtcTime now, std::optional<std::string> deployed_app = {}) const;
  /// Back to `undeployed` from whatever the deployment had made of it. Errors: as `move`.
  Result<void> free(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment, UtcTime now) const;
  /// The reservation that the deployment consumed ends; an account's that still runs opens again on a ready agent.
  Result<void> release(db::Transaction& tx, const DeploymentId& deployment, bool agent_ready, std::string_view reason,
                       UtcTime now) const;
  /// The agent is to run something else of the same deployment: raises its row's version, by which everybody who keeps
  /// what it should run in memory sees it.
  Result<void> touch(db::Transaction& tx, const AgentId& agent, UtcTime now) const;

 private:
  Result<void> write(db::Transaction& tx, const AgentRow& before, AgentRow& after, UtcTime now) const;
  Result<AgentRow> held(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment) const;
  Error conflict(const AgentId& agent, const DeploymentId& deployment, std::string_view what) const;

  Random& random_;
  const DeploymentCounters& counters_;
  AgentStore agents_;
  ReservationStore reservations_;
};

}  // namespace ee::cp
