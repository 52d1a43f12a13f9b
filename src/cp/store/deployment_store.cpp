#include "cp/store/deployment_store.h"

#include <fmt/format.h>

#include "cp/store/changed_columns.h"

namespace ee::cp {
namespace {

const std::string& select_deployments() {
  static const std::string text = "SELECT " + db::columns_of<DeploymentRow>() + " FROM deployments";
  return text;
}

/// A list statement names only the filters that are set: few texts, and an index that fits each.
struct ListQuery {
  std::string sql = select_deployments() + " WHERE 1=1";
  db::Params params = {};

  template <class T>
  void equal(std::string_view column, const std::optional<T>& value) {
    if (!value) return;
    sql += fmt::format(" AND {0}=:{0}", column);
    params.emplace_back(column, *value);
  }
};

/// `:a0,:a1`: a list of at most a few values. The names live as long as the program.
template <class T>
std::string in_list(db::Params& params, std::string_view prefix, const std::vector<T>& values) {
  static constexpr std::size_t kMost = 64;
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const char letter : {'a', 's', 'o', 'g'})
      for (std::size_t i = 0; i < kMost; ++i) all.push_back(letter + std::to_string(i));
    return all;
  }();
  const std::size_t base = prefix == "a" ? 0 : prefix == "s" ? kMost : prefix == "o" ? 2 * kMost : 3 * kMost;
  std::string out;
  for (std::size_t i = 0; i < values.size() && i < kMost; ++i) {
    const std::string& name = names[base + i];
    out += (i == 0 ? ":" : ",:") + name;
    params.emplace_back(name, values[i]);
  }
  return out.empty() ? "NULL" : out;
}

void add_whose(ListQuery& query, const DeploymentFilter& filter) {
  if (!filter.accounts) return;
  std::string whose = fmt::format("account_id IN ({})", in_list(query.params, "a", *filter.accounts));
  if (!filter.agent_accounts.empty() || !filter.agent_github_owners.empty())
    whose = fmt::format(
        "({} OR agent_id IN (SELECT id FROM agents WHERE account_id IN ({}) OR github_owner_id IN ({})))", whose,
        in_list(query.params, "o", filter.agent_accounts), in_list(query.params, "g", filter.agent_github_owners));
  query.sql += " AND " + whose;
}

ListQuery list_query(const DeploymentFilter& filter, const PageRequest& page) {
  ListQuery query;
  add_whose(query, filter);
  if (!filter.states.empty()) query.sql += fmt::format(" AND state IN ({})", in_list(query.params, "s", filter.states));
  query.equal("agent_id", filter.agent_id);
  query.equal("group_id", filter.group_id);
  if (filter.service) {
    query.sql += " AND service_id=(SELECT id FROM services WHERE name=:service)";
    query.params.emplace_back("service", *filter.service);
  }
  if (filter.app || filter.version) {
    query.sql +=
        " AND EXISTS (SELECT 1 FROM deployment_revisions r WHERE r.deployment_id=deployments.id"
        " AND r.revision=deployments.current_revision";
    if (filter.app) query.sql += " AND r.app_name=:app", query.params.emplace_back("app", *filter.app);
    if (filter.version)
      query.sql += " AND r.app_version=:version", query.params.emplace_back("version", *filter.version);
    query.sql += ")";
  }
  if (filter.created_after)
    query.sql += " AND created_at>:created_after", query.params.emplace_back("created_after", *filter.created_after);
  if (filter.created_before)
    query.sql += " AND created_at<:created_before", query.params.emplace_back("created_before", *filter.created_before);
  if (page.after) {
    query.sql += " AND (created_at<:after_at OR (created_at=:after_at AND id>:after_id))";
    query.params.emplace_back("after_at", page.after->at);
    query.params.emplace_back("after_id", page.after->id);
  }
  query.sql += " ORDER BY created_at DESC, id LIMIT :limit";
  query.params.emplace_back("limit", page.limit + 1);
  return query;
}

}  // namespace

Result<void> DeploymentStore::insert(db::Transaction& tx, const DeploymentRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO deployments ({}) VALUES ({})",
                                             db::columns_of<DeploymentRow>(), db::placeholders_of<DeploymentRow>());
  const auto inserted = tx.execute(sql, db::params_of(row));
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::optional<DeploymentRow>> DeploymentStore::get(db::Transaction& tx, const DeploymentId& id) const {
  static const std::string sql = select_deployments() + " WHERE id=:id";
  return tx.query_one<DeploymentRow>(sql, {{"id", id}});
}

Result<std::optional<std::int64_t>> DeploymentStore::version_of(db::Transaction& tx, const DeploymentId& id) const {
  return tx.query_one<std::int64_t>("SELECT row_version FROM deployments WHERE id=:id", {{"id", id}});
}

