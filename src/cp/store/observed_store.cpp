#include "cp/store/observed_store.h"

#include <fmt/format.h>

namespace ee::cp {

Result<void> ObservedStore::record(db::Transaction& tx, const ObservedRow& seen) const {
  static const std::string insert = fmt::format(
      "INSERT INTO observed_measurements ({}) VALUES ({}) ON CONFLICT (fingerprint) DO UPDATE SET"
      " rtmr3=excluded.rtmr3, vm_name=excluded.vm_name, tcb_status=excluded.tcb_status,"
      " reason_code=excluded.reason_code, count=observed_measurements.count+1, last_seen_at=excluded.last_seen_at",
      db::columns_of<ObservedRow>(), db::placeholders_of<ObservedRow>());
  if (const auto written = tx.execute(insert, db::params_of(seen)); !written) return std::unexpected(written.error());
  const auto evicted = tx.execute(
      "DELETE FROM observed_measurements WHERE id IN (SELECT id FROM observed_measurements "
      "ORDER BY last_seen_at DESC, id DESC LIMIT 100 OFFSET :kept)",
      {{"kept", kMaxRows}});
  if (!evicted) return std::unexpected(evicted.error());
  return {};
}

Result<Page<ObservedRow>> ObservedStore::list(db::Transaction& tx, const PageRequest& page) const {
  std::string where;
  db::Params params = {{"limit", page.limit + 1}};
  if (page.after) {
    where = " WHERE (last_seen_at, id)<(:after_at, :after_id)";
    params.emplace_back("after_at", page.after->at);
    params.emplace_back("after_id", page.after->id);
  }
  auto rows =
      tx.query<ObservedRow>(fmt::format("SELECT {} FROM observed_measurements{} ORDER BY last_seen_at DESC, id DESC "
                                        "LIMIT :limit",
                                        db::columns_of<ObservedRow>(), where),
                            params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const ObservedRow& row) { return PagePosition{.at = row.last_seen_at, .id = row.id}; });
}

Result<std::optional<ObservedRow>> ObservedStore::get(db::Transaction& tx, const std::string& id) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM observed_measurements WHERE id=:id", db::columns_of<ObservedRow>());
  return tx.query_one<ObservedRow>(sql, {{"id", id}});
}

Result<bool> ObservedStore::remove(db::Transaction& tx, const std::string& id) const {
  const auto removed = tx.execute("DELETE FROM observed_measurements WHERE id=:id", {{"id", id}});
  if (!removed) return std::unexpected(removed.error());
  return *removed == 1;
}

Result<std::int64_t> ObservedStore::remove_unseen(db::Transaction& tx, UtcTime before, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM observed_measurements WHERE id IN (SELECT id FROM observed_measurements "
      "WHERE last_seen_at<:before ORDER BY last_seen_at, id LIMIT :limit)",
      {{"before", before}, {"limit", limit}});
}

}  // namespace ee::cp
