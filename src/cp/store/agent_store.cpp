#include "cp/store/agent_store.h"

#include <fmt/format.h>

#include "cp/store/changed_columns.h"

namespace ee::cp {
namespace {

const std::string& select_agents() {
  static const std::string text = "SELECT " + db::columns_of<AgentRow>() + " FROM agents";
  return text;
}
const std::string& select_directory() {
  static const std::string text = "SELECT " + db::columns_of<DirectoryRow>() + " FROM agents";
  return text;
}

/// A list statement names only the filters that are set: few texts, and an index that fits each.
struct ListQuery {
  std::string sql;
  db::Params params;

  template <class T>
  void equal(std::string_view column, const std::optional<T>& value) {
    if (!value) return;
    sql += fmt::format(" AND {0}=:{0}", column);
    params.emplace_back(column, *value);
  }
};

ListQuery list_query(const AgentFilter& filter, const std::optional<AgentId>& after, std::int64_t limit) {
  ListQuery query{.sql = select_agents() + " WHERE id>:after", .params = {}};
  query.params.emplace_back("after", after.value_or(AgentId()));
  query.equal("account_id", filter.account_id);
  query.equal("github_owner_id", filter.github_owner_id);
  query.equal("status", filter.status);
  if (!filter.status) query.sql += " AND status<>'deleted'";
  query.equal("health_status", filter.health_status);
  query.equal("attestation_state", filter.attestation_state);
  query.equal("draining", filter.draining);
  query.equal("node_size", filter.node_size);
  query.equal("datacenter", filter.datacenter);
  if (filter.vm_name_prefix) {
    // A vm_name is a DNS label: `~` is above all of its characters.
    query.sql += " AND vm_name>=:vm_name_from AND vm_name<:vm_name_to";
    query.params.emplace_back("vm_name_from", *filter.vm_name_prefix);
    query.params.emplace_back("vm_name_to", *filter.vm_name_prefix + "~");
  }
  query.sql += " ORDER BY id LIMIT :limit";
  query.params.emplace_back("limit", limit);
  return query;
}

}  // namespace

Result<void> AgentStore::insert(db::Transaction& tx, const AgentRow& row) const {
  static const std::string sql =
      fmt::format("INSERT INTO agents ({}) VALUES ({})", db::columns_of<AgentRow>(), db::placeholders_of<AgentRow>());
  const auto inserted = tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::vm_name_in_use});
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::optional<AgentRow>> AgentStore::get(db::Transaction& tx, const AgentId& id) const {
  static const std::string sql = select_agents() + " WHERE id=:id";
  return tx.query_one<AgentRow>(sql, {{"id", id}});
}

Result<std::optional<AgentRow>> AgentStore::find_by_vm_name(db::Transaction& tx, std::string_view vm_name) const {
  static const std::string sql = select_agents() + " WHERE vm_name=:vm_name AND status<>'deleted'";
  return tx.query_one<AgentRow>(sql, {{"vm_name", vm_name}});
}

// In two parts, each with a partial index of its own.
Result<std::vector<AgentId>> AgentStore::ids_by_vm_name(db::Transaction& tx, std::string_view vm_name,
                                                        std::int64_t limit) const {
  return tx.query<AgentId>(
      "SELECT id FROM agents WHERE vm_name=:vm_name AND status<>'deleted'"
      " UNION ALL SELECT id FROM agents WHERE vm_name=:vm_name AND status='deleted' ORDER BY id DESC LIMIT :limit",
      {{"vm_name", vm_name}, {"limit", limit}});
}

Result<std::optional<AgentRow>> AgentStore::find_by_hostname(db::Transaction& tx, std::string_view hostname) const {
  static const std::string sql = select_agents() + " WHERE hostname=:hostname AND hostname IS NOT NULL";
  return tx.query_one<AgentRow>(sql, {{"hostname", hostname}});
}

Result<bool> AgentStore::update(db::Transaction& tx, const AgentRow& before, AgentRow& after, UtcTime now) const {
  AgentRow written = after;
  written.updated_at = now;
  auto [assignments, params] = changed_columns(before, written, {"id", "vm_name", "created_at", "row_version"});
  params.emplace_back("id", before.id);
  params.emplace_back("expected_version", before.row_version);
  params.emplace_back("expected_status", before.status);
  const std::string sql = fmt::format(
      "UPDATE agents SET {}row_version=row_version+1"
      " WHERE id=:id AND row_version=:expected_version AND status=:expected_status",
      assignments);
  const auto changed = tx.execute(sql, params, db::OnUnique{ErrorCode::in_use});
  if (!changed) return std::unexpected(changed.error());
  if (*changed == 0) return false;
  after.updated_at = now;
  after.row_version = before.row_version + 1;
  return true;
}

