#include "cp/store/service_token_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

const std::string& select_tokens() {
  static const std::string text = "SELECT " + db::columns_of<ServiceTokenRow>() + " FROM service_tokens";
  return text;
}

}  // namespace

Result<void> ServiceTokenStore::insert(db::Transaction& tx, const ServiceTokenRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO service_tokens ({}) VALUES ({})",
                                             db::columns_of<ServiceTokenRow>(), db::placeholders_of<ServiceTokenRow>());
  const auto done = tx.execute(sql, db::params_of(row));
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<std::optional<ServiceTokenRow>> ServiceTokenStore::find_by_lookup(db::Transaction& tx,
                                                                         std::string_view lookup) const {
  static const std::string sql = select_tokens() + " WHERE lookup=:lookup";
  return tx.query_one<ServiceTokenRow>(sql, {{"lookup", lookup}});
}

Result<std::vector<ServiceTokenRow>> ServiceTokenStore::live(db::Transaction& tx, const std::string& service,
                                                             UtcTime now) const {
  static const std::string sql =
      select_tokens() +
      " WHERE service_id=:service AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at>:now)"
      " ORDER BY created_at, id";
  return tx.query<ServiceTokenRow>(sql, {{"service", service}, {"now", now}});
}

Result<bool> ServiceTokenStore::revoke(db::Transaction& tx, const std::string& service, const std::string& id,
                                       UtcTime now) const {
  const auto changed = tx.execute(
      "UPDATE service_tokens SET revoked_at=:now WHERE id=:id AND service_id=:service AND revoked_at IS NULL",
      {{"now", now}, {"id", id}, {"service", service}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<void> ServiceTokenStore::note_use(db::Transaction& tx, const std::string& id, UtcTime now) const {
  const auto done = tx.execute("UPDATE service_tokens SET last_used_at=:now WHERE id=:id", {{"now", now}, {"id", id}});
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace ee::cp
