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

constexpr int kMaxRestarts = 10;

/// All steps of a backup; SQLITE_DONE, or why not. A writer of another connection makes it begin anew.
int run_steps(sqlite3_backup* backup, const CopyPace& pace) {
  int restarts = 0;
  int remaining = -1;
  for (;;) {
    const int pages = restarts >= kMaxRestarts ? -1 : pace.pages;
    const int stepped = sqlite3_backup_step(backup, pages);
    if (stepped == SQLITE_DONE) return stepped;
    const bool is_passing = stepped == SQLITE_BUSY || stepped == SQLITE_LOCKED;
    if (stepped != SQLITE_OK && !(is_passing && pace.pages >= 0)) return stepped;
    if (pace.stop.stop_requested()) return SQLITE_INTERRUPT;
    const int now = sqlite3_backup_remaining(backup);
    if (remaining >= 0 && now >= remaining) ++restarts;  // a step that brought nothing nearer
    remaining = now;
    sqlite3_sleep(static_cast<int>(pace.pause.count()));
  }
}

std::optional<std::string> copy_pages(SqliteConnection& source, const std::filesystem::path& to, const CopyPace& pace) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(to.c_str(), &raw, SQLITE_OPEN_READWRITE, nullptr);
  const Handle target(raw);
  if (opened != SQLITE_OK) return fmt::format("{}: {}", to.string(), sqlite3_errstr(opened));
  sqlite3_backup* backup = sqlite3_backup_init(raw, "main", source.raw(), "main");
  if (backup == nullptr) return fmt::format("{}: {}", to.string(), sqlite3_errmsg(raw));
  const int stepped = run_steps(backup, pace);
  const int finished = sqlite3_backup_finish(backup);
  if (stepped == SQLITE_DONE && finished == SQLITE_OK) return std::nullopt;
  return fmt::format("{}: {}", to.string(), sqlite3_errstr(finished != SQLITE_OK ? finished : stepped));
}

int append_row(void* findings, int columns, char** values, char**) {
  std::string line;
  for (int i = 0; i < columns; ++i) line += (i == 0 ? "" : " ") + std::string(values[i] == nullptr ? "-" : values[i]);
  auto& all = *static_cast<std::vector<std::string>*>(findings);
  if (line != "ok") all.push_back(std::move(line));
  return all.size() < 100 ? 0 : 1;
}

bool sync(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool done = ::fsync(descriptor) == 0;
  ::close(descriptor);
  return done;
}

std::string uri_path(const std::filesystem::path& path) {
  std::string out;
  for (const char c : path.string()) {
    if (c == '%' || c == '?' || c == '#')
      out += fmt::format("%{:02X}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out;
}

/// Nothing when the copy is sound.
std::optional<std::string> damage_of(const std::filesystem::path& path) {
  const auto findings = check_file(path);
  if (!findings) return findings.error();
  if (findings->empty()) return std::nullopt;
  return fmt::format("{}: {}", path.string(), findings->front());
}
}  // namespace

bool sync_file(const std::filesystem::path& path) { return sync(path, O_RDWR); }
bool sync_directory(const std::filesystem::path& path) { return sync(path, O_RDONLY | O_DIRECTORY); }

std::expected<std::vector<std::string>, std::string> check_file(const std::filesystem::path& path) {
  sqlite3* raw = nullptr;
  // Immutable: a copy in WAL mode is read without making files beside it.
  const std::string uri = fmt::format("file:{}?immutable=1", uri_path(path));
  const int opened = sqlite3_open_v2(uri.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
  const Handle handle(raw);
  if (opened != SQLITE_OK) return std::unexpected(fmt::format("{}: {}", path.string(), sqlite3_errstr(opened)));
  std::vector<std::string> findings;
  for (const char* pragma : {"PRAGMA integrity_check(100)", "PRAGMA foreign_key_check"}) {
    const int done = sqlite3_exec(raw, pragma, &append_row, &findings, nullptr);
    if (done != SQLITE_OK && done != SQLITE_ABORT)
      return std::unexpected(fmt::format("{}: {}", path.string(), sqlite3_errmsg(raw)));
  }
  return findings;
}

std::optional<std::string> copy_database(SqliteConnection& source, const std::filesystem::path& to,
                                         const CopyPace& pace) {
  const std::filesystem::path target = std::filesystem::absolute(to);
  const std::filesystem::path unfinished = target.string() + ".tmp";
  std::error_code error;
  std::filesystem::remove(unfinished, error);
  if (auto problem = prepare_file(unfinished, true)) return problem->detail;
  std::optional<std::string> problem = copy_pages(source, unfinished, pace);
  if (!problem) problem = damage_of(unfinished);
  if (!problem && !sync_file(unfinished)) problem = fmt::format("{}: cannot sync", unfinished.string());
  if (!problem) {
    std::filesystem::rename(unfinished, target, error);
    if (error) problem = fmt::format("{}: {}", target.string(), error.message());
  }
  if (problem) {
    std::filesystem::remove(unfinished, error);
    return problem;
  }
  if (!sync_directory(target.parent_path())) return fmt::format("{}: cannot sync", target.string());
  return std::nullopt;
}

}  // namespace ee::db
