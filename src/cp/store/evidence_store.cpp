#include "cp/store/evidence_store.h"

#include <fmt/format.h>

namespace ee::cp {

Result<void> EvidenceStore::put(db::Transaction& tx, const EvidenceRow& row) const {
  static const std::string sql = fmt::format(
      "INSERT INTO agent_evidence ({}) VALUES ({}) ON CONFLICT (agent_id) DO UPDATE SET {}",
      db::columns_of<EvidenceRow>(), db::placeholders_of<EvidenceRow>(), db::excluded_of<EvidenceRow>("agent_id"));
  const auto written = tx.execute(sql, db::params_of(row));
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<std::optional<EvidenceRow>> EvidenceStore::get(db::Transaction& tx, const AgentId& agent_id) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM agent_evidence WHERE agent_id=:agent_id", db::columns_of<EvidenceRow>());
  return tx.query_one<EvidenceRow>(sql, {{"agent_id", agent_id}});
}

Result<std::vector<EvidenceRow>> EvidenceStore::outdated(db::Transaction& tx, std::int64_t policy_version,
                                                         std::int64_t limit,
                                                         const std::optional<EvidencePlace>& after) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM agent_evidence WHERE policy_version<:version AND (policy_version, agent_id)>(:after_version, "
      ":after_id) ORDER BY policy_version, agent_id LIMIT :limit",
      db::columns_of<EvidenceRow>());
  return tx.query<EvidenceRow>(sql, {{"version", policy_version},
                                     {"after_version", after ? after->policy_version : std::int64_t{-1}},
                                     {"after_id", after ? after->agent_id : AgentId()},
                                     {"limit", limit}});
}

Result<std::vector<EvidenceRow>> EvidenceStore::with_mrtd(db::Transaction& tx, const std::string& mrtd,
                                                          const AgentId& after, std::int64_t limit) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM agent_evidence WHERE mrtd=:mrtd AND agent_id>:after ORDER BY agent_id LIMIT :limit",
                  db::columns_of<EvidenceRow>());
  return tx.query<EvidenceRow>(sql, {{"mrtd", mrtd}, {"after", after}, {"limit", limit}});
}

Result<std::int64_t> EvidenceStore::count_trusted(db::Transaction& tx) const {
  const auto count = tx.query_one<std::int64_t>(
      "SELECT count(*) FROM agents WHERE status NOT IN ('deleting', 'deleted') AND attestation_state<>'failed'");
  if (!count) return std::unexpected(count.error());
  return count->value_or(0);
}

Result<bool> EvidenceStore::mark_evaluated(db::Transaction& tx, const AgentId& agent_id, std::int64_t seen_version,
                                           std::int64_t policy_version) const {
  const auto changed =
      tx.execute("UPDATE agent_evidence SET policy_version=:version WHERE agent_id=:agent_id AND policy_version=:seen",
                 {{"version", policy_version}, {"agent_id", agent_id}, {"seen", seen_version}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

}  // namespace ee::cp
