#pragma once
#include "cp/service/agent_assignments.h"

namespace ee::cp {

/// Answers from the deployments' tables. Stateless, thread-safe.
class DeploymentAssignments final : public AgentAssignments {
 public:
  /// Of all revisions that there ever were. `compose_sha256` is that of the agent's document, so of the resolved file.
  Result<bool> was_assigned(db::Transaction& tx, const AgentId& agent, const std::string& deployment_id,
                            const std::string& compose_sha256) const override;
  Result<bool> serves(db::Transaction& tx, const AgentId& agent, const std::vector<AccountId>& accounts) const override;
};

}  // namespace ee::cp
