#include "cp/store/audit_log_store.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "common/crypto.h"
#include "common/id.h"
#include "common/json.h"
#include "common/redact.h"
#include "cp/store/meta_store.h"

namespace ee::cp {

namespace {
constexpr std::string_view kChain = "main";
constexpr std::string_view kHeadKey = "audit_head:main";      // the last row that was written
constexpr std::string_view kAnchorKey = "audit_anchor:main";  // the hash of the last row that retention deleted
constexpr Seconds kClockStep{1};
constexpr std::string_view kGenesis = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where the chain ends, as kept in `meta`.
struct ChainHead {
  std::string hash = std::string(kGenesis);
  UtcTime at = {};
  std::string id = {};
};
BOOST_DESCRIBE_STRUCT(ChainHead, (), (hash, at, id))

Result<ChainHead> head_of(db::Transaction& tx) {
  const auto text = MetaStore().get(tx, kHeadKey);
  if (!text) return std::unexpected(text.error());
  if (!*text) return ChainHead{};
  auto head = json::read<ChainHead>(**text);
  if (!head) return fail(ErrorCode::internal_error, "the head of the audit chain is unreadable");
  return head;
}

std::string hash_of(const AuditRow& row) {
  AuditRow content = row;
  content.hash.reset();
  const std::string previous = row.prev_hash.value_or("");
  const auto canonical = json::canonical_of(content);
  return to_hex(sha256(bytes_of(previous + canonical.value_or(""))));
}

/// The id after `id` in byte order: of rows in one millisecond the later has the greater.
std::optional<std::string> next_id(const std::string& id) {
  auto bytes = uuid_bytes(id);
  if (!bytes) return std::nullopt;
  for (auto byte = bytes->rbegin(); byte != bytes->rend(); ++byte) {
    if (++*byte != 0) break;
  }
  return uuid_text(*bytes);
}

/// `clock`: the time that was told, when it is not the one that is stored.
std::string stored_detail(const std::string& detail, std::optional<UtcTime> clock) {
  auto parsed = json::parse(detail);
  if (!parsed || !parsed->is_object()) return R"({"dropped":"not_an_object"})";
  scrub(*parsed);
  if (clock) parsed->as_object()["clock_said"] = to_rfc3339(*clock);
  std::string text = boost::json::serialize(*parsed);
  return text.size() <= AuditLogStore::kMaxDetail ? text : R"({"dropped":"too_long"})";
}
}  // namespace

Result<std::string> AuditLogStore::append(db::Transaction& tx, const AuditEntry& entry, UtcTime now,
                                          Random& random) const {
  auto head = head_of(tx);
  if (!head) return std::unexpected(std::move(head.error()));
  const UtcTime at = std::max(now, head->at);
  const auto id = at == head->at && !head->id.empty() ? next_id(head->id) : new_uuid_v7(at, random);
  if (!id) return fail(ErrorCode::internal_error, "no id for an audit row");
  AuditRow row{.id = *id,
               .at = at,
               .actor = entry.actor,
               .action = entry.action,
               .object_type = entry.object_type,
               .object_id = entry.object_id,
               .result = entry.result,
               .reason_code = entry.reason_code,
               .request_id = entry.request_id,
               .client_address = entry.client_address,
               .detail = stored_detail(entry.detail, head->at - now > kClockStep ? std::optional(now) : std::nullopt),
               .chain = std::string(kChain),
               .prev_hash = head->hash};
  row.hash = hash_of(row);
  static const std::string sql = fmt::format("INSERT INTO audit_log ({}) VALUES ({})", db::columns_of<AuditRow>(),
                                             db::placeholders_of<AuditRow>());
  if (const auto written = tx.execute(sql, db::params_of(row)); !written) return std::unexpected(written.error());
  const ChainHead next{.hash = *row.hash, .at = row.at, .id = row.id};
  if (const auto set = MetaStore().set(tx, kHeadKey, json::write(next)); !set) return std::unexpected(set.error());
  return row.id;
}

Result<std::int64_t> AuditLogStore::remove_before(db::Transaction& tx, UtcTime before, std::int64_t limit) const {
  const auto last = tx.query<AuditRow>(
      fmt::format("SELECT {} FROM (SELECT * FROM audit_log WHERE at<:before ORDER BY at, id LIMIT :limit) AS doomed "
                  "ORDER BY at DESC, id DESC LIMIT 1",
                  db::columns_of<AuditRow>()),
      {{"before", before}, {"limit", limit}});
  if (!last) return std::unexpected(last.error());
  if (last->empty()) return 0;
  const AuditRow& end = last->front();
  if (const auto set = MetaStore().set(tx, kAnchorKey, end.hash.value_or("")); !set) {
    return std::unexpected(set.error());
  }
  return tx.execute("DELETE FROM audit_log WHERE (at, id)<=(:at, :id)", {{"at", end.at}, {"id", end.id}});
}

Result<bool> AuditChainCheck::step(db::Transaction& tx, std::int64_t limit) {
  if (!position_) {
    auto anchor = MetaStore().get(tx, kAnchorKey);
    if (!anchor) return std::unexpected(std::move(anchor.error()));
    hash_ = anchor->value_or(std::string(kGenesis));
    position_ = PagePosition{};
  }
  static const std::string sql =
      fmt::format("SELECT {} FROM audit_log WHERE chain=:chain AND (at, id)>(:at, :id) ORDER BY at, id LIMIT :limit",
                  db::columns_of<AuditRow>());
  const auto rows =
      tx.query<AuditRow>(sql, {{"chain", kChain}, {"at", position_->at}, {"id", position_->id}, {"limit", limit}});
  if (!rows) return std::unexpected(rows.error());
  for (const AuditRow& row : *rows) {
    if (row.prev_hash != hash_ || row.hash != hash_of(row)) {
      broken_at_ = row.id;
      return false;
    }
    hash_ = *row.hash;
    position_ = PagePosition{.at = row.at, .id = row.id};
    ++rows_;
  }
  if (static_cast<std::int64_t>(rows->size()) == limit) return true;
  const auto head = head_of(tx);
  if (!head) return std::unexpected(head.error());
  if (head->hash != hash_) broken_at_ = "head";
  return false;
}

namespace {
/// Conditions and parameters over the columns that both tables have under these names.
struct Where {
  std::string text;
  db::Params params;

