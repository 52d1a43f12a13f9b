#include "db/sqlite_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ee::db {

namespace {
constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

StartError cannot_open(const std::filesystem::path& path) {
  return {.code = "database_open_failed",
          .exit_code = 4,
          .detail = fmt::format("{}: {}", path.string(), std::strerror(errno))};
}
}  // namespace

std::expected<DatabaseLock, StartError> DatabaseLock::take(const std::filesystem::path& database) {
  const std::filesystem::path path = database.string() + ".lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (descriptor < 0) return std::unexpected(cannot_open(path));
  DatabaseLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return std::unexpected(cannot_open(path));
  return std::unexpected(StartError{
      .code = "database_in_use", .exit_code = 4, .detail = fmt::format("another process holds {}", path.string())});
}

DatabaseLock::DatabaseLock(DatabaseLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

DatabaseLock& DatabaseLock::operator=(DatabaseLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

DatabaseLock::~DatabaseLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool is_network_file_system(long type) {
  constexpr std::array<unsigned long, 8> network = {NFS_SUPER_MAGIC,  CIFS_SUPER_MAGIC, SMB_SUPER_MAGIC,
                                                    SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC, CEPH_SUPER_MAGIC,
                                                    AFS_SUPER_MAGIC,  V9FS_MAGIC};
  const unsigned long wanted = static_cast<unsigned long>(type) & 0xffffffffUL;
  for (const unsigned long magic : network) {
    if (magic == wanted) return true;
  }
  return false;
}

std::optional<long> file_system_type(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::absolute(path, error).parent_path();
  struct statfs found = {};
  if (error || ::statfs(directory.c_str(), &found) != 0) return std::nullopt;
  return static_cast<long>(found.f_type);
}

std::optional<StartError> prepare_file(const std::filesystem::path& path, bool strict) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kOwnerOnly);
  if (descriptor < 0) return cannot_open(path);
  struct stat found = {};
  const int asked = ::fstat(descriptor, &found);
  ::close(descriptor);
  if (asked != 0) return cannot_open(path);
  if (!S_ISREG(found.st_mode)) {
    return StartError{.code = "database_open_failed",
                      .exit_code = 4,
                      .detail = fmt::format("{} is not a regular file", path.string())};
  }
  if (strict && (found.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return StartError{.code = "database_permissions",
                      .exit_code = 6,
                      .detail = fmt::format("{} must not be open to group or others; chmod 600", path.string())};
  }
  return std::nullopt;
}

}  // namespace ee::db
