#include "agent/workload/secret_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "agent/files.h"
#include "agent/proc_text.h"

namespace ee::agent {
namespace {

namespace fs = std::filesystem;

/// A new file of mode 0400; never an existing one, never through a link.
Result<void> write_secret(const std::string& path, std::string_view value) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
  if (fd < 0)
    return fail(ErrorCode::internal_error, fmt::format("cannot make a secret file: {}", std::strerror(errno)));
  bool written = true;
  while (written && !value.empty()) {
    const ssize_t count = ::write(fd, value.data(), value.size());
    if (count > 0) {
      value.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      written = false;
    }
  }
  const int reason = errno;
  ::close(fd);
  if (!written)
    return fail(ErrorCode::internal_error, fmt::format("cannot write a secret file: {}", std::strerror(reason)));
  return {};
}

void overwrite(const fs::path& path) {
  ::chmod(path.c_str(), 0600);
  const int fd = ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  struct stat info{};
  off_t left = ::fstat(fd, &info) == 0 ? info.st_size : 0;
  static constexpr std::array<char, 4096> kZeros{};
  while (left > 0) {
    const auto chunk = std::min<off_t>(left, static_cast<off_t>(kZeros.size()));
    if (::write(fd, kZeros.data(), static_cast<std::size_t>(chunk)) <= 0) break;
    left -= chunk;
  }
  ::close(fd);
}

void wipe_tree(const fs::path& path) {
  std::error_code ignored;
  for (auto entry = fs::recursive_directory_iterator(path, ignored); entry != fs::recursive_directory_iterator();
       entry.increment(ignored)) {
    if (ignored) break;
    if (entry->symlink_status(ignored).type() == fs::file_type::regular) overwrite(entry->path());
  }
  fs::remove_all(path, ignored);
}

}  // namespace

std::string SecretFiles::directory(const std::string& run_dir, std::string_view deployment_id, std::int64_t revision) {
  return fmt::format("{}/secrets/{}/{}", run_dir, deployment_id, revision);
}

Result<void> SecretFiles::write(std::string_view deployment_id, std::int64_t revision,
                                const std::vector<WorkloadSecret>& secrets) {
  remove(deployment_id, revision);
  const std::string directory = fmt::format("{}/{}/{}", root_, deployment_id, revision);
  for (const WorkloadSecret& secret : secrets) {
    if (secret.as != agent_api::SecretKind::file) continue;
    if (auto made = make_directories(directory); !made) return made;
    if (auto written = write_secret(directory + '/' + secret.name, secret.value.reveal()); !written) return written;
  }
  return {};
}

void SecretFiles::remove(std::string_view deployment_id, std::int64_t revision) {
  const fs::path deployment = fmt::format("{}/{}", root_, deployment_id);
  wipe_tree(deployment / std::to_string(revision));
  std::error_code ignored;
  fs::remove(deployment, ignored);  // only when it is empty
}

void SecretFiles::keep_only(std::string_view deployment_id, std::int64_t revision) {
  std::error_code ignored;
  for (const auto& deployment : fs::directory_iterator(root_, ignored)) {
    if (deployment_id.empty() || deployment.path().filename() != fs::path(deployment_id)) {
      wipe_tree(deployment.path());
      continue;
    }
    for (const auto& entry : fs::directory_iterator(deployment.path(), ignored)) {
      const auto number = decimal(entry.path().filename().string());
      if (!number || *number < revision) wipe_tree(entry.path());
    }
  }
}

bool swap_is_off(std::string_view proc_swaps) {
  const std::size_t end = proc_swaps.find('\n');
  return end == std::string_view::npos || trimmed(proc_swaps.substr(end + 1)).empty();
}

}  // namespace ee::agent
