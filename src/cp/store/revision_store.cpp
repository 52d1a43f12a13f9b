#include "cp/store/revision_store.h"

#include <fmt/format.h>

#include "common/crypto.h"

namespace ee::cp {
namespace {

const std::string& select_revisions() {
  static const std::string text = "SELECT " + db::columns_of<RevisionRow>() + " FROM deployment_revisions";
  return text;
}

}  // namespace

Result<void> RevisionStore::insert(db::Transaction& tx, const RevisionRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO deployment_revisions ({}) VALUES ({})",
                                             db::columns_of<RevisionRow>(), db::placeholders_of<RevisionRow>());
  const auto inserted = tx.execute(sql, db::params_of(row));
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::optional<RevisionRow>> RevisionStore::get(db::Transaction& tx, const DeploymentId& id,
                                                      std::int64_t revision) const {
  static const std::string sql = select_revisions() + " WHERE deployment_id=:id AND revision=:revision";
  return tx.query_one<RevisionRow>(sql, {{"id", id}, {"revision", revision}});
}

Result<std::optional<std::int64_t>> RevisionStore::deploy_timeout_seconds(db::Transaction& tx, const DeploymentId& id,
                                                                          std::int64_t revision) const {
  return tx.query_one<std::int64_t>(
      "SELECT deploy_timeout_seconds FROM deployment_revisions WHERE deployment_id=:id AND revision=:revision",
      {{"id", id}, {"revision", revision}});
}

Result<std::vector<RevisionRow>> RevisionStore::list(db::Transaction& tx, const DeploymentId& id) const {
  static const std::string sql = select_revisions() + " WHERE deployment_id=:id ORDER BY revision";
  return tx.query<RevisionRow>(sql, {{"id", id}});
}

Result<std::int64_t> RevisionStore::last(db::Transaction& tx, const DeploymentId& id) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT COALESCE(MAX(revision), 0) FROM deployment_revisions WHERE deployment_id=:id", {{"id", id}});
  if (!found) return std::unexpected(found.error());
  return found->value_or(0);
}

Result<std::optional<RevisionRow>> RevisionStore::last_superseded(db::Transaction& tx, const DeploymentId& id) const {
  static const std::string sql =
      select_revisions() + " WHERE deployment_id=:id AND outcome='superseded' ORDER BY revision DESC LIMIT 1";
  return tx.query_one<RevisionRow>(sql, {{"id", id}});
}

Result<void> RevisionStore::set_outcome(db::Transaction& tx, const DeploymentId& id, std::int64_t revision,
                                        RevisionOutcome outcome) const {
  const auto changed =
      tx.execute("UPDATE deployment_revisions SET outcome=:outcome WHERE deployment_id=:id AND revision=:revision",
                 {{"outcome", outcome}, {"id", id}, {"revision", revision}});
  if (!changed) return std::unexpected(changed.error());
  return {};
}

Result<std::int64_t> RevisionStore::drop_old(db::Transaction& tx, const DeploymentId& id, std::int64_t keep_a,
                                             std::int64_t keep_b) const {
  const auto count =
      tx.query_one<std::int64_t>("SELECT COUNT(*) FROM deployment_revisions WHERE deployment_id=:id", {{"id", id}});
  if (!count) return std::unexpected(count.error());
  const std::int64_t over = count->value_or(0) - kMostRevisions;
  if (over <= 0) return std::int64_t{0};
  const auto victims = tx.query<std::int64_t>(
      "SELECT revision FROM deployment_revisions WHERE deployment_id=:id AND revision<>:a AND revision<>:b"
      " ORDER BY CASE WHEN outcome='superseded' THEN 0 ELSE 1 END, revision LIMIT :over",
      {{"id", id}, {"a", keep_a}, {"b", keep_b}, {"over", over}});
  if (!victims) return std::unexpected(victims.error());
  for (const std::int64_t revision : *victims) {
    const auto document = tx.query_one<std::string>(
        "SELECT resolved_compose FROM deployment_revisions WHERE deployment_id=:id AND revision=:revision",
        {{"id", id}, {"revision", revision}});
    if (!document) return std::unexpected(document.error());
    const auto remembered = tx.execute(
        "INSERT INTO deployment_past_documents (deployment_id, compose_sha256) VALUES (:id, :hash)"
        " ON CONFLICT DO NOTHING",
        {{"id", id}, {"hash", to_hex(sha256(bytes_of(document->value_or(""))))}});
    if (!remembered) return remembered;
    const auto secrets = tx.execute("DELETE FROM deployment_secrets WHERE deployment_id=:id AND revision=:revision",
                                    {{"id", id}, {"revision", revision}});
    if (!secrets) return secrets;
    const auto dropped = tx.execute("DELETE FROM deployment_revisions WHERE deployment_id=:id AND revision=:revision",
                                    {{"id", id}, {"revision", revision}});
    if (!dropped) return dropped;
  }
  return static_cast<std::int64_t>(victims->size());
}

Result<void> RevisionStore::insert_secret(db::Transaction& tx, const SecretRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO deployment_secrets ({}) VALUES ({})",
                                             db::columns_of<SecretRow>(), db::placeholders_of<SecretRow>());
  const auto inserted = tx.execute(sql, db::params_of(row));
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::vector<SecretRow>> RevisionStore::secrets(db::Transaction& tx, const DeploymentId& id,
                                                      std::int64_t revision) const {
  static const std::string sql =
      "SELECT " + db::columns_of<SecretRow>() +
      " FROM deployment_secrets WHERE deployment_id=:id AND revision=:revision ORDER BY name";
  return tx.query<SecretRow>(sql, {{"id", id}, {"revision", revision}});
}

Result<std::int64_t> RevisionStore::drop_secrets(db::Transaction& tx, const DeploymentId& id) const {
  return tx.execute("DELETE FROM deployment_secrets WHERE deployment_id=:id", {{"id", id}});
}

Result<std::int64_t> RevisionStore::drop_leftover_secrets(db::Transaction& tx, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM deployment_secrets WHERE deployment_id IN (SELECT s.deployment_id FROM deployment_secrets s"
      " JOIN deployments d ON d.id=s.deployment_id WHERE d.ended_at IS NOT NULL LIMIT :limit)",
      {{"limit", limit}});
}

}  // namespace ee::cp
