#include "cp/store/charge_store.h"

#include <fmt/format.h>

#include "cp/domain/price.h"

namespace ee::cp {
namespace {

constexpr std::string_view kInRange =
    "(account_id, id)>(:after_account, :after_id) AND (account_id, id)<=(:upto_account, :upto_id)";
constexpr std::string_view kAlone = "id=:upto_id AND account_id=:upto_account";
/// The same within an UPDATE ... FROM, where the names need their table.
constexpr std::string_view kInRangeOfSegments =
    "(deployment_segments.account_id, deployment_segments.id)>(:after_account, :after_id) AND "
    "(deployment_segments.account_id, deployment_segments.id)<=(:upto_account, :upto_id)";
constexpr std::string_view kAloneOfSegments =
    "deployment_segments.id=:upto_id AND deployment_segments.account_id=:upto_account";

/// One text for a range and one for a segment alone; `{}` stands for the condition. Both live for ever: the database
/// keeps prepared statements by their text.
struct Statement {
  std::string of_range;
  std::string of_one;
  explicit Statement(std::string_view form)
      : of_range(fmt::format(fmt::runtime(form), kInRange, kInRangeOfSegments)),
        of_one(fmt::format(fmt::runtime(form), kAlone, kAloneOfSegments)) {}
  const std::string& text(const SegmentRange& range) const { return range.alone ? of_one : of_range; }
};

db::Params range_params(const SegmentRange& range) {
  db::Params params = {{"upto_account", range.upto.account_id}, {"upto_id", range.upto.id}};
  if (range.alone) return params;
  params.emplace_back("after_account", range.after.account_id);
  params.emplace_back("after_id", range.after.id);
  return params;
}

// Division of positive integers truncates on both engines; rate*ms stays below 2^63 (10^11 * 3.6*10^6).
const Statement& insert_statement() {
  static const Statement statement(R"sql(
INSERT INTO usage_charges (account_id, hour_start_at, segment_id, deployment_id, app_id, billed_ms, gross_micros,
                           operator_micros, pool_micros, group_id)
SELECT account_id, :hs, id, deployment_id, app_id, ms, gross, op, (gross-op)*pool_bps/10000, :group_id FROM (
 SELECT q.*, CASE WHEN agent_account_id IS NULL THEN 0 ELSE gross*operator_bps/10000 END AS op FROM (
  SELECT r.*, (rate_micros*ms+1800000)/3600000 AS gross FROM (
   SELECT i.*, (CASE WHEN to_at IS NULL OR to_at>:he THEN :he ELSE to_at END)
             - (CASE WHEN from_at<:hs THEN :hs ELSE from_at END) AS ms
   FROM deployment_segments i
   WHERE settled=0 AND charged_to_at<:he AND {0}) r) q) z
WHERE ms>0 ON CONFLICT DO NOTHING
RETURNING account_id, app_id, gross_micros, operator_micros, pool_micros)sql");
  return statement;
}

const Statement& earned_statement() {
  static const Statement statement(R"sql(
SELECT deployment_segments.agent_account_id, SUM(c.operator_micros)
FROM deployment_segments CROSS JOIN usage_charges c
WHERE deployment_segments.settled=0 AND {1} AND c.account_id=deployment_segments.account_id AND c.hour_start_at=:hs
  AND c.segment_id=deployment_segments.id AND c.group_id=:group_id AND c.operator_micros>0
GROUP BY deployment_segments.agent_account_id)sql");
  return statement;
}

const Statement& note_statement() {
  static const Statement statement(R"sql(
UPDATE deployment_segments SET charged_to_at=:he, charged_micros=charged_micros+c.gross_micros,
  settled=CASE WHEN to_at IS NOT NULL AND to_at<=:he THEN 1 ELSE 0 END
FROM usage_charges c
WHERE deployment_segments.settled=0 AND {1} AND c.account_id=deployment_segments.account_id AND c.hour_start_at=:hs
  AND c.segment_id=deployment_segments.id AND c.group_id=:group_id)sql");
  return statement;
}

const Statement& settle_statement() {
  static const Statement statement(
      "UPDATE deployment_segments SET settled=1 WHERE settled=0 AND to_at IS NOT NULL AND to_at<=:he AND {0}");
  return statement;
}

const Statement& waive_statement() {
  static const Statement statement(
      "UPDATE deployment_segments SET charged_to_at=:he, "
      "settled=CASE WHEN to_at IS NOT NULL AND to_at<=:he THEN 1 ELSE 0 END "
      "WHERE settled=0 AND charged_to_at<:he AND {0}");
  return statement;
}

const std::string& select_hour() {
  static const std::string sql = fmt::format("SELECT {} FROM billing_hours", db::columns_of<BillingHour>());
  return sql;
}

Result<void> done_of(const Result<std::int64_t>& written) {
  if (!written) return std::unexpected(written.error());
  return {};
}

}  // namespace

Result<std::optional<BillingMeta>> ChargeStore::meta(db::Transaction& tx) const {
  return tx.query_one<BillingMeta>("SELECT next_hour_at, halted FROM billing_meta WHERE id=1");
}

Result<std::optional<BillingMeta>> ChargeStore::lock_meta(db::Transaction& tx) const {
  return tx.query_one<BillingMeta>(
      "UPDATE billing_meta SET next_hour_at=next_hour_at WHERE id=1 RETURNING next_hour_at, halted");
}

Result<void> ChargeStore::begin_at(db::Transaction& tx, UtcTime hour) const {
  return done_of(tx.execute("INSERT INTO billing_meta (id, next_hour_at) VALUES (1, :hour) ON CONFLICT (id) DO NOTHING",
                            {{"hour", hour}}));
}

Result<BillingHour> ChargeStore::lock_hour(db::Transaction& tx, UtcTime hour, HourStatus status, UtcTime now) const {
  // The update that changes nothing is the row lock, in the words that both engines know.
  static const std::string lock =
      fmt::format("UPDATE billing_hours SET rows_charged=rows_charged WHERE hour_start_at=:hour RETURNING {}",
                  db::columns_of<BillingHour>());
  const auto made = tx.execute(
      "INSERT INTO billing_hours (hour_start_at, status, started_at) VALUES (:hour, :status, :now) "
      "ON CONFLICT (hour_start_at) DO NOTHING",
      {{"hour", hour}, {"status", status}, {"now", now}});
  if (!made) return std::unexpected(made.error());
  auto row = tx.query_one<BillingHour>(lock, {{"hour", hour}});
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::internal_error, "the hour's row is gone");
  return std::move(**row);
}

