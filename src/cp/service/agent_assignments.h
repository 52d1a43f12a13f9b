#pragma once
#include <string>
#include <vector>

#include "common/id.h"
#include "db/database.h"

namespace ee::cp {

/// What attestation asks the deployment service about an agent. Calls join the caller's transaction. Thread-safe.
class AgentAssignments {
 public:
  virtual ~AgentAssignments() = default;

  /// Whether the control plane ever assigned this deployment, with a compose file of this SHA-256 (64 hex), to the
  /// agent. An agent may have measured deployments that are over by now.
  virtual Result<bool> was_assigned(db::Transaction& tx, const AgentId& agent, const std::string& deployment_id,
                                    const std::string& compose_sha256) const = 0;
  /// Whether one of these accounts has a deployment on the agent now.
  virtual Result<bool> serves(db::Transaction& tx, const AgentId& agent,
                              const std::vector<AccountId>& accounts) const = 0;
};

/// A control plane that holds no deployments.
class NoAssignments final : public AgentAssignments {
 public:
  Result<bool> was_assigned(db::Transaction& /*tx*/, const AgentId& /*agent*/, const std::string& /*deployment_id*/,
                            const std::string& /*compose_sha256*/) const override {
    return false;
  }
  Result<bool> serves(db::Transaction& /*tx*/, const AgentId& /*agent*/,
                      const std::vector<AccountId>& /*accounts*/) const override {
    return false;
  }
};

}  // namespace ee::cp
