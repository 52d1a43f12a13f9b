#include "cp/store/assignment_store.h"

#include "common/json.h"

namespace ee::cp {

std::string AssignmentStore::event_detail(const AgentId& agent) {
  return "{\"agent_id\":" + json::quote(agent.str()) + "}";
}

// Events of deployments that ended long ago are removed; their last agent and their segments stay.
Result<bool> AssignmentStore::was_placed(db::Transaction& tx, const AgentId& agent,
                                         const DeploymentId& deployment) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT 1 FROM deployments d WHERE d.id=:deployment AND (d.agent_id=:agent"
      " OR EXISTS (SELECT 1 FROM deployment_segments s WHERE s.deployment_id=d.id AND s.agent_id=:agent)"
      " OR EXISTS (SELECT 1 FROM deployment_events e WHERE e.deployment_id=d.id AND e.detail=:detail))",
      {{"deployment", deployment}, {"agent", agent}, {"detail", event_detail(agent)}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<bool> AssignmentStore::had_document(db::Transaction& tx, const DeploymentId& deployment,
                                           const std::string& compose_sha256) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT 1 FROM deployment_past_documents WHERE deployment_id=:deployment AND compose_sha256=:hash",
      {{"deployment", deployment}, {"hash", compose_sha256}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<std::vector<std::string>> AssignmentStore::documents(db::Transaction& tx, const DeploymentId& deployment) const {
  return tx.query<std::string>(
      "SELECT resolved_compose FROM deployment_revisions WHERE deployment_id=:deployment ORDER BY revision DESC",
      {{"deployment", deployment}});
}

}  // namespace ee::cp
