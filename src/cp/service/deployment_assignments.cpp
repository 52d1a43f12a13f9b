#include "cp/service/deployment_assignments.h"

#include <algorithm>

#include "common/crypto.h"
#include "cp/store/assignment_store.h"
#include "cp/store/deployment_store.h"

namespace ee::cp {

Result<bool> DeploymentAssignments::was_assigned(db::Transaction& tx, const AgentId& agent,
                                                 const std::string& deployment_id,
                                                 const std::string& compose_sha256) const {
  const AssignmentStore store;
  const DeploymentId deployment(deployment_id);
  const auto placed = store.was_placed(tx, agent, deployment);
  if (!placed || !*placed) return placed;
  const auto documents = store.documents(tx, deployment);
  if (!documents) return std::unexpected(documents.error());
  const bool kept = std::ranges::any_of(
      *documents, [&](const std::string& document) { return to_hex(sha256(bytes_of(document))) == compose_sha256; });
  if (kept) return true;
  return store.had_document(tx, deployment, compose_sha256);
}

Result<bool> DeploymentAssignments::serves(db::Transaction& tx, const AgentId& agent,
                                           const std::vector<AccountId>& accounts) const {
  const auto holder = DeploymentStore().holder_of(tx, agent);
  if (!holder) return std::unexpected(holder.error());
  return *holder && std::ranges::find(accounts, (*holder)->account_id) != accounts.end();
}

}  // namespace ee::cp
