#include "cp/service/deployment_assignments.h"

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto.h"

namespace ee::cp {

Result<bool> DeploymentAssignments::was_assigned(db::Transaction& tx, const AgentId& agent,
                                                 const std::string& deployment_id,
                                                 const std::string& compose_sha256) const {
  if (!is_uuid(deployment_id)) return false;
  const DeploymentId id(deployment_id);
  const auto deployment = deployments_.get(tx, id);
  if (!deployment) return std::unexpected(deployment.error());
  if (!*deployment) return false;
  if ((*deployment)->agent_id != agent) {  // it may have moved away since
    auto reported = events_.reported_by(tx, id, agent);
    if (!reported || !*reported) return reported;
  }
  const auto revisions = revisions_.list(tx, id);
  if (!revisions) return std::unexpected(revisions.error());
  return std::ranges::any_of(*revisions, [&](const RevisionRow& row) {
    return to_hex(sha256(bytes_of(row.resolved_compose))) == compose_sha256;
  });
}

Result<bool> DeploymentAssignments::serves(db::Transaction& tx, const AgentId& agent,
                                           const std::vector<AccountId>& accounts) const {
  const auto holder = deployments_.holder_of(tx, agent);
  if (!holder) return std::unexpected(holder.error());
  return *holder && std::ranges::find(accounts, (*holder)->account_id) != accounts.end();
}

}  // namespace ee::cp
