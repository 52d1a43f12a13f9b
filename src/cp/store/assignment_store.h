#pragma once
#include <string>
#include <vector>

#include "common/id.h"
#include "db/database.h"

namespace ee::cp {

/// What was ever assigned to which agent, read from the deployments' tables. Stateless.
class AssignmentStore {
 public:
  /// The `detail` of the event by which a deployment came to an agent: `was_placed` looks for it.
  static std::string event_detail(const AgentId& agent);

  /// Whether the deployment holds, held or was at least assigned to the agent.
  Result<bool> was_placed(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment) const;
  /// Whether a revision that is not kept any more had the document with this SHA-256 (hex).
  Result<bool> had_document(db::Transaction& tx, const DeploymentId& deployment,
                            const std::string& compose_sha256) const;
  /// `resolved_compose` of the revisions that are kept, the newest first.
  Result<std::vector<std::string>> documents(db::Transaction& tx, const DeploymentId& deployment) const;
};

}  // namespace ee::cp
