#include "cp/store/placement_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

/// The predicate of the index, word for word.
constexpr std::string_view kIdle =
    "status = 'undeployed' AND attestation_state = 'verified' AND health_status = 'healthy'"
    " AND hostname IS NOT NULL AND current_deployment_id IS NULL";
constexpr std::size_t kMostOwners = 16;

const std::string& select_candidates() {
  static const std::string text = "SELECT " + db::columns_of<PlacementCandidate>() + " FROM agents";
  return text;
}

/// What `placement_key` says, without reservations and draining, which do not hide an agent.
const std::string& visible_sql() {
  static const std::string text = [] {
    std::string owners;
    for (std::size_t i = 0; i < kMostOwners; ++i) owners += fmt::format("{}:g{}", i == 0 ? "" : ",", i);
    return fmt::format(
        "status<>'deleted' AND ((placement_scope='private' AND account_id=:account)"
        " OR ((placement_scope='public' OR account_id IS NULL) AND (github_owner_id IS NULL OR github_owner_id IN "
        "({}))))",
        owners);
  }();
  return text;
}

void add_caller(db::Params& params, const PlacementCaller& caller) {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < kMostOwners; ++i) all.push_back("g" + std::to_string(i));
    return all;
  }();
  params.emplace_back("account", caller.account);
  for (std::size_t i = 0; i < kMostOwners; ++i)
    params.emplace_back(names[i], i < caller.github_owners.size() ? std::optional(caller.github_owners[i])
                                                                  : std::optional<std::int64_t>());
}

}  // namespace

const std::string& PlacementStore::idle_sql() {
  static const std::string sql = fmt::format(
      "{} WHERE {} AND placement_key=:key AND node_size=:size AND datacenter=:datacenter"
      " ORDER BY idle_since_at, id LIMIT :limit",
      select_candidates(), kIdle);
  return sql;
}

const std::string& PlacementStore::idle_after_sql() {
  static const std::string sql = fmt::format(
      "{} WHERE {} AND placement_key=:key AND node_size=:size AND datacenter>:after"
      " ORDER BY datacenter, idle_since_at, id LIMIT :limit",
      select_candidates(), kIdle);
  return sql;
}

const std::string& PlacementStore::next_datacenter_sql() {
  static const std::string sql = fmt::format(
      "SELECT datacenter FROM agents WHERE {} AND placement_key=:key AND node_size=:size AND datacenter>:after"
      " ORDER BY datacenter LIMIT 1",
      kIdle);
  return sql;
}

Result<std::optional<std::string>> PlacementStore::next_datacenter(db::Transaction& tx, const std::string& key,
                                                                   const std::string& node_size,
                                                                   const std::string& after) const {
  return tx.query_one<std::string>(next_datacenter_sql(), {{"key", key}, {"size", node_size}, {"after", after}});
}

Result<std::vector<PlacementCandidate>> PlacementStore::idle(db::Transaction& tx, const std::string& key,
                                                             const std::string& node_size,
                                                             const std::string& datacenter, std::int64_t limit) const {
  return tx.query<PlacementCandidate>(
      idle_sql(), {{"key", key}, {"size", node_size}, {"datacenter", datacenter}, {"limit", limit}});
}

Result<std::vector<PlacementCandidate>> PlacementStore::idle_after(db::Transaction& tx, const std::string& key,
                                                                   const std::string& node_size,
                                                                   const std::string& after, std::int64_t limit) const {
  return tx.query<PlacementCandidate>(idle_after_sql(),
                                      {{"key", key}, {"size", node_size}, {"after", after}, {"limit", limit}});
}

Result<std::optional<PlacementCandidate>> PlacementStore::find(db::Transaction& tx, const AgentId& id) const {
  static const std::string sql = select_candidates() + " WHERE id=:id";
  return tx.query_one<PlacementCandidate>(sql, {{"id", id}});
}

Result<std::vector<PlacementCandidate>> PlacementStore::visible(db::Transaction& tx, const PlacementCaller& caller,
                                                                const AgentId& after, std::int64_t limit) const {
  static const std::string sql =
      fmt::format("{} WHERE id>:after AND {} ORDER BY id LIMIT :limit", select_candidates(), visible_sql());
  db::Params params = {{"after", after}, {"limit", limit}};
  add_caller(params, caller);
  return tx.query<PlacementCandidate>(sql, params);
}

Result<std::optional<PlacementCandidate>> PlacementStore::visible_by_name(db::Transaction& tx,
                                                                          const PlacementCaller& caller,
                                                                          const std::string& vm_name) const {
  static const std::string sql = fmt::format("{} WHERE vm_name=:vm_name AND {}", select_candidates(), visible_sql());
  db::Params params = {{"vm_name", vm_name}};
  add_caller(params, caller);
  return tx.query_one<PlacementCandidate>(sql, params);
}

}  // namespace ee::cp
