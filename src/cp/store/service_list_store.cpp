#include "cp/store/service_list_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

constexpr std::string_view kSelect =
    "SELECT s.id, s.name, s.account_id, s.access, s.settings, s.created_at, s.updated_at, s.last_healthy_at,"
    " (SELECT COUNT(*) FROM deployments d WHERE d.service_id=s.id AND d.state IN ('running','updating')"
    " AND d.health='healthy'),"
    " (SELECT COUNT(*) FROM deployments d WHERE d.service_id=s.id AND d.state IN ('running','updating'))"
    " FROM services s WHERE s.deleted_at IS NULL";

Result<void> done_of(const Result<std::int64_t>& changed) {
  if (!changed) return std::unexpected(changed.error());
  return {};
}

}  // namespace

Result<std::vector<ListedServiceRow>> ServiceListStore::list(db::Transaction& tx,
                                                             const std::optional<std::vector<AccountId>>& accounts,
                                                             const PageRequest& page) const {
  constexpr std::string_view kPage =
      " AND (s.created_at>:at OR (s.created_at=:at AND s.id>:id)) ORDER BY s.created_at,"
      " s.id LIMIT :limit";
  db::Params params{{"at", page.after ? page.after->at : from_unix_ms(-1)},
                    {"id", page.after ? page.after->id : std::string()},
                    {"limit", page.limit + 1}};
  if (!accounts) {
    static const std::string sql = std::string(kSelect) + std::string(kPage);
    return tx.query<ListedServiceRow>(sql, params);
  }
  static const std::string sql =
      fmt::format("{} AND s.account_id IN (:a0,:a1,:a2,:a3,:a4,:a5,:a6,:a7,:a8,:a9,:a10,:a11,:a12,:a13,:a14,:a15){}",
                  kSelect, kPage);
  static constexpr std::array<std::string_view, kMaxAccounts> kNames = {
      "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13", "a14", "a15"};
  for (std::size_t i = 0; i < kMaxAccounts; ++i)
    params.emplace_back(kNames[i], i < accounts->size() ? (*accounts)[i].str() : std::string());
  return tx.query<ListedServiceRow>(sql, params);
}

Result<std::optional<ListedServiceRow>> ServiceListStore::find(db::Transaction& tx, std::string_view name) const {
  static const std::string sql = std::string(kSelect) + " AND s.name=:name";
  return tx.query_one<ListedServiceRow>(sql, {{"name", name}});
}

Result<void> ServiceListStore::update(db::Transaction& tx, const std::string& id, ServiceAccess access,
                                      const std::string& settings, UtcTime now) const {
  return done_of(
      tx.execute("UPDATE services SET access=:access, settings=:settings, updated_at=:now, row_version=row_version+1"
                 " WHERE id=:id AND deleted_at IS NULL",
                 {{"access", access}, {"settings", settings}, {"now", now}, {"id", id}}));
}

Result<bool> ServiceListStore::is_in_use(db::Transaction& tx, const std::string& id) const {
  auto count = tx.query_one<std::int64_t>(
      "SELECT COUNT(*) FROM deployments WHERE service_id=:id AND state NOT IN ('stopped','failed','terminated')",
      {{"id", id}});
  if (!count) return std::unexpected(std::move(count.error()));
  return count->value_or(0) > 0;
}

Result<void> ServiceListStore::remove(db::Transaction& tx, const std::string& id, UtcTime now) const {
  auto done =
      done_of(tx.execute("UPDATE service_tokens SET revoked_at=:now WHERE service_id=:id AND revoked_at IS NULL",
                         {{"now", now}, {"id", id}}));
  if (!done) return done;
  return done_of(
      tx.execute("UPDATE services SET deleted_at=:now, updated_at=:now, row_version=row_version+1 WHERE id=:id AND "
                 "deleted_at IS NULL",
                 {{"now", now}, {"id", id}}));
}

}  // namespace ee::cp
