#include "cp/store/app_version_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

const std::string& select_versions() {
  static const std::string sql = fmt::format("SELECT {} FROM app_versions", db::columns_of<AppVersionRow>());
  return sql;
}

Result<bool> changed_one(const Result<std::int64_t>& changed) {
  if (!changed) return std::unexpected(changed.error());
  return *changed > 0;
}

}  // namespace

Result<void> AppVersionStore::create(db::Transaction& tx, const AppVersionRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO app_versions ({}) VALUES ({})",
                                             db::columns_of<AppVersionRow>(), db::placeholders_of<AppVersionRow>());
  // Looked for first: the guard against replacing would refuse a second one with an error of its own.
  const auto same = tx.query_one<std::int64_t>(
      "SELECT 1 FROM app_versions WHERE app_id=:app AND version=:version AND node_size=:size",
      {{"app", row.app_id}, {"version", row.version}, {"size", row.node_size}});
  if (!same) return std::unexpected(same.error());
  if (*same) return fail(ErrorCode::version_exists);
  const auto inserted = tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::version_exists});
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::optional<AppVersionRow>> AppVersionStore::find(db::Transaction& tx, const std::string& id) const {
  static const std::string sql = select_versions() + " WHERE id=:id";
  return tx.query_one<AppVersionRow>(sql, {{"id", id}});
}

Result<std::vector<AppVersionRow>> AppVersionStore::variants(db::Transaction& tx, const std::string& app_id,
                                                             const std::string& version) const {
  static const std::string sql = select_versions() + " WHERE app_id=:app AND version=:version ORDER BY node_size";
  return tx.query<AppVersionRow>(sql, {{"app", app_id}, {"version", version}});
}

Result<Page<AppVersionRow>> AppVersionStore::list(db::Transaction& tx, const std::string& app_id,
                                                  const VersionFilter& filter, const PageRequest& page) const {
  std::string sql = select_versions() + " WHERE app_id=:app";
  db::Params params = {{"app", app_id}};
  if (page.after) {
    sql += " AND (published_at<:at OR (published_at=:at AND id>:after))";
    params.emplace_back("at", page.after->at);
    params.emplace_back("after", page.after->id);
  }
  if (filter.status) {
    sql += " AND status=:status";
    params.emplace_back("status", *filter.status);
  }
  if (filter.node_size) {
    sql += " AND node_size=:size";
    params.emplace_back("size", *filter.node_size);
  }
  sql += " ORDER BY published_at DESC, id LIMIT :limit";
  params.emplace_back("limit", page.limit + 1);
  auto rows = tx.query<AppVersionRow>(sql, params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const AppVersionRow& row) { return PagePosition{.at = row.published_at, .id = row.id}; });
}

Result<std::vector<LatestVersion>> AppVersionStore::latest_attested(db::Transaction& tx,
                                                                    const std::string& app_id) const {
  return tx.query<LatestVersion>(
      "SELECT node_size, version, published_at FROM app_versions v WHERE app_id=:app AND status='attested' AND NOT"
      " EXISTS (SELECT 1 FROM app_versions n WHERE n.app_id=v.app_id AND n.node_size=v.node_size AND"
      " n.status='attested' AND (n.published_at,n.id)>(v.published_at,v.id)) ORDER BY node_size",
      {{"app", app_id}});
}

Result<bool> AppVersionStore::yank(db::Transaction& tx, const std::string& id, UtcTime now) const {
  return changed_one(
      tx.execute("UPDATE app_versions SET status='yanked', yanked_at=:now WHERE id=:id AND status='attested'",
                 {{"id", id}, {"now", now}}));
}

Result<bool> AppVersionStore::unyank(db::Transaction& tx, const std::string& id) const {
  return changed_one(tx.execute(
      "UPDATE app_versions SET status='attested', yanked_at=NULL WHERE id=:id AND status='yanked'", {{"id", id}}));
}

Result<bool> AppVersionStore::remeasure(db::Transaction& tx, const std::string& id, UtcTime now) const {
  return changed_one(
      tx.execute("UPDATE app_versions SET status='pending', rejection_code=NULL, rejection_detail=NULL, attempts=0,"
                 " next_attempt_at=:now, report_sha256=NULL WHERE id=:id AND status='rejected'",
                 {{"id", id}, {"now", now}}));
}

