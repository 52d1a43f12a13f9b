#include "cp/store/service_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

const std::string& select_services() {
  static const std::string text = "SELECT " + db::columns_of<ServiceRow>() + " FROM services";
  return text;
}

Result<void> done_of(const Result<std::int64_t>& changed) {
  if (!changed) return std::unexpected(changed.error());
  return {};
}

}  // namespace

Result<void> ServiceStore::insert(db::Transaction& tx, const ServiceRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO services ({}) VALUES ({})", db::columns_of<ServiceRow>(),
                                             db::placeholders_of<ServiceRow>());
  return done_of(tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::service_name_taken}));
}

Result<std::optional<ServiceRow>> ServiceStore::get(db::Transaction& tx, const std::string& id) const {
  static const std::string sql = select_services() + " WHERE id=:id";
  return tx.query_one<ServiceRow>(sql, {{"id", id}});
}

Result<std::optional<ServiceRow>> ServiceStore::find(db::Transaction& tx, std::string_view name) const {
  static const std::string sql = select_services() + " WHERE name=:name";
  return tx.query_one<ServiceRow>(sql, {{"name", name}});
}

Result<void> ServiceStore::set_access(db::Transaction& tx, const std::string& id, ServiceAccess access,
                                      UtcTime now) const {
  return done_of(tx.execute(
      "UPDATE services SET access=:access, updated_at=:now, row_version=row_version+1 WHERE id=:id AND access<>:access",
      {{"access", access}, {"now", now}, {"id", id}}));
}

Result<void> ServiceStore::restore(db::Transaction& tx, const std::string& id, ServiceAccess access,
                                   UtcTime now) const {
  return done_of(tx.execute(
      "UPDATE services SET access=:access, deleted_at=NULL, updated_at=:now, row_version=row_version+1 WHERE id=:id",
      {{"access", access}, {"now", now}, {"id", id}}));
}

Result<void> ServiceStore::note_healthy(db::Transaction& tx, const std::string& id, UtcTime now) const {
  return done_of(tx.execute("UPDATE services SET last_healthy_at=:now WHERE id=:id", {{"now", now}, {"id", id}}));
}

Result<std::int64_t> ServiceStore::remove_deleted(db::Transaction& tx, UtcTime deleted_before,
                                                  std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM services WHERE id IN (SELECT s.id FROM services s WHERE s.deleted_at IS NOT NULL"
      " AND s.deleted_at<:before AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.service_id=s.id) LIMIT :limit)",
      {{"before", deleted_before}, {"limit", limit}});
}

Result<void> ServiceStore::raise_route_epoch(db::Transaction& tx) const {
  return done_of(tx.execute("UPDATE route_epoch SET epoch=epoch+1 WHERE id=1"));
}

}  // namespace ee::cp
