#include "cp/store/app_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

Result<void> done(const Result<std::int64_t>& changed) {
  if (!changed) return std::unexpected(changed.error());
  return {};
}

const std::string& select_apps() {
  static const std::string sql = fmt::format("SELECT {} FROM apps", db::columns_of<AppRow>());
  return sql;
}

Result<void> set_tags(db::Transaction& tx, const std::string& app_id, const std::vector<std::string>& tags) {
  if (auto removed = done(tx.execute("DELETE FROM app_tags WHERE app_id=:id", {{"id", app_id}})); !removed)
    return removed;
  for (const std::string& tag : tags)
    if (auto added =
            done(tx.execute("INSERT INTO app_tags (tag, app_id) VALUES (:tag, :id)", {{"tag", tag}, {"id", app_id}}));
        !added)
      return added;
  return {};
}

/// `%` and `_` of a text mean themselves.
std::string like_part(const std::string& text) {
  std::string out = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') out += '\\';
    out += c;
  }
  return out + "%";
}

}  // namespace

Result<void> AppStore::create(db::Transaction& tx, const AppRow& row, const std::vector<std::string>& tags) const {
  static const std::string sql =
      fmt::format("INSERT INTO apps ({}) VALUES ({})", db::columns_of<AppRow>(), db::placeholders_of<AppRow>());
  if (auto inserted = done(tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::app_exists})); !inserted)
    return inserted;
  return set_tags(tx, row.id, tags);
}

Result<std::optional<AppRow>> AppStore::find(db::Transaction& tx, const std::string& name) const {
  static const std::string sql = select_apps() + " WHERE name=:name";
  return tx.query_one<AppRow>(sql, {{"name", name}});
}

Result<std::optional<AppRow>> AppStore::find_by_id(db::Transaction& tx, const std::string& id) const {
  static const std::string sql = select_apps() + " WHERE id=:id";
  return tx.query_one<AppRow>(sql, {{"id", id}});
}

Result<Page<AppRow>> AppStore::list(db::Transaction& tx, const AppFilter& filter, const PageRequest& page) const {
  std::string sql = select_apps() + " WHERE archived_at IS NULL";
  std::vector<std::string> names;  // parameters keep views of their names
  names.reserve(filter.tags.size() + filter.viewers.size());
  db::Params params;
  if (page.after) {
    sql += " AND (created_at,id)>(:at,:after)";
    params.emplace_back("at", page.after->at);
    params.emplace_back("after", page.after->id);
  }
  if (!filter.all_private) {
    sql += " AND (visibility='public'";
    for (const AccountId& viewer : filter.viewers) {
      sql += fmt::format(" OR owner_account_id=:viewer{}", names.size());
      params.emplace_back(names.emplace_back(fmt::format("viewer{}", names.size())), viewer);
    }
    sql += ")";
  }
  if (filter.name_prefix) {
    sql += " AND name>=:name_from AND name<:name_to";
    params.emplace_back("name_from", *filter.name_prefix);
    params.emplace_back("name_to", *filter.name_prefix + "~");
  }
  if (filter.owner) {
    sql += " AND owner_account_id=:owner";
    params.emplace_back("owner", *filter.owner);
  }
  if (filter.description) {
    sql += " AND lower(description) LIKE lower(:part) ESCAPE '\\'";
    params.emplace_back("part", like_part(*filter.description));
  }
  for (const std::string& tag : filter.tags) {
    sql += fmt::format(" AND EXISTS (SELECT 1 FROM app_tags WHERE tag=:tag{} AND app_id=apps.id)", names.size());
    params.emplace_back(names.emplace_back(fmt::format("tag{}", names.size())), tag);
  }
  sql += " ORDER BY created_at, id LIMIT :limit";
  params.emplace_back("limit", page.limit + 1);
  auto rows = tx.query<AppRow>(sql, params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const AppRow& row) { return PagePosition{.at = row.created_at, .id = row.id}; });
}

Result<void> AppStore::update(db::Transaction& tx, const AppRow& row, const std::vector<std::string>& tags) const {
  if (auto updated = done(tx.execute(
          "UPDATE apps SET description=:description, source_repo=:source_repo, maintainers=:maintainers, tags=:tags,"
          " visibility=:visibility, signature_mode=:signature_mode, signer_identity_regexp=:signer_identity_regexp,"
          " signer_issuer=:signer_issuer, updated_at=:updated_at, archived_at=:archived_at WHERE id=:id",
          {{"description", row.description},
           {"source_repo", row.source_repo},
           {"maintainers", row.maintainers},
           {"tags", row.tags},
           {"visibility", row.visibility},
           {"signature_mode", row.signature_mode},
           {"signer_identity_regexp", row.signer_identity_regexp},
           {"signer_issuer", row.signer_issuer},
           {"updated_at", row.updated_at},
           {"archived_at", row.archived_at},
           {"id", row.id}}));
      !updated)
    return updated;
  return set_tags(tx, row.id, tags);
}

Result<bool> AppStore::raise_shares_version(db::Transaction& tx, const std::string& app_id, std::int64_t from) const {
  const auto changed =
      tx.execute("UPDATE apps SET shares_version=shares_version+1 WHERE id=:id AND shares_version=:from",
                 {{"id", app_id}, {"from", from}});
  if (!changed) return std::unexpected(changed.error());
  return *changed > 0;
}

Result<bool> AppStore::in_use(db::Transaction& tx, const std::string& app_id) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT 1 FROM deployment_revisions r JOIN deployments d ON d.id=r.deployment_id"
      " WHERE r.app_id=:app AND d.ended_at IS NULL AND (r.revision=d.current_revision OR r.revision=d.target_revision)"
      " LIMIT 1",
      {{"app", app_id}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

}  // namespace ee::cp
