#include "db/sqlite_backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <memory>
#include <system_error>

#include "db/sqlite_connection.h"
#include "db/sqlite_files.h"

namespace ee::db {

namespace {
struct CloseSqlite {
  void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
};
using Handle = std::unique_ptr<sqlite3, CloseSqlite>;

std::optional<std::string> copy_pages(SqliteConnection& source, const std::filesystem::path& to) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(to.c_str(), &raw, SQLITE_OPEN_READWRITE, nullptr);
  const Handle target(raw);
  if (opened != SQLITE_OK) return fmt::format("{}: {}", to.string(), sqlite3_errstr(opened));
  sqlite3_backup* backup = sqlite3_backup_init(raw, "main", source.raw(), "main");
  if (backup == nullptr) return fmt::format("{}: {}", to.string(), sqlite3_errmsg(raw));
  const int stepped = sqlite3_backup_step(backup, -1);
  const int finished = sqlite3_backup_finish(backup);
  if (stepped == SQLITE_DONE && finished == SQLITE_OK) return std::nullopt;
  return fmt::format("{}: {}", to.string(), sqlite3_errstr(finished != SQLITE_OK ? finished : stepped));
}

/// A rename is durable when its directory is.
bool sync(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool done = ::fsync(descriptor) == 0;
  ::close(descriptor);
  return done;
}
}  // namespace

std::optional<std::string> copy_database(SqliteConnection& source, const std::filesystem::path& to) {
  const std::filesystem::path target = std::filesystem::absolute(to);
  const std::filesystem::path unfinished = target.string() + ".tmp";
  std::error_code error;
  std::filesystem::remove(unfinished, error);
  if (auto problem = prepare_file(unfinished, true)) return problem->detail;
  std::optional<std::string> problem = copy_pages(source, unfinished);
  if (!problem && !sync(unfinished, O_RDWR)) problem = fmt::format("{}: cannot sync", unfinished.string());
  if (!problem) {
    std::filesystem::rename(unfinished, target, error);
    if (error) problem = fmt::format("{}: {}", target.string(), error.message());
  }
  if (problem) {
    std::filesystem::remove(unfinished, error);
    return problem;
  }
  if (!sync(target.parent_path(), O_RDONLY | O_DIRECTORY)) return fmt::format("{}: cannot sync", target.string());
  return std::nullopt;
}

}  // namespace ee::db
