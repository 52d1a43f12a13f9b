#pragma once
#include <filesystem>
#include <optional>
#include <string>

namespace ee::db {

class SqliteConnection;

/// Copies what `source` sees into the file `to` (mode 0600, replaced if it exists): written beside it, synced and
/// renamed, so that `to` is never half a copy. Nothing, or why not.
std::optional<std::string> copy_database(SqliteConnection& source, const std::filesystem::path& to);

}  // namespace ee::db
