#pragma once
#include <expected>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/time.h"

namespace ee::db {

class SqliteConnection;

/// How a copy treats a source that is written meanwhile. By default all pages in one step.
struct CopyPace {
  int pages = -1;             ///< of a step; after `kMaxRestarts` restarts the rest is one step
  Milliseconds pause{0};      ///< between steps, for the writer
  std::stop_token stop = {};  ///< asked between steps
};

/// Copies what `source` sees into the file `to` (mode 0600, replaced if it exists): written beside it, checked for
/// integrity, synced and renamed, so that `to` is never half a copy. Nothing, or why not.
std::optional<std::string> copy_database(SqliteConnection& source, const std::filesystem::path& to,
                                         const CopyPace& pace = {});

/// `PRAGMA integrity_check` and `foreign_key_check` of a file that nobody writes: the findings, or why it cannot be
/// read.
std::expected<std::vector<std::string>, std::string> check_file(const std::filesystem::path& path);

/// fsync of a file, or of a directory so that a rename in it is durable.
bool sync_file(const std::filesystem::path& path);
bool sync_directory(const std::filesystem::path& path);

}  // namespace ee::db
