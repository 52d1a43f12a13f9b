#include "cp/store/cleanup_store.h"

#include <fmt/format.h>

namespace ee::cp {

Result<void> CleanupStore::insert(db::Transaction& tx, const CleanupRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO cleanup_runs ({}) VALUES ({})", db::columns_of<CleanupRow>(),
                                             db::placeholders_of<CleanupRow>());
  const auto inserted = tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::cleanup_running});
  if (!inserted) return std::unexpected(inserted.error());
  const auto trimmed = tx.execute(
      "DELETE FROM cleanup_runs WHERE status<>'running' AND id NOT IN "
      "(SELECT id FROM cleanup_runs ORDER BY started_at DESC, id DESC LIMIT :kept)",
      {{"kept", kKept}});
  if (!trimmed) return std::unexpected(trimmed.error());
  return {};
}

Result<bool> CleanupStore::update(db::Transaction& tx, const CleanupRow& row) const {
  const auto changed = tx.execute(
      "UPDATE cleanup_runs SET status=:status, deleted=:deleted, failed=:failed, skipped=:skipped, "
      "finished_at=:finished_at, lease_expires_at=:lease WHERE id=:id AND status='running'",
      {{"id", row.id},
       {"status", row.status},
       {"deleted", row.deleted},
       {"failed", row.failed},
       {"skipped", row.skipped},
       {"finished_at", row.finished_at},
       {"lease", row.lease_expires_at}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<std::int64_t> CleanupStore::fail_dead(db::Transaction& tx, bool all, UtcTime now) const {
  return tx.execute(
      "UPDATE cleanup_runs SET status='failed', finished_at=:now, lease_expires_at=NULL "
      "WHERE status='running' AND (:all=1 OR lease_expires_at<=:now)",
      {{"all", all ? 1 : 0}, {"now", now}});
}

Result<bool> CleanupStore::request_cancel(db::Transaction& tx, std::string_view id) const {
  const auto changed =
      tx.execute("UPDATE cleanup_runs SET cancel_requested=1 WHERE id=:id AND status='running'", {{"id", id}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<std::optional<CleanupRow>> CleanupStore::find(db::Transaction& tx, std::string_view id) const {
  static const std::string sql = fmt::format("SELECT {} FROM cleanup_runs WHERE id=:id", db::columns_of<CleanupRow>());
  return tx.query_one<CleanupRow>(sql, {{"id", id}});
}

Result<Page<CleanupRow>> CleanupStore::list(db::Transaction& tx, const PageRequest& page) const {
  static const std::string select = fmt::format("SELECT {} FROM cleanup_runs", db::columns_of<CleanupRow>());
  static const std::string order = " ORDER BY started_at DESC, id DESC LIMIT :limit";
  static const std::string next = select + " WHERE (started_at, id)<(:at, :id)" + order;
  static const std::string first = select + order;
  db::Params params = {{"limit", page.limit + 1}};
  if (page.after) {
    params.emplace_back("at", page.after->at);
    params.emplace_back("id", page.after->id);
  }
  auto rows = tx.query<CleanupRow>(page.after ? next : first, params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const CleanupRow& row) { return PagePosition{.at = row.started_at, .id = row.id}; });
}

}  // namespace ee::cp