Result<std::optional<DirectoryRow>> AgentStore::set_health(db::Transaction& tx, const AgentId& id, HealthStatus from,
                                                           HealthStatus to, const std::optional<std::string>& reason,
                                                           UtcTime now) const {
  static const std::string sql =
      "UPDATE agents SET health_status=:to, health_reason=:reason, health_changed_at=:now,"
      " unhealthy_since_at=:unhealthy_since, updated_at=:now, row_version=row_version+1"
      " WHERE id=:id AND health_status=:from AND status NOT IN ('deleting','deleted') RETURNING " +
      db::columns_of<DirectoryRow>();
  const std::optional<UtcTime> unhealthy_since = to == HealthStatus::unhealthy ? std::optional(now) : std::nullopt;
  return tx.query_one<DirectoryRow>(
      sql,
      {{"to", to}, {"reason", reason}, {"now", now}, {"unhealthy_since", unhealthy_since}, {"id", id}, {"from", from}});
}

Result<std::optional<DirectoryRow>> AgentStore::mark_attestation_stale(db::Transaction& tx, const AgentId& id,
                                                                       UtcTime now) const {
  static const std::string sql =
      "UPDATE agents SET attestation_state='stale', updated_at=:now, row_version=row_version+1"
      " WHERE id=:id AND attestation_state='verified' AND status NOT IN ('deleting','deleted') RETURNING " +
      db::columns_of<DirectoryRow>();
  return tx.query_one<DirectoryRow>(sql, {{"id", id}, {"now", now}});
}

Result<std::optional<DirectoryRow>> AgentStore::mark_attestation_verified(db::Transaction& tx, const AgentId& id,
                                                                          UtcTime attested_at, UtcTime now) const {
  static const std::string sql =
      "UPDATE agents SET attestation_state='verified', updated_at=:now, row_version=row_version+1"
      " WHERE id=:id AND attestation_state='stale' AND attested_at=:attested_at"
      " AND status NOT IN ('deleting','deleted') RETURNING " +
      db::columns_of<DirectoryRow>();
  return tx.query_one<DirectoryRow>(sql, {{"id", id}, {"attested_at", attested_at}, {"now", now}});
}

Result<std::optional<DirectoryRow>> AgentStore::bring_attestation_back(db::Transaction& tx, const AgentId& id,
                                                                       UtcTime limit, UtcTime now) const {
  static const std::string sql =
      "UPDATE agents SET attested_at=:now, attestation_due_at=:now, updated_at=:now, row_version=row_version+1"
      " WHERE id=:id AND attested_at>:limit AND status NOT IN ('deleting','deleted') RETURNING " +
      db::columns_of<DirectoryRow>();
  return tx.query_one<DirectoryRow>(sql, {{"id", id}, {"limit", limit}, {"now", now}});
}

Result<std::vector<AgentId>> AgentStore::attested_after(db::Transaction& tx, UtcTime at, const AgentId& after,
                                                        std::int64_t limit) const {
  return tx.query<AgentId>(
      "SELECT id FROM agents WHERE attested_at>:at AND id>:after AND status NOT IN ('deleting','deleted')"
      " ORDER BY id LIMIT :limit",
      {{"at", at}, {"after", after}, {"limit", limit}});
}

Result<std::optional<DirectoryRow>> AgentStore::request_attestation(db::Transaction& tx, const AgentId& id,
                                                                    UtcTime now) const {
  static const std::string sql =
      "UPDATE agents SET attest_requested_at=:now, updated_at=:now, row_version=row_version+1"
      " WHERE id=:id AND attest_requested_at IS NULL AND attestation_state<>'failed'"
      " AND status NOT IN ('deleting','deleted') RETURNING " +
      db::columns_of<DirectoryRow>();
  return tx.query_one<DirectoryRow>(sql, {{"id", id}, {"now", now}});
}

Result<std::vector<AgentRow>> AgentStore::list(db::Transaction& tx, const AgentFilter& filter,
                                               const std::optional<AgentId>& after, std::int64_t limit) const {
  const ListQuery query = list_query(filter, after, limit);
  return tx.query<AgentRow>(query.sql, query.params);
}

Result<std::vector<AgentChange>> AgentStore::changed_since(db::Transaction& tx, UtcTime updated_at, const AgentId& id,
                                                           std::int64_t limit, UtcTime until) const {
  static const std::string sql = "SELECT " + db::columns_of<AgentChange>() +
                                 " FROM agents WHERE updated_at>=:updated_at AND updated_at<=:until"
                                 " AND (updated_at>:updated_at OR id>:id)"
                                 " ORDER BY updated_at, id LIMIT :limit";
  return tx.query<AgentChange>(sql, {{"updated_at", updated_at}, {"until", until}, {"id", id}, {"limit", limit}});
}

