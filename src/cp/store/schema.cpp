#include "cp/store/schema.h"

#include "cp/store/guards.h"

namespace ee::cp {

std::expected<SchemaReport, db::StartError> prepare_schema(db::ServedDatabase& database,
                                                           const db::DatabaseIdentity& identity, const Clock& clock,
                                                           Random& random) {
  auto migrated = db::migrate(database, migrations(), identity, clock, random);
  if (!migrated) return std::unexpected(std::move(migrated.error()));
  SchemaReport report{.migration = std::move(*migrated), .restored_guards = {}};
  std::vector<std::string> set;
  auto problem = database.with_schema(
      db::ServedDatabase::SchemaAccess::change, [&](db::SchemaSession& session) -> std::optional<db::StartError> {
        auto guards = set_guards(session);
        if (!guards)
          return db::StartError{.code = "schema_guard_failed", .exit_code = 4, .detail = guards.error().detail};
        set = std::move(*guards);
        return std::nullopt;
      });
  if (problem) return std::unexpected(std::move(*problem));
  // A new or upgraded schema may ask for guards that nobody has removed.
  if (report.migration.from == report.migration.to) report.restored_guards = std::move(set);
  return report;
}

}  // namespace ee::cp