Result<std::optional<BillingHour>> ChargeStore::hour(db::Transaction& tx, UtcTime hour) const {
  static const std::string sql = select_hour() + " WHERE hour_start_at=:hour";
  return tx.query_one<BillingHour>(sql, {{"hour", hour}});
}

Result<std::vector<BillingHour>> ChargeStore::last_hours(db::Transaction& tx, std::int64_t limit) const {
  static const std::string sql = select_hour() + " ORDER BY hour_start_at DESC LIMIT :limit";
  return tx.query<BillingHour>(sql, {{"limit", limit}});
}

Result<std::vector<UtcTime>> ChargeStore::waived_hours(db::Transaction& tx, UtcTime from, UtcTime before) const {
  return tx.query<UtcTime>(
      "SELECT hour_start_at FROM billing_hours WHERE status='waived' AND hour_start_at>=:from AND "
      "hour_start_at<:before "
      "ORDER BY hour_start_at",
      {{"from", from}, {"before", before}});
}

Result<void> ChargeStore::move_cursor(db::Transaction& tx, UtcTime hour, const SegmentKey& to, std::int64_t rows,
                                      std::int64_t gross_micros) const {
  return done_of(tx.execute(
      "UPDATE billing_hours SET cursor_account=:account, cursor_segment=:segment, "
      "rows_charged=rows_charged+:rows, gross_micros=gross_micros+:gross "
      "WHERE hour_start_at=:hour",
      {{"account", to.account_id}, {"segment", to.id}, {"rows", rows}, {"gross", gross_micros}, {"hour", hour}}));
}

Result<void> ChargeStore::add_to_hour(db::Transaction& tx, UtcTime hour, std::int64_t rows,
                                      std::int64_t gross_micros) const {
  return done_of(
      tx.execute("UPDATE billing_hours SET rows_charged=rows_charged+:rows, "
                 "gross_micros=gross_micros+:gross WHERE hour_start_at=:hour",
                 {{"rows", rows}, {"gross", gross_micros}, {"hour", hour}}));
}