Result<std::vector<DirectoryRow>> AgentStore::directory_page(db::Transaction& tx, const AgentId& after,
                                                             std::int64_t limit) const {
  static const std::string sql = select_directory() + " WHERE id>:after ORDER BY id LIMIT :limit";
  return tx.query<DirectoryRow>(sql, {{"after", after}, {"limit", limit}});
}

Result<std::optional<DirectoryRow>> AgentStore::directory_row(db::Transaction& tx, const AgentId& id) const {
  static const std::string sql = select_directory() + " WHERE id=:id";
  return tx.query_one<DirectoryRow>(sql, {{"id", id}});
}

Result<std::vector<AgentRow>> AgentStore::tunnel_work(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  static const std::string sql = select_agents() +
                                 " WHERE tunnel_state IN ('pending','failed','provisioning','deleting')"
                                 " AND tunnel_next_attempt_at<=:now AND status NOT IN ('deleting','deleted')"
                                 " ORDER BY tunnel_next_attempt_at LIMIT :limit";
  return tx.query<AgentRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<std::vector<AgentRow>> AgentStore::cleanup_work(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  static const std::string sql = select_agents() +
                                 " WHERE status='deleting' AND cleanup_next_attempt_at<=:now"
                                 " ORDER BY cleanup_next_attempt_at LIMIT :limit";
  return tx.query<AgentRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<std::int64_t> AgentStore::count_tunnels(db::Transaction& tx) const {
  // Both parts have a partial index of their own, so that this does not read the fleet.
  const auto count = tx.query_one<std::int64_t>(
      "SELECT (SELECT COUNT(*) FROM agents WHERE tunnel_id IS NOT NULL)"
      " + (SELECT COUNT(*) FROM agents WHERE tunnel_state IN ('pending','failed','provisioning','deleting')"
      "    AND tunnel_state='provisioning' AND tunnel_id IS NULL)");
  if (!count) return std::unexpected(count.error());
  return count->value_or(0);
}

Result<std::int64_t> AgentStore::count_stuck_cleanups(db::Transaction& tx, UtcTime asked_before) const {
  const auto count =
      tx.query_one<std::int64_t>("SELECT COUNT(*) FROM agents WHERE status='deleting' AND deleted_at<:asked_before",
                                 {{"asked_before", asked_before}});
  if (!count) return std::unexpected(count.error());
  return count->value_or(0);
}

Result<std::vector<DirectoryRow>> AgentStore::attestation_due(db::Transaction& tx, UtcTime now, UtcTime after_due,
                                                              const AgentId& after_id, std::int64_t limit) const {
  static const std::string sql = select_directory() +
                                 " WHERE status NOT IN ('deleting','deleted') AND attestation_due_at<=:now"
                                 " AND attestation_due_at>=:after_due"
                                 " AND (attestation_due_at>:after_due OR id>:after_id)"
                                 " ORDER BY attestation_due_at, id LIMIT :limit";
  return tx.query<DirectoryRow>(sql,
                                {{"now", now}, {"after_due", after_due}, {"after_id", after_id}, {"limit", limit}});
}

Result<std::vector<AgentCount>> AgentStore::counts(db::Transaction& tx) const {
  return tx.query<AgentCount>(
      "SELECT status, health_status, COUNT(*) FROM agents WHERE status<>'deleted' GROUP BY status, health_status"
      " ORDER BY status, health_status");
}

Result<std::int64_t> AgentStore::purge_tombstones(db::Transaction& tx, UtcTime deleted_before,
                                                  std::int64_t limit) const {
  const auto ids = tx.query<std::string>(
      "SELECT id FROM agents WHERE status='deleted' AND deleted_at<:before ORDER BY deleted_at LIMIT :limit",
      {{"before", deleted_before}, {"limit", limit}});
  if (!ids) return std::unexpected(ids.error());
  for (const std::string& id : *ids)
    for (const std::string_view sql :
         {"DELETE FROM agent_live WHERE agent_id=:id", "DELETE FROM agent_control_credentials WHERE agent_id=:id",
          "DELETE FROM agents WHERE id=:id AND status='deleted'"}) {
      const auto removed = tx.execute(sql, {{"id", id}});
      if (!removed) return std::unexpected(removed.error());
    }
  return static_cast<std::int64_t>(ids->size());
}

}  // namespace ee::cp
