#pragma once
#include <expected>
#include <filesystem>
#include <functional>
#include <optional>

#include "db/start_error.h"

namespace ee::db {

/// The exclusive `flock` on PATH.lock that keeps a second server, restore or migration away. Given up with the object
/// (and by the kernel with the process). The file stays: removing it would race with the next one.
class DatabaseLock {
 public:
  /// Errors: `database_in_use`, `database_open_failed`.
  static std::expected<DatabaseLock, StartError> take(const std::filesystem::path& database);
  DatabaseLock(DatabaseLock&& other) noexcept;
  DatabaseLock& operator=(DatabaseLock&& other) noexcept;
  ~DatabaseLock();

 private:
  explicit DatabaseLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

/// Whether a file system of this type (`statfs` f_type) lives on another machine or in a user's process, where neither
/// locks nor shared memory nor fsync can be relied on.
bool is_network_file_system(long type);
/// f_type of the directory that holds `path`; nothing when it cannot be asked.
std::optional<long> file_system_type(const std::filesystem::path& path);

/// Makes the file with mode 0600 when it does not exist. With `strict`, an existing file that group or others can read
/// is `database_permissions` (exit 6).
std::optional<StartError> prepare_file(const std::filesystem::path& path, bool strict);

}  // namespace ee::db
