#include "cp/service/deployment_hooks.h"

#include "cp/domain/agent_changes.h"

namespace ee::cp {

Result<bool> DeploymentHooks::request_migration(db::Transaction&, const AgentRow&, UtcTime) { return false; }
Result<std::optional<AccountId>> DeploymentHooks::account_of_deployment(db::Transaction&, const AgentRow&) {
  return std::nullopt;
}
Result<std::optional<AccountId>> DeploymentHooks::reserved_for(db::Transaction&, const AgentRow&) {
  return std::nullopt;
}

Result<void> NoDeployments::apply_agent_report(db::Transaction& tx, const AgentRow& agent,
                                               const std::optional<agent_api::WorkloadReport>& workload, UtcTime now) {
  // An agent that was told to stop something (reset) is free as soon as it says that nothing runs.
  if (workload || agent.status != AgentStatus::undeploying) return {};
  AgentRow after = agent;
  const auto changed = change_state(after, AgentEvent::workload_stopped, facts_of(agent), now);
  if (!changed) return std::unexpected(changed.error());
  const auto written = AgentStore().update(tx, agent, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  return {};
}

Result<void> NoDeployments::agent_attestation_lost(db::Transaction&, const AgentRow&, UtcTime) { return {}; }
Result<void> NoDeployments::agent_removed(db::Transaction&, const AgentRow&, UtcTime) { return {}; }
Result<bool> NoDeployments::request_stop(db::Transaction&, const AgentRow&, bool, UtcTime) { return false; }

agent_api::Desired NoDeployments::desired_for(const DirectoryEntry&,
                                              const std::optional<agent_api::WorkloadReport>& reported) const {
  return {.action = agent_api::DesiredAction::none,
          .deployment_id = {},
          .assignment_epoch = {},
          .revision = {},
          .grace_seconds = reported ? kUnknownGrace.count() : 0};
}

}  // namespace ee::cp
