#pragma once
#include <functional>
#include <shared_mutex>
#include <unordered_map>

#include "common/deployment_document.h"
#include "cp/service/deployment_document.h"
#include "cp/service/deployment_hooks.h"
#include "cp/service/deployment_machine.h"
#include "cp/service/live_map.h"

namespace ee::cp {

/// What agents tell about deployments, and what they are told (03 section 6.3). Thread-safe.
class DeploymentReports final : public DeploymentHooks {
 public:
  /// Grace for a workload that this database does not know: a restored backup may be behind.
  static constexpr Seconds kUnknownGrace{600};

  struct Parts {
    db::Database& database;
    const DeploymentMachine& machine;
    const AgentSlots& slots;
    const LiveMap& live;
    const DeploymentDocuments& documents;
    const Clock& clock;
    DeploymentCounters& counters;
    std::function<void()> wake;  ///< the reconciler has something to do; called inside transactions, must not block
  };
  explicit DeploymentReports(Parts parts) : parts_(std::move(parts)) {}

  Result<void> apply_agent_report(db::Transaction& tx, const AgentRow& agent,
                                  const std::optional<agent_api::WorkloadReport>& workload, UtcTime now) override;
  Result<void> agent_attestation_lost(db::Transaction& tx, const AgentRow& agent, UtcTime now) override;
  Result<void> agent_removed(db::Transaction& tx, const AgentRow& agent, UtcTime now) override;
  Result<bool> request_stop(db::Transaction& tx, const AgentRow& agent, bool by_admin, UtcTime now) override;
  Result<bool> request_migration(db::Transaction& tx, const AgentRow& agent, UtcTime now) override;
  Result<std::optional<AccountId>> account_of_deployment(db::Transaction& tx, const AgentRow& agent) override;
  Result<std::optional<AccountId>> reserved_for(db::Transaction& tx, const AgentRow& agent) override;
  agent_api::Desired desired_for(const DirectoryEntry& agent,
                                 const std::optional<agent_api::WorkloadReport>& reported) const override;

  /// A report with its log or its digests: `/status` and `/deployed`. The agent's row as it is then.
  /// Errors: `stale_assignment`, `invalid_phase`, `digest_mismatch` (the deployment fails all the same),
  /// `agent_not_found`.
  Result<AgentRow> status(const AgentId& agent, const std::optional<agent_api::WorkloadReport>& workload,
                          const std::optional<std::string>& log_tail);
  Result<AgentRow> deployed(const AgentId& agent, const agent_api::DeployedRequest& request);
  /// The document that the agent should hold; nothing: none. With `epoch` and `revision` those that it has:
  /// `not_modified`.
  struct Pulled {
    std::optional<SignedBody> document = {};
    bool not_modified = false;
  };
  Result<Pulled> pull(const AgentId& agent, std::optional<std::int64_t> epoch, std::optional<std::int64_t> revision);

 private:
  struct Heard;
  Result<void> hear(db::Transaction& tx, const AgentRow& agent, const Heard& heard, UtcTime now);
  Result<void> hear_nothing(db::Transaction& tx, const AgentRow& agent, const std::optional<DeploymentRow>& deployment,
                            UtcTime now);
  Result<void> hear_own(db::Transaction& tx, const DeploymentRow& deployment, const Heard& heard, UtcTime now);
  Result<void> free_agent(db::Transaction& tx, const AgentRow& agent, UtcTime now);
  Result<void> lose(db::Transaction& tx, const AgentRow& agent, DeploymentEvent event, UtcTime charged_to);
  Result<std::optional<DeploymentRow>> held_by(db::Transaction& tx, const AgentRow& agent) const;
  Result<agent_api::Desired> read_desired(const DirectoryEntry& agent) const;

  Parts parts_;
  DeploymentStore rows_;
  RevisionStore revisions_;
  AgentStore agents_;

  /// What agents should run, by the version of their row: asked for by each heartbeat.
  struct Known {
    std::int64_t row_version = 0;
    agent_api::Desired desired = {};
  };
  mutable std::shared_mutex mutex_;
  mutable std::unordered_map<AgentKey, Known, AgentKeyHash> known_;
};

}  // namespace ee::cp