  template <class T>
  void add(const std::optional<T>& wanted, std::string_view condition, std::string_view name) {
    if (!wanted) return;
    text += fmt::format(" AND {}", condition);
    params.emplace_back(name, *wanted);
  }
};

Where where_of(const AuditFilter& filter, const PageRequest& page) {
  Where where;
  where.add(filter.action, "action=:action", "action");
  where.add(filter.actor, "actor=:actor", "actor");
  where.add(filter.object_type, "object_type=:object_type", "object_type");
  where.add(filter.object_id, "object_id=:object_id", "object_id");
  where.add(filter.result, "result=:result", "result");
  where.add(filter.since, "at>=:since", "since");
  where.add(filter.until, "at<:until", "until");
  if (page.after) {
    where.text += " AND (at, id)<(:after_at, :after_id)";
    where.params.emplace_back("after_at", page.after->at);
    where.params.emplace_back("after_id", page.after->id);
  }
  where.params.emplace_back("limit", page.limit + 1);
  return where;
}

/// `attestation_audit` with the names of `audit_log`.
constexpr std::string_view kAttestationAsAudit =
    "SELECT id, at, COALESCE(actor, CASE WHEN agent_id IS NULL THEN 'anonymous' ELSE 'agent:' || agent_id END) AS "
    "actor, "
    "event AS action, 'agent' AS object_type, COALESCE(agent_id, vm_name) AS object_id, "
    "CASE result WHEN 'rejected' THEN 'refused' ELSE 'ok' END AS result, reason_code, request_id, "
    "source_ip AS client_address, details AS detail, '' AS chain, NULL AS prev_hash, NULL AS hash "
    "FROM attestation_audit";
}  // namespace

Result<Page<AuditRow>> AuditLogStore::list(db::Transaction& tx, const AuditFilter& filter,
                                           const PageRequest& page) const {
  const Where where = where_of(filter, page);
  constexpr std::string_view order = "ORDER BY at DESC, id DESC LIMIT :limit";
  const std::string& columns = db::columns_of<AuditRow>();
  auto rows = tx.query<AuditRow>(
      fmt::format("SELECT {0} FROM (SELECT {0} FROM audit_log WHERE 1=1{1} {2}) AS mine UNION ALL "
                  "SELECT {0} FROM (SELECT {0} FROM ({3}) AS theirs WHERE 1=1{1} {2}) AS decisions {2}",
                  columns, where.text, order, kAttestationAsAudit),
      where.params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const AuditRow& row) { return PagePosition{.at = row.at, .id = row.id}; });
}

}  // namespace ee::cp
