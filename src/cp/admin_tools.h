#pragma once
#include <filesystem>
#include <string>

#include "common/clock.h"
#include "common/random.h"
#include "common/secret.h"
#include "cp/database_tools.h"
#include "cp/domain/config.h"

/// What the command line does with the database besides serving (05 section 1.1). On SQLite each opens it as the only
/// process and closes it again, so none works while a control plane runs (`database_in_use`, exit 4). On PostgreSQL
/// they work beside running replicas.
namespace ee::cp {

/// Brings the schema up to date; with `dry_run` only says what would be done. Exit codes: 4, 6 (another environment's
/// database).
ToolResult migrate_tool(const Config& config, bool dry_run, Clock& clock, Random& random);

/// Integrity, foreign keys, the chain of the audit log. Exit codes: 4 for findings, one line each, for a schema that is
/// not up to date and for a database that cannot be opened.
ToolResult db_check_tool(const Config& config, Clock& clock, Random& random);

/// Copies the database to `to`, also while it is being served (05 section 3.5). Exit codes: 4; 2 on PostgreSQL, which
/// has tools of its own for it.
ToolResult backup_tool(const Config& config, const std::filesystem::path& to, Clock& clock);

/// Puts the backup `from` in the database's place. Exit codes: 2 (PostgreSQL), 4, 6 (another environment's or cluster's
/// backup).
ToolResult restore_tool(const Config& config, const std::filesystem::path& from, bool force, Clock& clock);

/// `list`, `get KEY`, `set KEY VALUE`, `reset KEY`; a value is written as in an environment variable. Changes are
/// checked and audited as those of the API, by `system:command_line`; secrets are never shown. Exit codes: 2 unknown
/// key or value that is not acceptable, 4, 6 guardrail.
struct SettingsCommand {
  enum class Action { list, get, set, reset };
  Action action = Action::list;
  std::string key = {};
  Secret value = {};
};
ToolResult settings_tool(const Config& config, const SettingsCommand& command, Clock& clock, Random& random);

}  // namespace ee::cp
