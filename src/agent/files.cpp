#include "agent/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ee::agent {
namespace {

/// Closes a descriptor at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::unexpected<Error> system_failure(std::string_view what, const std::string& path) {
  const int reason = errno;
  return fail(ErrorCode::internal_error, fmt::format("{} {}: {}", what, path, std::strerror(reason)));
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

Result<void> sync_directory(const std::string& directory) {
  const Descriptor dir(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir || ::fsync(dir.get()) != 0) return system_failure("cannot sync", directory);
  return {};
}

}  // namespace

std::string_view to_string(FileFailure failure) {
  switch (failure) {
    case FileFailure::missing: return "no such file";
    case FileFailure::unreadable: return "cannot be read";
    case FileFailure::too_large: return "is too large";
  }
  std::abort();
}

std::expected<std::string, FileFailure> read_file(const std::string& path, std::size_t max_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(errno == ENOENT ? FileFailure::missing : FileFailure::unreadable);
  std::string text;
  std::array<char, 16384> buffer{};
  while (true) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(FileFailure::unreadable);
    if (got == 0) return text;
    if (text.size() + static_cast<std::size_t>(got) > max_bytes) return std::unexpected(FileFailure::too_large);
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Result<void> write_file_atomically(const std::string& path, std::string_view text) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  std::string temporary = path + ".tmp-XXXXXX";
  const Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600
  if (!file) return system_failure("cannot create", temporary);
  const auto abandon = [&](std::string_view what) {
    auto failure = system_failure(what, path);
    ::unlink(temporary.c_str());
    return failure;
  };
  if (!write_all(file.get(), text)) return abandon("cannot write");
  if (::fsync(file.get()) != 0) return abandon("cannot sync");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return abandon("cannot replace");
  return sync_directory(directory);
}

Result<void> make_directories(const std::string& path) {
  std::filesystem::path made;
  for (const auto& part : std::filesystem::path(path)) {
    made /= part;
    if (::mkdir(made.c_str(), 0700) != 0 && errno != EEXIST && errno != EISDIR)
      return system_failure("cannot make", made.string());
  }
  if (!std::filesystem::is_directory(path)) return fail(ErrorCode::internal_error, path + " is not a directory");
  return {};
}

Result<std::string> kept_text(const std::string& path, std::size_t size,
                              const std::function<Result<std::string>()>& make) {
  if (auto text = read_file(path, 1024); text && text->size() == size) return std::move(*text);
  auto made = make();
  if (!made) return made;
  if (auto written = write_file_atomically(path, *made); !written) return fail(std::move(written.error()));
  return made;
}

bool is_in_memory(const std::string& path) {
  struct statfs info{};
  if (::statfs(path.c_str(), &info) != 0) return false;
  const auto type = static_cast<unsigned long>(info.f_type);
  return type == TMPFS_MAGIC || type == RAMFS_MAGIC;
}

Result<DirectoryLock> DirectoryLock::take(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return system_failure("cannot open", directory);
  DirectoryLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
    return fail(ErrorCode::in_use, fmt::format("{} is used by another process", directory));
  return lock;
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace ee::agent