Result<bool> DeploymentStore::update(db::Transaction& tx, const DeploymentRow& before, DeploymentRow& after,
                                     UtcTime now) const {
  DeploymentRow written = after;
  written.updated_at = now;
  auto [assignments, params] = changed_columns(before, written, {"id", "created_at", "row_version"});
  params.emplace_back("id", before.id);
  params.emplace_back("expected_version", before.row_version);
  const auto changed = tx.execute(
      fmt::format("UPDATE deployments SET {}row_version=row_version+1 WHERE id=:id AND row_version=:expected_version",
                  assignments),
      params);
  if (!changed) return std::unexpected(changed.error());
  if (*changed == 0) return false;
  after.updated_at = now;
  after.row_version = before.row_version + 1;
  return true;
}

Result<Page<DeploymentRow>> DeploymentStore::list(db::Transaction& tx, const DeploymentFilter& filter,
                                                  const PageRequest& page) const {
  const ListQuery query = list_query(filter, page);
  auto rows = tx.query<DeploymentRow>(query.sql, query.params);
  if (!rows) return std::unexpected(rows.error());
  return page_of(std::move(*rows), page.limit,
                 [](const DeploymentRow& row) { return PagePosition{.at = row.created_at, .id = row.id.str()}; });
}

Result<std::optional<DeploymentRow>> DeploymentStore::holder_of(db::Transaction& tx, const AgentId& agent) const {
  static const std::string sql = select_deployments() + " WHERE agent_id=:agent AND slot_held=1";
  return tx.query_one<DeploymentRow>(sql, {{"agent", agent}});
}

