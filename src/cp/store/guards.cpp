#include "cp/store/guards.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "cp/store/schema.h"
#include "db/migrations.h"

namespace ee::cp {

namespace {

/// What a trigger refuses: at `event` on `table`, when `condition` holds (empty: always). `@or_same_row@` stands for
/// what else makes a row the same to the engine.
struct RowGuard {
  std::string_view name, event, table, condition, message;
};
/// 04 section 6.1. A foreign key keeps lines from being without a header; these do the rest. Those on INSERT of a known
/// row keep `INSERT OR REPLACE` from deleting past the others on a connection without `recursive_triggers`.
constexpr std::array<RowGuard, 8> kLedgerGuards = {{
    {"transactions_no_update", "UPDATE", "transactions", "", "ledger_append_only"},
    {"transactions_no_delete", "DELETE", "transactions", "", "ledger_append_only"},
    {"transactions_no_replace", "INSERT", "transactions",
     "EXISTS (SELECT 1 FROM transactions WHERE id = NEW.id @or_same_row@)", "ledger_append_only"},
    {"transactions_sealed", "INSERT", "transactions", "EXISTS (SELECT 1 FROM ledger_groups WHERE id = NEW.group_id)",
     "ledger_group_sealed"},
    {"ledger_groups_no_update", "UPDATE", "ledger_groups", "", "ledger_append_only"},
    {"ledger_groups_no_delete", "DELETE", "ledger_groups", "", "ledger_append_only"},
    {"ledger_groups_no_replace", "INSERT", "ledger_groups",
     "EXISTS (SELECT 1 FROM ledger_groups WHERE id = NEW.id OR idempotency_key = NEW.idempotency_key "
     "@or_same_row@)",
     "ledger_append_only"},
    {"ledger_groups_balanced", "INSERT", "ledger_groups",
     "(SELECT COALESCE(SUM(amount_micros), 1) <> 0 OR COUNT(*) <> NEW.line_count FROM transactions WHERE group_id = "
     "NEW.id)",
     "ledger_unbalanced"},
}};

/// 03 sections 7.2 and 8: what was published never changes its content, what was measured is written once, and lists of
/// shares are only added to.
constexpr std::array<RowGuard, 9> kCatalogueGuards = {{
    {"app_versions_content", "UPDATE", "app_versions",
     "NEW.id <> OLD.id OR NEW.app_id <> OLD.app_id OR NEW.version <> OLD.version OR NEW.node_size <> OLD.node_size OR "
     "NEW.compose <> OLD.compose OR NEW.compose_sha256 <> OLD.compose_sha256 OR NEW.ingress IS DISTINCT FROM "
     "OLD.ingress OR "
     "NEW.health_path IS DISTINCT FROM OLD.health_path OR NEW.declared_digests IS DISTINCT FROM OLD.declared_digests",
     "version_content_immutable"},
    {"app_versions_measured", "UPDATE", "app_versions",
     "(OLD.resolved_compose IS NOT NULL AND NEW.resolved_compose IS DISTINCT FROM OLD.resolved_compose) OR "
     "(OLD.images IS NOT NULL AND NEW.images IS DISTINCT FROM OLD.images) OR "
     "(OLD.compose_hash IS NOT NULL AND NEW.compose_hash IS DISTINCT FROM OLD.compose_hash) OR "
     "(OLD.workload_hash IS NOT NULL AND NEW.workload_hash IS DISTINCT FROM OLD.workload_hash) OR "
     "(OLD.measurement IS NOT NULL AND NEW.measurement IS DISTINCT FROM OLD.measurement) OR "
     "(OLD.mrtd IS NOT NULL AND NEW.mrtd IS DISTINCT FROM OLD.mrtd)",
     "version_content_immutable"},
    {"app_versions_no_delete", "DELETE", "app_versions", "", "version_content_immutable"},
    {"app_versions_no_replace", "INSERT", "app_versions",
     "EXISTS (SELECT 1 FROM app_versions WHERE id = NEW.id @or_same_row@ OR "
     "(app_id = NEW.app_id AND version = NEW.version AND node_size = NEW.node_size))",
     "version_content_immutable"},
    {"app_share_sets_no_update", "UPDATE", "app_share_sets", "", "shares_append_only"},
    {"app_share_sets_no_delete", "DELETE", "app_share_sets", "", "shares_append_only"},
    {"app_revenue_shares_no_update", "UPDATE", "app_revenue_shares", "", "shares_append_only"},
    {"app_revenue_shares_no_delete", "DELETE", "app_revenue_shares", "", "shares_append_only"},
    {"apps_no_delete", "DELETE", "apps", "", "app_names_stay_taken"},
}};

/// 05 section 14.4, 01 section 14: kept for 90 days (in ms) at least, by the database's own clock: whoever asks for the
/// deletion does not say what time it is.
constexpr std::array<RowGuard, 4> kAuditGuards = {{
    {"audit_log_no_update", "UPDATE", "audit_log", "", "append only"},
    {"audit_log_no_delete", "DELETE", "audit_log", "OLD.at > @now_ms@ - 7776000000", "append only"},
    {"attestation_audit_no_update", "UPDATE", "attestation_audit", "", "append only"},
    {"attestation_audit_no_delete", "DELETE", "attestation_audit", "OLD.at > @now_ms@ - 7776000000", "append only"},
}};

std::vector<RowGuard> all_guards() {
  std::vector<RowGuard> all(kLedgerGuards.begin(), kLedgerGuards.end());
  all.insert(all.end(), kCatalogueGuards.begin(), kCatalogueGuards.end());
  all.insert(all.end(), kAuditGuards.begin(), kAuditGuards.end());
  return all;
}

std::string condition_of(const RowGuard& guard, db::Engine engine) {
  std::string text = db::expand_tokens(guard.condition, engine);
  constexpr std::string_view kToken = "@or_same_row@";
  if (const auto at = text.find(kToken); at != std::string::npos)
    text.replace(at, kToken.size(), engine == db::Engine::sqlite ? "OR rowid = NEW.rowid" : "");
  return text;
}

/// A guard as one engine writes it. `found` is what the engine shows of it when it is there and whole.
struct EngineGuard {
  std::string table;
  std::string found;
  std::string make;  ///< statements that set it, whether or not something of its name is there
};
using EngineGuards = std::map<std::string, EngineGuard>;

EngineGuards sqlite_guards() {
  EngineGuards all;
  for (const RowGuard& guard : all_guards()) {
    const std::string condition = condition_of(guard, db::Engine::sqlite);
    const std::string when = condition.empty() ? "" : fmt::format("WHEN {} ", condition);
    const std::string text = fmt::format("CREATE TRIGGER {} BEFORE {} ON {} {}BEGIN SELECT RAISE(ABORT, '{}'); END",
                                         guard.name, guard.event, guard.table, when, guard.message);
    all[std::string(guard.name)] = {.table = std::string(guard.table),
                                    .found = text,
                                    .make = fmt::format("DROP TRIGGER IF EXISTS {}; {};", guard.name, text)};
  }
  return all;
}
constexpr std::string_view kFindInSqlite =
    "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name AND tbl_name = :table";

/// pg_trigger.tgtype: for each row, before; the event.
int type_of(std::string_view event) {
  if (event == "TRUNCATE") return 2 + 32;  // for the whole statement
  return 1 + 2 + (event == "INSERT" ? 4 : event == "DELETE" ? 8 : 16);
}

/// Triggers of PostgreSQL call functions. Each names the schema that it looks into, so that nobody puts another table
/// in front, and fires whatever the session's replication role is.
EngineGuard postgres_guard(const RowGuard& guard, const std::string& schema) {
  const std::string condition = condition_of(guard, db::Engine::postgresql);
  const std::string refusal = fmt::format("RAISE EXCEPTION '{}';", guard.message);
  const std::string body = fmt::format(
      "BEGIN {} RETURN {}; END", condition.empty() ? refusal : fmt::format("IF {} THEN {} END IF;", condition, refusal),
      guard.event == "DELETE" ? "OLD" : "NEW");
  const std::string function = fmt::format("guard_{}", guard.name);
  const std::string path = fmt::format("{}, pg_temp", schema);
  return {
      .table = std::string(guard.table),
      .found = fmt::format("{}|A|true||search_path={}|{}|{}", type_of(guard.event), path, function, body),
      .make = fmt::format(
          "DROP TRIGGER IF EXISTS {0} ON {1}; "
          "CREATE OR REPLACE FUNCTION {2}() RETURNS trigger LANGUAGE plpgsql SET search_path = {3} AS $ee${4}$ee$; "
          "CREATE TRIGGER {0} BEFORE {5} ON {1} FOR EACH {6} EXECUTE FUNCTION {2}(); "
          "ALTER TABLE {1} ENABLE ALWAYS TRIGGER {0}",
          guard.name, guard.table, function, path, body, guard.event, guard.event == "TRUNCATE" ? "STATEMENT" : "ROW")};
}

/// Those of SQLite, and one against TRUNCATE for each table whose rows are not deleted as anybody likes.
EngineGuards postgres_guards(const std::string& schema) {
  EngineGuards all;
  for (const RowGuard& guard : all_guards()) {
    all[std::string(guard.name)] = postgres_guard(guard, schema);
    if (guard.event != "DELETE") continue;
    const std::string name = fmt::format("{}_no_truncate", guard.table);
    all[name] = postgres_guard({name, "TRUNCATE", guard.table, "", guard.message}, schema);
  }
  return all;
}
constexpr std::string_view kFindInPostgres =
    "SELECT t.tgtype::text || '|' || t.tgenabled::text || '|' || (t.tgqual IS NULL) || '|' || t.tgattr::text || '|' || "
    "COALESCE(array_to_string(p.proconfig, ';'), '') || '|' || p.proname::text || '|' || p.prosrc "
    "FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = current_schema() AND c.relname = :table AND t.tgname = :name";

Result<EngineGuards> guards_of(db::SchemaSession& session) {
  if (session.engine() == db::Engine::sqlite) return sqlite_guards();
  const auto schema = session.transaction().query_one<std::string>("SELECT quote_ident(current_schema())");
  if (!schema) return std::unexpected(schema.error());
  if (!*schema) return fail(ErrorCode::internal_error, "the connection has no schema");
  return postgres_guards(**schema);
}

}  // namespace

bool is_ledger_guard(std::string_view name) {
  const auto of_ledger = [&](const RowGuard& guard) {
    return guard.name == name || name == fmt::format("{}_no_truncate", guard.table);
  };
  return std::ranges::any_of(kLedgerGuards, of_ledger);
}

Result<std::vector<std::string>> set_guards(db::SchemaSession& session) {
  const auto wanted = guards_of(session);
  if (!wanted) return std::unexpected(wanted.error());
  const std::string_view find = session.engine() == db::Engine::sqlite ? kFindInSqlite : kFindInPostgres;
  std::vector<std::string> set;
  for (const auto& [name, guard] : *wanted) {
    const auto found = session.transaction().query_one<std::string>(find, {{"name", name}, {"table", guard.table}});
    if (!found) return std::unexpected(found.error());
    if (*found == guard.found) continue;
    if (const auto made = session.script(guard.make); !made) return std::unexpected(made.error());
    set.push_back(name);
  }
  return set;
}

}  // namespace ee::cp
