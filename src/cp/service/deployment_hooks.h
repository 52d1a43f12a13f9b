#pragma once
#include <optional>

#include "common/agent_api.h"
#include "cp/domain/agent.h"
#include "cp/service/directory.h"
#include "db/database.h"

namespace ee::cp {

/// What the life of agents tells and asks the deployment service. The calls with a transaction join the caller's: its
/// changes and the agent's are one. Thread-safe.
class DeploymentHooks {
 public:
  virtual ~DeploymentHooks() = default;

  /// An agent said what it runs (nothing: null), and it is not what it said last. `agent` is the row as the caller's
  /// transaction read it; the hook may change the row with its guard.
  virtual Result<void> apply_agent_report(db::Transaction& tx, const AgentRow& agent,
                                          const std::optional<agent_api::WorkloadReport>& workload, UtcTime now) = 0;
  /// The agent's attestation failed: its deployment is unrouted and moves. Before the agent's row is written.
  virtual Result<void> agent_attestation_lost(db::Transaction& tx, const AgentRow& agent, UtcTime now) = 0;
  /// The agent is being deleted or was reset.
  virtual Result<void> agent_removed(db::Transaction& tx, const AgentRow& agent, UtcTime now) = 0;
  /// Somebody asks that the agent's deployment ends. False: it has none.
  virtual Result<bool> request_stop(db::Transaction& tx, const AgentRow& agent, bool by_admin, UtcTime now) = 0;
  /// Somebody who drains the agent asks that its deployment is placed elsewhere. False: it has none, or cannot move.
  virtual Result<bool> request_migration(db::Transaction& tx, const AgentRow& agent, UtcTime now);
  /// Whose deployment the agent holds. Nothing: nobody's, as far as is known.
  virtual Result<std::optional<AccountId>> account_of_deployment(db::Transaction& tx, const AgentRow& agent);
  /// The account that the agent is reserved for, if an open reservation names one: part of its `placement_key`.
  virtual Result<std::optional<AccountId>> reserved_for(db::Transaction& tx, const AgentRow& agent);
  /// What the agent should run, from memory: asked for by each heartbeat.
  virtual agent_api::Desired desired_for(const DirectoryEntry& agent,
                                         const std::optional<agent_api::WorkloadReport>& reported) const = 0;
};

/// A control plane that holds no deployments: an agent is told to run nothing, and one that still runs something keeps
/// it for `kUnknownGrace`, so that a restored backup can claim it.
class NoDeployments final : public DeploymentHooks {
 public:
  static constexpr Seconds kUnknownGrace{600};

  Result<void> apply_agent_report(db::Transaction& tx, const AgentRow& agent,
                                  const std::optional<agent_api::WorkloadReport>& workload, UtcTime now) override;
  Result<void> agent_attestation_lost(db::Transaction& tx, const AgentRow& agent, UtcTime now) override;
  Result<void> agent_removed(db::Transaction& tx, const AgentRow& agent, UtcTime now) override;
  Result<bool> request_stop(db::Transaction& tx, const AgentRow& agent, bool by_admin, UtcTime now) override;
  agent_api::Desired desired_for(const DirectoryEntry& agent,
                                 const std::optional<agent_api::WorkloadReport>& reported) const override;
};

}  // namespace ee::cp
