#include "cp/store/deployment_event_store.h"

#include <fmt/format.h>

namespace ee::cp {

namespace {

/// The row's number is the next one of its deployment.
const std::string& insert_sql() {
  static const std::string sql = [] {
    constexpr std::string_view kSeq = ":seq";
    std::string values = db::placeholders_of<DeploymentEventRow>();
    values.replace(values.find(kSeq), kSeq.size(),
                   "(SELECT COALESCE(MAX(seq), 0)+1 FROM deployment_events WHERE deployment_id=:deployment_id)");
    return fmt::format("INSERT INTO deployment_events ({}) VALUES ({})", db::columns_of<DeploymentEventRow>(), values);
  }();
  return sql;
}

}  // namespace

Result<bool> DeploymentEventStore::merge_progress(db::Transaction& tx, const DeploymentEventRow& row) const {
  const auto last = tx.query_one<std::int64_t>(
      "SELECT COALESCE(MAX(seq), 0) FROM deployment_events WHERE deployment_id=:id", {{"id", row.deployment_id}});
  if (!last) return std::unexpected(last.error());
  if (last->value_or(0) < kCap) return false;
  const auto merged = tx.execute(
      "UPDATE deployment_events SET at=:at, detail=:detail WHERE deployment_id=:id AND seq=(SELECT MAX(seq)"
      " FROM deployment_events WHERE deployment_id=:id AND kind='progress')",
      {{"at", row.at}, {"detail", row.detail}, {"id", row.deployment_id}});
  if (!merged) return std::unexpected(merged.error());
  return true;
}

Result<void> DeploymentEventStore::append(db::Transaction& tx, DeploymentEventRow row) const {
  if (row.detail.size() > kMaxDetail) row.detail = R"({"dropped":"too_long"})";
  if (row.kind == "progress") {
    const auto merged = merge_progress(tx, row);
    if (!merged) return std::unexpected(merged.error());
    if (*merged) return {};
  }
  db::Params params = db::params_of(row);
  std::erase_if(params, [](const db::Param& param) { return param.name == "seq"; });
  const auto inserted = tx.execute(insert_sql(), params);
  if (!inserted) return std::unexpected(inserted.error());
  return {};
}

Result<std::vector<DeploymentEventRow>> DeploymentEventStore::list(db::Transaction& tx, const DeploymentId& id,
                                                                   std::int64_t after_seq, std::int64_t limit) const {
  static const std::string sql = "SELECT " + db::columns_of<DeploymentEventRow>() +
                                 " FROM deployment_events WHERE deployment_id=:id AND seq>:after"
                                 " ORDER BY seq LIMIT :limit";
  return tx.query<DeploymentEventRow>(sql, {{"id", id}, {"after", after_seq}, {"limit", limit}});
}

Result<std::optional<UtcTime>> DeploymentEventStore::last_progress_at(db::Transaction& tx,
                                                                      const DeploymentId& id) const {
  return tx.query_one<UtcTime>(
      "SELECT at FROM deployment_events WHERE deployment_id=:id AND kind='progress' AND seq=(SELECT MAX(seq)"
      " FROM deployment_events WHERE deployment_id=:id)",
      {{"id", id}});
}

Result<bool> DeploymentEventStore::has_since(db::Transaction& tx, const DeploymentId& id, const std::string& kind,
                                             const std::string& since) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT 1 FROM deployment_events WHERE deployment_id=:id AND kind=:kind AND seq>(SELECT COALESCE(MAX(seq), 0)"
      " FROM deployment_events WHERE deployment_id=:id AND kind=:since) LIMIT 1",
      {{"id", id}, {"kind", kind}, {"since", since}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<std::int64_t> DeploymentEventStore::remove_old(db::Transaction& tx, UtcTime ended_before,
                                                      std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM deployment_events WHERE (deployment_id, seq) IN (SELECT e.deployment_id, e.seq FROM deployments d"
      " JOIN deployment_events e ON e.deployment_id=d.id WHERE d.ended_at IS NOT NULL AND d.ended_at<:before"
      " LIMIT :limit)",
      {{"before", ended_before}, {"limit", limit}});
}

}  // namespace ee::cp