Result<void> ChargeStore::finish_hour(db::Transaction& tx, UtcTime hour, UtcTime now) const {
  const auto finished = tx.execute(
      "UPDATE billing_hours SET status=CASE WHEN status='charging' THEN 'done' ELSE status END, finished_at=:now "
      "WHERE hour_start_at=:hour AND finished_at IS NULL",
      {{"now", now}, {"hour", hour}});
  if (!finished) return std::unexpected(finished.error());
  const auto moved = tx.execute("UPDATE billing_meta SET next_hour_at=:next WHERE id=1 AND next_hour_at=:hour",
                                {{"next", hour + kHour}, {"hour", hour}});
  if (!moved) return std::unexpected(moved.error());
  if (*finished != 1 || *moved != 1) return fail(ErrorCode::concurrent_update, "the hour was finished by another");
  return {};
}

Result<std::optional<SegmentKey>> ChargeStore::nth_after(db::Transaction& tx, const SegmentKey& after,
                                                         std::int64_t rows) const {
  return tx.query_one<SegmentKey>(
      "SELECT account_id, id FROM deployment_segments WHERE settled=0 AND (account_id, id)>(:account, :id) "
      "ORDER BY account_id, id LIMIT 1 OFFSET :offset",
      {{"account", after.account_id}, {"id", after.id}, {"offset", rows - 1}});
}

Result<std::optional<SegmentKey>> ChargeStore::last_after(db::Transaction& tx, const SegmentKey& after) const {
  return tx.query_one<SegmentKey>(
      "SELECT account_id, id FROM deployment_segments WHERE settled=0 AND (account_id, id)>(:account, :id) "
      "ORDER BY account_id DESC, id DESC LIMIT 1",
      {{"account", after.account_id}, {"id", after.id}});
}

Result<std::vector<ChargedRow>> ChargeStore::insert_charges(db::Transaction& tx, const SegmentRange& range,
                                                            UtcTime hour, const std::string& group_id) const {
  db::Params params = range_params(range);
  params.emplace_back("hs", hour);
  params.emplace_back("he", hour + kHour);
  params.emplace_back("group_id", group_id);
  return tx.query<ChargedRow>(insert_statement().text(range), params);
}

Result<std::vector<EarnedRow>> ChargeStore::earned(db::Transaction& tx, const SegmentRange& range, UtcTime hour,
                                                   const std::string& group_id) const {
  db::Params params = range_params(range);
  params.emplace_back("hs", hour);
  params.emplace_back("group_id", group_id);
  return tx.query<EarnedRow>(earned_statement().text(range), params);
}

Result<void> ChargeStore::note_charges(db::Transaction& tx, const SegmentRange& range, UtcTime hour,
                                       const std::string& group_id) const {
  db::Params params = range_params(range);
  params.emplace_back("he", hour + kHour);
  db::Params of_charges = params;
  of_charges.emplace_back("hs", hour);
  of_charges.emplace_back("group_id", group_id);
  if (auto noted = tx.execute(note_statement().text(range), of_charges); !noted) return std::unexpected(noted.error());
  return done_of(tx.execute(settle_statement().text(range), params));
}

Result<void> ChargeStore::waive(db::Transaction& tx, const SegmentRange& range, UtcTime hour) const {
  db::Params params = range_params(range);
  params.emplace_back("he", hour + kHour);
  if (auto waived = tx.execute(waive_statement().text(range), params); !waived) return std::unexpected(waived.error());
  return done_of(tx.execute(settle_statement().text(range), params));
}

Result<bool> ChargeStore::set_aside(db::Transaction& tx, const std::string& segment_id) const {
  const auto changed =
      tx.execute("UPDATE deployment_segments SET settled=2 WHERE id=:id AND settled=0", {{"id", segment_id}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<bool> ChargeStore::take_back(db::Transaction& tx, const std::string& segment_id) const {
  const auto changed =
      tx.execute("UPDATE deployment_segments SET settled=0 WHERE id=:id AND settled=2", {{"id", segment_id}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

}  // namespace ee::cp
