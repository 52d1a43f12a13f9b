#include "cp/store/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "db/sqlite_connection.h"
#include "db/sqlite_database.h"

namespace ee::cp {

namespace {

constexpr std::array<std::string_view, 2> kAppendOnlyTables = {"audit_log", "attestation_audit"};

/// What a trigger refuses: at `event` on `table`, when `condition` holds (empty: always).
struct RowGuard {
  std::string_view name, event, table, condition, message;
};
/// 04 section 6.1. A foreign key keeps lines from being without a header; these do the rest. Those on INSERT of a known
/// row keep `INSERT OR REPLACE` from deleting past the others on a connection without `recursive_triggers`.
constexpr std::array<RowGuard, 8> kLedgerGuards = {{
    {"transactions_no_update", "UPDATE", "transactions", "", "ledger_append_only"},
    {"transactions_no_delete", "DELETE", "transactions", "", "ledger_append_only"},
    {"transactions_no_replace", "INSERT", "transactions",
     "EXISTS (SELECT 1 FROM transactions WHERE id = NEW.id OR rowid = NEW.rowid)", "ledger_append_only"},
    {"transactions_sealed", "INSERT", "transactions", "EXISTS (SELECT 1 FROM ledger_groups WHERE id = NEW.group_id)",
     "ledger_group_sealed"},
    {"ledger_groups_no_update", "UPDATE", "ledger_groups", "", "ledger_append_only"},
    {"ledger_groups_no_delete", "DELETE", "ledger_groups", "", "ledger_append_only"},
    {"ledger_groups_no_replace", "INSERT", "ledger_groups",
     "EXISTS (SELECT 1 FROM ledger_groups WHERE id = NEW.id OR idempotency_key = NEW.idempotency_key OR rowid = "
     "NEW.rowid)",
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
     "NEW.compose <> OLD.compose OR NEW.compose_sha256 <> OLD.compose_sha256 OR NEW.ingress IS NOT OLD.ingress OR "
     "NEW.health_path IS NOT OLD.health_path OR NEW.declared_digests IS NOT OLD.declared_digests",
     "version_content_immutable"},
    {"app_versions_measured", "UPDATE", "app_versions",
     "(OLD.resolved_compose IS NOT NULL AND NEW.resolved_compose IS NOT OLD.resolved_compose) OR "
     "(OLD.images IS NOT NULL AND NEW.images IS NOT OLD.images) OR "
     "(OLD.compose_hash IS NOT NULL AND NEW.compose_hash IS NOT OLD.compose_hash) OR "
     "(OLD.workload_hash IS NOT NULL AND NEW.workload_hash IS NOT OLD.workload_hash) OR "
     "(OLD.measurement IS NOT NULL AND NEW.measurement IS NOT OLD.measurement) OR "
     "(OLD.mrtd IS NOT NULL AND NEW.mrtd IS NOT OLD.mrtd)",
     "version_content_immutable"},
    {"app_versions_no_delete", "DELETE", "app_versions", "", "version_content_immutable"},
    {"app_versions_no_replace", "INSERT", "app_versions",
     "EXISTS (SELECT 1 FROM app_versions WHERE id = NEW.id OR rowid = NEW.rowid OR "
     "(app_id = NEW.app_id AND version = NEW.version AND node_size = NEW.node_size))",
     "version_content_immutable"},
    {"app_share_sets_no_update", "UPDATE", "app_share_sets", "", "shares_append_only"},
    {"app_share_sets_no_delete", "DELETE", "app_share_sets", "", "shares_append_only"},
    {"app_revenue_shares_no_update", "UPDATE", "app_revenue_shares", "", "shares_append_only"},
    {"app_revenue_shares_no_delete", "DELETE", "app_revenue_shares", "", "shares_append_only"},
    {"apps_no_delete", "DELETE", "apps", "", "app_names_stay_taken"},
}};

template <std::size_t n>
void add_row_guards(std::map<std::string, std::string>& all, const std::array<RowGuard, n>& row_guards) {
  for (const RowGuard& guard : row_guards) {
    const std::string when = guard.condition.empty() ? "" : fmt::format("WHEN {} ", guard.condition);
    all[std::string(guard.name)] =
        fmt::format("CREATE TRIGGER {} BEFORE {} ON {} {}BEGIN SELECT RAISE(ABORT, '{}'); END", guard.name, guard.event,
                    guard.table, when, guard.message);
  }
}

/// Name and text of each trigger for SQLite.
std::map<std::string, std::string> guards() {
  std::map<std::string, std::string> all;
  add_row_guards(all, kLedgerGuards);
  add_row_guards(all, kCatalogueGuards);
  for (const std::string_view table : kAppendOnlyTables) {
    std::string name = fmt::format("{}_no_update", table);
    all[name] =
        fmt::format("CREATE TRIGGER {} BEFORE UPDATE ON {} BEGIN SELECT RAISE(ABORT, 'append only'); END", name, table);
    name = fmt::format("{}_no_delete", table);
    // By the database's own clock: whoever asks for the deletion does not say what time it is. 90 days in ms.
    all[name] = fmt::format(
        "CREATE TRIGGER {} BEFORE DELETE ON {} WHEN OLD.at > (julianday('now') - 2440587.5 - 90) * 86400000 "
        "BEGIN SELECT RAISE(ABORT, 'append only'); END",
        name, table);
  }
  return all;
}

std::optional<db::StartError> broken(const Error& error) {
  return db::StartError{.code = "schema_guard_failed", .exit_code = 4, .detail = error.detail};
}

/// Sets the guards that are missing or differ; their names go into `set`.
std::optional<db::StartError> set_guards(db::SqliteConnection& connection, std::vector<std::string>& set) {
  db::SqliteTransaction transaction(connection);
  for (const auto& [name, text] : guards()) {
    const auto found = transaction.query_one<std::string>(
        "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name", {{"name", name}});
    if (!found) return broken(found.error());
    if (*found == text) continue;
    const auto made = connection.script(fmt::format("DROP TRIGGER IF EXISTS {}; {};", name, text));
    if (!made) return broken(made.error());
    set.push_back(name);
  }
  return std::nullopt;
}

}  // namespace

bool is_ledger_guard(std::string_view name) {
  return std::ranges::any_of(kLedgerGuards, [&](const RowGuard& guard) { return guard.name == name; });
}

std::expected<SchemaReport, db::StartError> prepare_schema(db::SqliteDatabase& database,
                                                           const db::DatabaseIdentity& identity, const Clock& clock,
                                                           Random& random) {
  auto migrated = db::migrate(database, migrations(), identity, clock, random);
  if (!migrated) return std::unexpected(std::move(migrated.error()));
  SchemaReport report{.migration = std::move(*migrated), .restored_guards = {}};
  std::vector<std::string> set;
  std::optional<db::StartError> problem;
  database.with_maintenance([&](db::SqliteConnection& connection) { problem = set_guards(connection, set); });
  if (problem) return std::unexpected(std::move(*problem));
  // A new or upgraded schema may ask for guards that nobody has removed.
  if (report.migration.from == report.migration.to) report.restored_guards = std::move(set);
  return report;
}

}  // namespace ee::cp
