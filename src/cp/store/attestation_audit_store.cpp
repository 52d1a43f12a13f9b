#include "cp/store/attestation_audit_store.h"

#include <fmt/format.h>

#include <algorithm>

namespace ee::cp {

Result<void> AttestationAuditStore::append(db::Transaction& tx, const AttestationAuditRow& row) const {
  static const std::string sql =
      fmt::format("INSERT INTO attestation_audit ({}) VALUES ({})", db::columns_of<AttestationAuditRow>(),
                  db::placeholders_of<AttestationAuditRow>());
  db::Params params = db::params_of(row);
  if (row.details && row.details->size() > kMaxDetails)
    std::ranges::find(params, "details", &db::Param::name)->value = std::string(R"({"dropped":"too_long"})");
  const auto written = tx.execute(sql, params);
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<std::optional<AttestationAuditRow>> AttestationAuditStore::get(db::Transaction& tx,
                                                                      const std::string& id) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM attestation_audit WHERE id=:id", db::columns_of<AttestationAuditRow>());
  return tx.query_one<AttestationAuditRow>(sql, {{"id", id}});
}

Result<Page<AttestationAuditRow>> AttestationAuditStore::list(db::Transaction& tx, const AttestationAuditFilter& filter,
                                                              const PageRequest& page) const {
  std::string where;
  db::Params params;
  const auto add = [&](const auto& wanted, std::string_view condition, std::string_view name) {
    if (!wanted) return;
    where += fmt::format(" AND {}", condition);
    params.emplace_back(name, *wanted);
  };
  add(filter.agent_id, "agent_id=:agent_id", "agent_id");
  add(filter.vm_name, "vm_name=:vm_name", "vm_name");
  add(filter.result, "result=:result", "result");
  add(filter.reason_code, "reason_code=:reason_code", "reason_code");
  add(filter.mrtd, "mrtd=:mrtd", "mrtd");
  add(filter.from, "at>=:from", "from");
  add(filter.to, "at<:to", "to");
  if (page.after) {
    where += " AND (at, id)<(:after_at, :after_id)";
    params.emplace_back("after_at", page.after->at);
    params.emplace_back("after_id", page.after->id);
  }
  params.emplace_back("limit", page.limit + 1);
  auto rows = tx.query<AttestationAuditRow>(
      fmt::format("SELECT {} FROM attestation_audit WHERE 1=1{} ORDER BY at DESC, id DESC LIMIT :limit",
                  db::columns_of<AttestationAuditRow>(), where),
      params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const AttestationAuditRow& row) { return PagePosition{.at = row.at, .id = row.id}; });
}

Result<std::int64_t> AttestationAuditStore::count_accepted(db::Transaction& tx, const std::string& agent_id,
                                                           UtcTime since) const {
  auto counted = tx.query_one<std::int64_t>(
      "SELECT COUNT(*) FROM attestation_audit WHERE agent_id = :agent_id AND at >= :since"
      " AND event = 'registration_attestation_accepted'",
      {{"agent_id", agent_id}, {"since", since}});
  if (!counted) return std::unexpected(counted.error());
  return counted->value_or(0);
}

Result<bool> AttestationAuditStore::was_removed_since(db::Transaction& tx, const std::string& mrtd,
                                                      UtcTime since) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT 1 FROM attestation_audit WHERE mrtd=:mrtd AND at>=:since AND event='trust_entry_removed' LIMIT 1",
      {{"mrtd", mrtd}, {"since", since}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<std::int64_t> AttestationAuditStore::remove_before(db::Transaction& tx, UtcTime before,
                                                          std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM attestation_audit WHERE id IN (SELECT id FROM attestation_audit WHERE at<:before "
      "ORDER BY at, id LIMIT :limit)",
      {{"before", before}, {"limit", limit}});
}

}  // namespace ee::cp
