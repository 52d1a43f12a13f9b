#pragma once
#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "common/error.h"

namespace ee::agent {

enum class FileFailure : std::uint8_t { missing, unreadable, too_large };
std::string_view to_string(FileFailure failure);

/// A whole file of at most `max_bytes`. Works for files of /proc, whose size is told as zero.
std::expected<std::string, FileFailure> read_file(const std::string& path, std::size_t max_bytes);

/// Replaces `path` so that after a crash at any point it holds either the old text or the new one: a temporary file in
/// the same directory (mode 0600), fsync, rename, fsync of the directory. Errors: internal_error with the system's
/// reason.
Result<void> write_file_atomically(const std::string& path, std::string_view text);

/// The text of a small file of exactly `size` bytes; what `make` answers, written there, when there is no such file.
Result<std::string> kept_text(const std::string& path, std::size_t size,
                              const std::function<Result<std::string>()>& make);

/// Makes the directory and its parents, mode 0700 for those it makes.
Result<void> make_directories(const std::string& path);

/// Whether it lies on a file system that no disk holds (tmpfs, ramfs).
bool is_in_memory(const std::string& path);

/// Holds an advisory lock on a directory until destroyed: one process each. The kernel drops it when the process ends.
class DirectoryLock {
 public:
  /// Errors: in_use when another process (or another lock of this one) holds it.
  static Result<DirectoryLock> take(const std::string& directory);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace ee::agent
