#pragma once
#include <filesystem>
#include <functional>
#include <optional>

#include "db/served_database.h"

namespace ee::db {

class SqliteConnection;

/// Runs `work` in a schema session over one connection to the file `path`, under `BEGIN EXCLUSIVE`. Its changes are
/// kept with `change`, when it returns nothing. Further error: `migration_failed` (no lock, or no COMMIT).
std::optional<StartError> run_schema_session(SqliteConnection& connection, const std::filesystem::path& path,
                                             bool change,
                                             const std::function<std::optional<StartError>(SchemaSession&)>& work);

}  // namespace ee::db
