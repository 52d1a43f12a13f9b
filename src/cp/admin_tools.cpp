#include "cp/admin_tools.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <expected>
#include <memory>
#include <optional>

#include "common/metrics.h"
#include "cp/domain/setting_text.h"
#include "cp/jobs/maintenance_jobs.h"
#include "cp/program_version.h"
#include "cp/service/backups.h"
#include "cp/service/ledger_check.h"
#include "cp/service/settings.h"
#include "cp/service/settings_api.h"
#include "cp/store/schema.h"

namespace ee::cp {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitDatabase = 4;
constexpr int kExitGuardrail = 6;

using Opened = std::expected<std::unique_ptr<db::ServedDatabase>, db::StartError>;

ToolResult refused(int exit_code, std::string line) { return {.exit_code = exit_code, .lines = {std::move(line)}}; }
ToolResult refused(const db::StartError& error) { return refused(error.exit_code, error.code + ": " + error.detail); }

ToolResult refused(const Error& error) {
  int exit_code = kExitDatabase;
  switch (error.code) {
    case ErrorCode::setting_unknown:
    case ErrorCode::setting_invalid: exit_code = kExitUsage; break;
    case ErrorCode::guardrail_violation: exit_code = kExitGuardrail; break;
    default: break;
  }
  return refused(exit_code, fmt::format("{}: {}", slug(error.code),
                                        error.detail.empty() ? error_info(error.code).title : error.detail));
}

ToolResult not_for_postgres(std::string_view what) {
  return refused(kExitUsage, fmt::format("not_for_postgresql: {}; this command works on SQLite files only", what));
}

/// The schema brought up to date; guards that somebody had removed are audited.
std::expected<SchemaReport, ToolResult> ready_schema(db::ServedDatabase& database, const Config& config, Clock& clock,
                                                     Random& random) {
  auto report = prepare_schema(database, database_identity(config), clock, random);
  if (!report) return std::unexpected(refused(report.error()));
  if (auto audited = audit_restored_guards(database, report->restored_guards, clock, random); !audited)
    return std::unexpected(refused(audited.error()));
  return std::move(*report);
}

std::string shown(const SettingView& view) {
  if (view.is_secret) return view.is_set ? "(secret, set)" : "(secret, not set)";
  return view.value.is_string() ? std::string(view.value.get_string()) : boost::json::serialize(view.value);
}
std::string line_of(const SettingView& view) {
  std::string_view source = boost::describe::enum_to_string(view.source, "");
  if (source.ends_with('_')) source.remove_suffix(1);  // `default` is a keyword
  return fmt::format("{} = {}  ({})", view.key, shown(view), source);
}

/// The value as the API takes it. Errors: setting_unknown, setting_invalid.
Result<boost::json::value> json_of(const SettingsCommand& command, const SettingsContext& context) {
  const SettingSpec* spec = find_setting(command.key);
  if (spec == nullptr) return fail(ErrorCode::setting_unknown);
  if (spec->is_secret()) return boost::json::value(command.value.reveal());
  const auto parsed = parse_env_setting(*spec, command.value.reveal(), context);
  if (!parsed) return fail(ErrorCode::setting_invalid, fmt::format("{} {}", command.key, parsed.error().detail));
  return shown_value(*parsed);
}

Result<SettingView> carry_out(SettingsService& settings, const SettingsCommand& command, const Config& config) {
  const Actor actor{.name = "system:command_line"};
  if (command.action == SettingsCommand::Action::get) return settings.get(command.key);
  if (command.action == SettingsCommand::Action::reset) return settings.reset(command.key, std::nullopt, actor);
  const auto value = json_of(command, config.settings_context());
  if (!value) return std::unexpected(value.error());
  return settings.put(command.key, *value, std::nullopt, actor);
}

}  // namespace

