#include "cp/database_tools.h"

#include <fmt/format.h>

#include "cp/program_version.h"
#include "cp/service/ledger_check.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/schema.h"
#include "db/postgres_database.h"
#include "db/sqlite_database.h"

namespace ee::cp {

namespace {
constexpr int kExitRuntime = 1;
}

namespace {
db::SqliteOptions sqlite_options(const Config& config) {
  db::SqliteOptions options;
  options.path = config.database.sqlite_path;
  options.strict = config.stage != Stage::dev;
  options.readers = static_cast<std::size_t>(config.database.readers);
  options.write_queue = static_cast<std::size_t>(config.database.write_queue);
  options.group_max = static_cast<std::size_t>(config.database.group_max);
  options.group_wait = config.database.group_wait;
  options.busy_timeout = config.database.busy_timeout;
  return options;
}

db::PostgresOptions postgres_options(const Config& config) {
  db::PostgresOptions options;
  options.url = config.database.postgres_url;
  options.strict = config.stage != Stage::dev;
  options.durable = config.stage != Stage::dev;
  options.readers = static_cast<std::size_t>(config.database.readers);
  options.write_queue = static_cast<std::size_t>(config.database.write_queue);
  options.group_max = static_cast<std::size_t>(config.database.group_max);
  options.group_wait = config.database.group_wait;
  return options;
}
}  // namespace

std::expected<std::unique_ptr<db::ServedDatabase>, db::StartError> open_database(const Config& config,
                                                                                 const Clock& clock,
                                                                                 db::WriteObserver* observer) {
  if (config.database.is_postgres()) return db::PostgresDatabase::open(postgres_options(config), clock, observer);
  return db::SqliteDatabase::open(sqlite_options(config), clock, observer);
}

db::DatabaseIdentity database_identity(const Config& config) {
  return {.env = std::string(to_string(config.stage)),
          .cluster_id = config.cluster_id,
          .app_version = std::string(kProgramVersion)};
}

Result<void> audit_restored_guards(db::Database& database, std::span<const std::string> guards, const Clock& clock,
                                   Random& random) {
  if (guards.empty()) return {};
  return database.run_write([&](db::Transaction& tx) -> Result<void> {
    for (const std::string& guard : guards) {
      const auto written =
          AuditLogStore().append(tx,
                                 {.actor = "system:start",
                                  .action = is_ledger_guard(guard) ? "ledger_guard_missing" : "audit_guard_missing",
                                  .object_type = "database_guard",
                                  .object_id = guard,
                                  .result = AuditResult::failed,
                                  .detail = R"({"set_again":true})"},
                                 clock.now(), random);
      if (!written) return std::unexpected(written.error());
    }
    return {};
  });
}

ToolResult rebuild_ledger_balances(const Config& config, const Clock& clock, Random& random) {
  const auto refused = [](int code, std::string line) { return ToolResult{.exit_code = code, .lines = {line}}; };
  auto database = open_database(config, clock);
  if (!database) return refused(database.error().exit_code, database.error().code + ": " + database.error().detail);
  const auto schema = prepare_schema(**database, database_identity(config), clock, random);
  if (!schema) return refused(schema.error().exit_code, schema.error().code + ": " + schema.error().detail);
  if (auto audited = audit_restored_guards(**database, schema->restored_guards, clock, random); !audited)
    return refused(kExitRuntime, "a restored guard cannot be audited: " + audited.error().detail);
  const auto rebuilt = rebuild_balances(**database, clock, random);
  if (!rebuilt) return refused(kExitRuntime, "nothing was changed: " + rebuilt.error().detail);
  ToolResult outcome;
  outcome.lines.reserve(rebuilt->size() + 1);
  for (const RebuiltBalance& balance : *rebuilt)
    outcome.lines.push_back(
        fmt::format("{}: {} -> {}", balance.account_id.str(), to_usd_text(balance.before), to_usd_text(balance.after)));
  outcome.lines.push_back(fmt::format("{} balances changed", rebuilt->size()));
  return outcome;
}

}  // namespace ee::cp
