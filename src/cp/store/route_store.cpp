#include "cp/store/route_store.h"

namespace ee::cp {

Result<std::int64_t> RouteStore::epoch(db::Transaction& tx) const {
  auto row = tx.query_one<std::int64_t>("SELECT epoch FROM route_epoch WHERE id=1");
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return fail(ErrorCode::internal_error, "route_epoch has no row");
  return **row;
}

Result<std::vector<RoutedServiceRow>> RouteStore::services(db::Transaction& tx) const {
  return tx.query<RoutedServiceRow>(
      "SELECT id, name, account_id, access, settings FROM services WHERE deleted_at IS NULL");
}

Result<std::vector<RoutedBackendRow>> RouteStore::backends(db::Transaction& tx) const {
  return tx.query<RoutedBackendRow>(
      "SELECT d.service_id, d.id, d.agent_id, d.assignment_epoch, d.health, a.status, a.attestation_state,"
      " a.tunnel_state, a.hostname, a.direct_url, r.ingress FROM deployments d"
      " JOIN agents a ON a.id=d.agent_id AND a.current_deployment_id=d.id AND a.assignment_epoch=d.assignment_epoch"
      " JOIN deployment_revisions r ON r.deployment_id=d.id AND r.revision=d.current_revision"
      " WHERE d.state IN ('running','updating') AND d.slot_held=1 ORDER BY d.id");
}

}  // namespace ee::cp