ToolResult migrate_tool(const Config& config, bool dry_run, Clock& clock, Random& random) {
  const Opened database = open_database(config, clock);
  if (!database) return refused(database.error());
  if (dry_run) {
    const auto plan = db::plan_migrations(**database, migrations(), database_identity(config));
    if (!plan) return refused(plan.error());
    ToolResult result{.exit_code = 0, .lines = {fmt::format("schema version {}, would be {}", plan->from, plan->to)}};
    for (const db::Migration& migration : migrations())
      if (migration.version > plan->from)
        result.lines.push_back(fmt::format("{:03} {}", migration.version, migration.name));
    return result;
  }
  const auto done = ready_schema(**database, config, clock, random);
  if (!done) return done.error();
  ToolResult result{.exit_code = 0,
                    .lines = {fmt::format("schema version {}, was {}", done->migration.to, done->migration.from)}};
  if (done->migration.backup) result.lines.push_back("backup: " + done->migration.backup->string());
  for (const std::string& guard : done->restored_guards) result.lines.push_back("guard set again: " + guard);
  return result;
}

ToolResult db_check_tool(const Config& config, Clock& clock, Random& random) {
  const Opened database = open_database(config, clock);
  if (!database) return refused(database.error());
  const auto plan = db::plan_migrations(**database, migrations(), database_identity(config));
  if (!plan) return refused(plan.error());
  if (plan->from != plan->to)
    return refused(kExitDatabase, fmt::format("migrations_pending: schema version {} of {}", plan->from, plan->to));
  metrics::Registry metrics;
  LedgerAlarm alarm(metrics);
  LedgerCheck ledger(**database, clock, random, alarm);
  const JobDefinition check = db_check(**database, metrics, &ledger);
  const auto found = check.run(JobContext{.stop = {}, .deadline = clock.steady_now() + check.timeout, .lease = {}});
  if (!found) return refused(found.error());
  if (found->notes.empty()) return {.exit_code = 0, .lines = {"no findings"}};
  return {.exit_code = kExitDatabase, .lines = found->notes};
}

ToolResult backup_tool(const Config& config, const std::filesystem::path& to, Clock& clock) {
  if (config.database.is_postgres()) return not_for_postgres("backup: make it with pg_dump");
  const auto made = make_backup(config.database.sqlite_path, to, kProgramVersion, clock, {});
  if (!made) return refused(made.error());
  return {.exit_code = 0,
          .lines = {fmt::format("{}: {} bytes, schema version {}", to.string(), made->bytes, made->schema_version)}};
}

ToolResult restore_tool(const Config& config, const std::filesystem::path& from, bool force, Clock& clock) {
  if (config.database.is_postgres()) return not_for_postgres("restore: use pg_restore into an empty database");
  const auto done = restore_backup({.from = from,
                                    .database = config.database.sqlite_path,
                                    .identity = database_identity(config),
                                    .newest_schema = migrations().back().version,
                                    .force = force},
                                   clock);
  if (!done) return refused(done.error());
  ToolResult result{.exit_code = 0,
                    .lines = {fmt::format("restored what was copied at {}, schema version {}",
                                          to_rfc3339(done->facts.created_at), done->facts.schema_version)}};
  if (!done->replaced.empty()) result.lines.push_back("the database before it: " + done->replaced.string());
  result.lines.emplace_back("for 24 hours nothing is removed for being unknown");
  return result;
}

ToolResult settings_tool(const Config& config, const SettingsCommand& command, Clock& clock, Random& random) {
  const Opened database = open_database(config, clock);
  if (!database) return refused(database.error());
  if (const auto ready = ready_schema(**database, config, clock, random); !ready) return ready.error();
  metrics::Registry metrics;
  SettingsService settings(config, **database, clock, random, metrics);
  if (const auto loaded = settings.load(); !loaded) return refused(loaded.error());
  if (command.action == SettingsCommand::Action::list) {
    const auto all = settings.list("", command.key);
    if (!all) return refused(all.error());
    ToolResult result;
    result.lines.reserve(all->size());
    for (const SettingView& view : *all) result.lines.push_back(line_of(view));
    return result;
  }
  const auto view = carry_out(settings, command, config);
  if (!view) return refused(view.error());
  return {.exit_code = 0, .lines = {command.action == SettingsCommand::Action::get ? shown(*view) : line_of(*view)}};
}

}  // namespace ee::cp