Result<bool> AppVersionStore::set_mrtd(db::Transaction& tx, const std::string& id, const std::string& mrtd) const {
  return changed_one(
      tx.execute("UPDATE app_versions SET mrtd=:mrtd WHERE id=:id AND status='attested' AND mrtd IS NULL",
                 {{"id", id}, {"mrtd", mrtd}}));
}

Result<std::vector<AppVersionRow>> AppVersionStore::due(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  static const std::string sql = select_versions() +
                                 " WHERE status='pending' AND next_attempt_at<=:now"
                                 " ORDER BY next_attempt_at, id LIMIT :limit";
  return tx.query<AppVersionRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<std::optional<AppVersionRow>> AppVersionStore::lease(db::Transaction& tx, const AppVersionRow& row,
                                                            const std::string& owner, UtcTime expires_at) const {
  static const std::string sql = fmt::format(
      "UPDATE app_versions SET status='measuring', attempts=attempts+1, lease_seq=lease_seq+1, lease_owner=:owner,"
      " lease_expires_at=:expires WHERE id=:id AND status='pending' AND lease_seq=:seq RETURNING {}",
      db::columns_of<AppVersionRow>());
  return tx.query_one<AppVersionRow>(
      sql, {{"owner", owner}, {"expires", expires_at}, {"id", row.id}, {"seq", row.lease_seq}});
}

Result<bool> AppVersionStore::renew(db::Transaction& tx, const std::string& id, std::int64_t lease_seq,
                                    UtcTime expires_at) const {
  return changed_one(tx.execute(
      "UPDATE app_versions SET lease_expires_at=:expires WHERE id=:id AND status='measuring' AND lease_seq=:seq",
      {{"expires", expires_at}, {"id", id}, {"seq", lease_seq}}));
}

Result<bool> AppVersionStore::attest(db::Transaction& tx, const std::string& id, std::int64_t lease_seq,
                                     const AttestedContent& content, UtcTime now) const {
  return changed_one(tx.execute(
      "UPDATE app_versions SET status='attested', attested_at=:now, resolved_compose=:resolved, images=:images,"
      " compose_hash=:compose_hash, workload_hash=:workload_hash, measurement=:measurement, lease_owner=NULL"
      " WHERE id=:id AND status='measuring' AND lease_seq=:seq",
      {{"now", now},
       {"resolved", content.resolved_compose},
       {"images", content.images},
       {"compose_hash", content.compose_hash},
       {"workload_hash", content.workload_hash},
       {"measurement", content.measurement},
       {"id", id},
       {"seq", lease_seq}}));
}

Result<bool> AppVersionStore::reject(db::Transaction& tx, const std::string& id, std::int64_t lease_seq,
                                     const std::string& code, const std::string& detail) const {
  return changed_one(tx.execute(
      "UPDATE app_versions SET status='rejected', rejection_code=:code, rejection_detail=:detail, lease_owner=NULL"
      " WHERE id=:id AND status='measuring' AND lease_seq=:seq",
      {{"code", code}, {"detail", detail}, {"id", id}, {"seq", lease_seq}}));
}

Result<bool> AppVersionStore::put_back(db::Transaction& tx, const std::string& id, std::int64_t lease_seq,
                                       UtcTime next_attempt_at) const {
  return changed_one(
      tx.execute("UPDATE app_versions SET status='pending', next_attempt_at=:next, lease_owner=NULL"
                 " WHERE id=:id AND status='measuring' AND lease_seq=:seq",
                 {{"next", next_attempt_at}, {"id", id}, {"seq", lease_seq}}));
}

Result<void> AppVersionStore::note_report(db::Transaction& tx, const std::string& id, const std::string& sha256) const {
  const auto changed =
      tx.execute("UPDATE app_versions SET report_sha256=:sha256 WHERE id=:id", {{"sha256", sha256}, {"id", id}});
  if (!changed) return std::unexpected(changed.error());
  return {};
}

Result<std::vector<AppVersionRow>> AppVersionStore::expired(db::Transaction& tx, UtcTime now,
                                                            std::int64_t limit) const {
  static const std::string sql = select_versions() +
                                 " WHERE status='measuring' AND lease_expires_at<=:now"
                                 " ORDER BY lease_expires_at, id LIMIT :limit";
  return tx.query<AppVersionRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<std::int64_t> AppVersionStore::queued(db::Transaction& tx) const {
  const auto found =
      tx.query_one<std::int64_t>("SELECT COUNT(*) FROM app_versions WHERE status IN ('pending', 'measuring')");
  if (!found) return std::unexpected(found.error());
  return found->value_or(0);
}

}  // namespace ee::cp
