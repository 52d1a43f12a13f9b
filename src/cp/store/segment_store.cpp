#include "cp/store/segment_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

const std::string& select_segment() {
  static const std::string sql = fmt::format("SELECT {} FROM deployment_segments", db::columns_of<SegmentRow>());
  return sql;
}

}  // namespace

const std::string& accrued_of_segment() {
  static const std::string sql = [] {
    const std::string ms = "((CASE WHEN to_at IS NULL OR to_at>:now THEN :now ELSE to_at END)-charged_to_at)";
    return fmt::format("(CASE WHEN {0}<=0 THEN 0 ELSE rate_micros*({0}/3600000)+rate_micros*({0}%3600000)/3600000 END)",
                       ms);
  }();
  return sql;
}

Result<void> SegmentStore::open(db::Transaction& tx, const SegmentRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO deployment_segments ({}) VALUES ({})",
                                             db::columns_of<SegmentRow>(), db::placeholders_of<SegmentRow>());
  const auto written = tx.execute(sql, db::params_of(row));
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<std::optional<SegmentRow>> SegmentStore::get(db::Transaction& tx, const std::string& id) const {
  static const std::string sql = select_segment() + " WHERE id=:id";
  return tx.query_one<SegmentRow>(sql, {{"id", id}});
}

Result<std::optional<SegmentRow>> SegmentStore::find_open(db::Transaction& tx, const DeploymentId& deployment) const {
  static const std::string sql = select_segment() + " WHERE deployment_id=:deployment AND to_at IS NULL";
  return tx.query_one<SegmentRow>(sql, {{"deployment", deployment}});
}

Result<std::optional<SegmentRow>> SegmentStore::last(db::Transaction& tx, const DeploymentId& deployment) const {
  static const std::string sql = select_segment() + " WHERE deployment_id=:deployment ORDER BY seq DESC LIMIT 1";
  return tx.query_one<SegmentRow>(sql, {{"deployment", deployment}});
}

Result<void> SegmentStore::close(db::Transaction& tx, const std::string& id, UtcTime to_at) const {
  const auto written = tx.execute("UPDATE deployment_segments SET to_at=:to WHERE id=:id AND to_at IS NULL",
                                  {{"to", to_at}, {"id", id}});
  if (!written) return std::unexpected(written.error());
  if (*written != 1) return fail(ErrorCode::concurrent_update, "the segment is closed already");
  return {};
}

Result<UsdMicros> SegmentStore::total_charged(db::Transaction& tx, const DeploymentId& deployment) const {
  const auto sum = tx.query_one<UsdMicros>(
      "SELECT COALESCE(SUM(charged_micros), 0) FROM deployment_segments WHERE deployment_id=:deployment",
      {{"deployment", deployment}});
  if (!sum) return std::unexpected(sum.error());
  return sum->value_or(UsdMicros{});
}

const std::string& SegmentStore::use_sql() {
  // Two selects, so that each has its own partial index.
  static const std::string sql = fmt::format(
      "SELECT COALESCE(SUM(accrued), 0), COALESCE(SUM(burn), 0) FROM ("
      "SELECT {0} AS accrued, CASE WHEN to_at IS NULL THEN rate_micros ELSE 0 END AS burn "
      "FROM deployment_segments WHERE settled=0 AND account_id=:account UNION ALL "
      "SELECT {0} AS accrued, CASE WHEN to_at IS NULL THEN rate_micros ELSE 0 END AS burn "
      "FROM deployment_segments WHERE settled=2 AND account_id=:account) s",
      accrued_of_segment());
  return sql;
}

Result<AccountUse> SegmentStore::use_of(db::Transaction& tx, const AccountId& account, UtcTime now) const {
  const auto use = tx.query_one<AccountUse>(use_sql(), {{"account", account}, {"now", now}});
  if (!use) return std::unexpected(use.error());
  return use->value_or(AccountUse{});
}

Result<bool> SegmentStore::has_unsettled(db::Transaction& tx, const AccountId& account) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT CASE WHEN EXISTS (SELECT 1 FROM deployment_segments WHERE settled=0 AND account_id=:account) "
      "OR EXISTS (SELECT 1 FROM deployment_segments WHERE settled=2 AND account_id=:account) THEN 1 ELSE 0 END",
      {{"account", account}});
  if (!found) return std::unexpected(found.error());
  return found->value_or(0) != 0;
}

Result<std::int64_t> SegmentStore::failed_count(db::Transaction& tx) const {
  const auto count = tx.query_one<std::int64_t>("SELECT COUNT(*) FROM deployment_segments WHERE settled=2");
  if (!count) return std::unexpected(count.error());
  return count->value_or(0);
}

}  // namespace ee::cp
