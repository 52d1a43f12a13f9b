#pragma once
#include <optional>
#include <string_view>

#include "db/database.h"

namespace ee::db {

/// What an extended result code of SQLite means to a caller. `message` is SQLite's own (it names tables and columns,
/// never values); it goes into the detail.
Error sqlite_error(int extended_code, std::string_view message, std::optional<OnUnique> on_unique);

/// Codes after which nothing of the open transaction can be trusted to reach the disk: full, I/O, corrupt, read-only,
/// out of memory.
bool ends_transaction(int extended_code);

}  // namespace ee::db