Result<std::vector<DeploymentRow>> DeploymentStore::due(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  static const std::string sql = select_deployments() +
                                 " WHERE next_action_at IS NOT NULL AND next_action_at<=:now"
                                 " AND (lease_expires_at IS NULL OR lease_expires_at<:now)"
                                 " ORDER BY next_action_at LIMIT :limit";
  return tx.query<DeploymentRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<std::vector<DeploymentRow>> DeploymentStore::lease_due(db::Transaction& tx, const std::string& owner,
                                                              UtcTime until, UtcTime now, std::int64_t limit) const {
  static const std::string sql =
      "UPDATE deployments SET lease_owner=:owner, lease_expires_at=:until, row_version=row_version+1"
      " WHERE id IN (SELECT id FROM deployments WHERE next_action_at IS NOT NULL AND next_action_at<=:now"
      " AND (lease_expires_at IS NULL OR lease_expires_at<:now) ORDER BY next_action_at LIMIT :limit) RETURNING " +
      db::columns_of<DeploymentRow>();
  return tx.query<DeploymentRow>(sql, {{"owner", owner}, {"until", until}, {"now", now}, {"limit", limit}});
}

Result<void> DeploymentStore::change_documents(db::Transaction& tx, const std::string& service_id, UtcTime now) const {
  const auto changed = tx.execute(
      "UPDATE deployments SET document_changed=1, next_action_at=:now, action_attempts=0, row_version=row_version+1"
      " WHERE service_id=:service AND state IN ('assigned','deploying','running','updating')",
      {{"service", service_id}, {"now", now}});
  if (!changed) return std::unexpected(changed.error());
  return {};
}

Result<bool> DeploymentStore::has_changed_document(db::Transaction& tx, const DeploymentId& id) const {
  const auto found = tx.query_one<std::int64_t>("SELECT document_changed FROM deployments WHERE id=:id", {{"id", id}});
  if (!found) return std::unexpected(found.error());
  return found->value_or(0) != 0;
}

Result<void> DeploymentStore::document_arrived(db::Transaction& tx, const DeploymentId& id) const {
  const auto changed =
      tx.execute("UPDATE deployments SET document_changed=0 WHERE id=:id AND document_changed=1", {{"id", id}});
  if (!changed) return std::unexpected(changed.error());
  return {};
}

Result<std::int64_t> DeploymentStore::release_leases(db::Transaction& tx, const std::string& owner) const {
  return tx.execute(
      "UPDATE deployments SET lease_owner=NULL, lease_expires_at=NULL, row_version=row_version+1"
      " WHERE next_action_at IS NOT NULL AND lease_owner=:owner",
      {{"owner", owner}});
}

Result<std::vector<DeploymentRow>> DeploymentStore::expired(db::Transaction& tx, UtcTime now,
                                                            std::int64_t limit) const {
  static const std::string sql = select_deployments() +
                                 " WHERE expires_at IS NOT NULL AND ended_at IS NULL AND expires_at<=:now"
                                 " AND state<>'stopping' ORDER BY expires_at LIMIT :limit";
  return tx.query<DeploymentRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<std::vector<DeploymentRow>> DeploymentStore::waiting(db::Transaction& tx,
                                                            const std::optional<PagePosition>& after,
                                                            std::int64_t limit) const {
  static const std::string sql =
      select_deployments() +
      " WHERE state='pending' AND (created_at>:at OR (created_at=:at AND id>:id)) ORDER BY created_at, id LIMIT :limit";
  const PagePosition from = after.value_or(PagePosition{.at = from_unix_ms(0), .id = ""});
  return tx.query<DeploymentRow>(sql, {{"at", from.at}, {"id", from.id}, {"limit", limit}});
}

Result<std::vector<DeploymentRow>> DeploymentStore::replacing(db::Transaction& tx, UtcTime healthy_before,
                                                              std::int64_t limit) const {
  static const std::string sql =
      select_deployments() +
      " WHERE replaces_deployment_id IS NOT NULL AND state='running' AND health<>'unhealthy'"
      " AND running_since_at<=:before AND COALESCE(health_changed_at, running_since_at)<=:before"
      " AND EXISTS (SELECT 1 FROM deployments old WHERE old.id=deployments.replaces_deployment_id"
      " AND old.state IN ('assigned','deploying','running','updating')) LIMIT :limit";
  return tx.query<DeploymentRow>(sql, {{"before", healthy_before}, {"limit", limit}});
}

Result<std::vector<DeploymentRow>> DeploymentStore::migrating(db::Transaction& tx, UtcTime now,
                                                              std::int64_t limit) const {
  static const std::string sql =
      select_deployments() +
      " WHERE migrate_next_at IS NOT NULL AND migrate_next_at<=:now ORDER BY migrate_next_at LIMIT :limit";
  return tx.query<DeploymentRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<ReplacementCount> DeploymentStore::replacements(db::Transaction& tx, const DeploymentId& id) const {
  const auto found = tx.query_one<ReplacementCount>(
      "SELECT COUNT(*), COALESCE(SUM(CASE WHEN ended_at IS NULL THEN 1 ELSE 0 END), 0) FROM deployments"
      " WHERE replaces_deployment_id=:id",
      {{"id", id}});
  if (!found) return std::unexpected(found.error());
  return found->value_or(ReplacementCount());
}

Result<std::optional<DeploymentId>> DeploymentStore::successor(db::Transaction& tx, const DeploymentId& id) const {
  return tx.query_one<DeploymentId>(
      "SELECT id FROM deployments WHERE replaces_deployment_id=:id"
      " AND state IN ('pending','assigned','deploying','running','updating') ORDER BY id LIMIT 1",
      {{"id", id}});
}

Result<std::vector<DeploymentId>> DeploymentStore::migrated_from(db::Transaction& tx, const DeploymentRow& row) const {
  return tx.query<DeploymentId>(
      "SELECT id FROM deployments WHERE replaces_deployment_id=:id AND group_id=:group"
      " AND state IN ('pending','assigned','deploying','running','updating')",
      {{"id", row.id}, {"group", row.group_id}});
}

Result<std::vector<DeploymentId>> DeploymentStore::running_of(db::Transaction& tx, const AccountId& account,
                                                              std::int64_t limit) const {
  return tx.query<DeploymentId>(
      "SELECT id FROM deployments WHERE account_id=:account"
      " AND state IN ('pending','assigned','deploying','running','updating') ORDER BY created_at DESC, id LIMIT :limit",
      {{"account", account}, {"limit", limit}});
}

Result<std::int64_t> DeploymentStore::count_active(db::Transaction& tx, const AccountId& account) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT COUNT(*) FROM deployments WHERE account_id=:account"
      " AND state IN ('pending','assigned','deploying','running','updating','stopping')",
      {{"account", account}});
  if (!found) return std::unexpected(found.error());
  return found->value_or(0);
}

Result<bool> DeploymentStore::owner_in_use(db::Transaction& tx, std::int64_t github_id) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT 1 FROM deployments WHERE ended_at IS NULL AND auth_method='github_oidc'"
      " AND account_id IN (SELECT account_id FROM account_identities WHERE github_id=:github_id) LIMIT 1",
      {{"github_id", github_id}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

const std::string& DeploymentStore::pending_burn_sql() {
  // What does not run yet has no open segment; it is not looked for.
  static const std::string sql =
      "SELECT COALESCE(SUM(hourly_micros), 0) FROM deployments WHERE account_id=:account"
      " AND state IN ('pending','assigned','deploying','running','updating')"
      " AND (state NOT IN ('running','updating') OR NOT EXISTS (SELECT 1 FROM deployment_segments s"
      " WHERE s.deployment_id=deployments.id AND s.to_at IS NULL))";
  return sql;
}

Result<UsdMicros> DeploymentStore::pending_burn(db::Transaction& tx, const AccountId& account) const {
  const auto found = tx.query_one<UsdMicros>(pending_burn_sql(), {{"account", account}});
  if (!found) return std::unexpected(found.error());
  return found->value_or(UsdMicros{});
}

Result<std::vector<DeploymentCount>> DeploymentStore::counts(db::Transaction& tx) const {
  return tx.query<DeploymentCount>("SELECT state, COUNT(*) FROM deployments GROUP BY state");
}

}  // namespace ee::cp
