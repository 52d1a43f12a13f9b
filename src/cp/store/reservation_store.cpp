#include "cp/store/reservation_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

const std::string& select_reservations() {
  static const std::string text = "SELECT " + db::columns_of<ReservationRow>() + " FROM capacity_reservations";
  return text;
}

}  // namespace

Result<void> ReservationStore::insert(db::Transaction& tx, const ReservationRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO capacity_reservations ({}) VALUES ({})",
                                             db::columns_of<ReservationRow>(), db::placeholders_of<ReservationRow>());
  const auto inserted = tx.execute(sql, db::params_of(row));
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::optional<ReservationRow>> ReservationStore::open_of(db::Transaction& tx, const AgentId& agent) const {
  static const std::string sql = select_reservations() + " WHERE agent_id=:agent AND status='open'";
  return tx.query_one<ReservationRow>(sql, {{"agent", agent}});
}

Result<std::optional<AccountId>> ReservationStore::reserved_for(db::Transaction& tx, const AgentId& agent) const {
  const auto open = open_of(tx, agent);
  if (!open) return std::unexpected(open.error());
  return *open ? (*open)->account_id : std::nullopt;
}

Result<std::optional<ReservationRow>> ReservationStore::consumed_by(db::Transaction& tx,
                                                                    const DeploymentId& deployment) const {
  static const std::string sql = select_reservations() + " WHERE deployment_id=:deployment AND status='consumed'";
  return tx.query_one<ReservationRow>(sql, {{"deployment", deployment}});
}

Result<bool> ReservationStore::consume(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment,
                                       UtcTime now) const {
  const auto changed = tx.execute(
      "UPDATE capacity_reservations SET status='consumed', deployment_id=:deployment, consumed_at=:now, updated_at=:now"
      " WHERE agent_id=:agent AND status='open'",
      {{"deployment", deployment}, {"now", now}, {"agent", agent}});
  if (!changed) return std::unexpected(changed.error());
  return *changed > 0;
}

Result<void> ReservationStore::end(db::Transaction& tx, const std::string& id, ReservationStatus status,
                                   std::string_view reason, UtcTime now) const {
  const auto changed = tx.execute(
      "UPDATE capacity_reservations SET status=:status, end_reason=:reason, ended_at=:now, updated_at=:now"
      " WHERE id=:id AND status IN ('open','consumed')",
      {{"status", status}, {"reason", reason}, {"now", now}, {"id", id}});
  if (!changed) return std::unexpected(changed.error());
  return {};
}

Result<bool> ReservationStore::target_goes_on(db::Transaction& tx, const std::string& target_id, UtcTime now) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT 1 FROM capacity_pool_targets WHERE id=:id AND account_id IS NOT NULL AND enabled=1"
      " AND (expires_at IS NULL OR expires_at>:now)",
      {{"id", target_id}, {"now", now}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

}  // namespace ee::cp
