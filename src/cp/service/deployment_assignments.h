#pragma once
#include "cp/service/agent_assignments.h"
#include "cp/store/deployment_event_store.h"
#include "cp/store/deployment_store.h"
#include "cp/store/revision_store.h"

namespace ee::cp {

/// What the tables of deployments say about an agent.
class DeploymentAssignments final : public AgentAssignments {
 public:
  /// True for the agent that the deployment is on or was on last, and for each that once reported it, when one of the
  /// revisions that are kept has a resolved compose file of that digest.
  Result<bool> was_assigned(db::Transaction& tx, const AgentId& agent, const std::string& deployment_id,
                            const std::string& compose_sha256) const override;
  Result<bool> serves(db::Transaction& tx, const AgentId& agent, const std::vector<AccountId>& accounts) const override;

 private:
  DeploymentStore deployments_;
  DeploymentEventStore events_;
  RevisionStore revisions_;
};

}  // namespace ee::cp
