#include "attestation/tsm/tsm_files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace ee::attestation {

namespace {

constexpr std::size_t kReadStepBytes = 4096;

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int value() const { return value_; }
  bool is_open() const { return value_ >= 0; }
  int close() {
    if (value_ < 0) return 0;
    const int result = ::close(value_);
    value_ = -1;
    return result == 0 ? 0 : errno;
  }

 private:
  int value_;
};

}  // namespace

bool PosixTsmFiles::is_directory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

int PosixTsmFiles::make_directory(const std::string& path) { return ::mkdir(path.c_str(), 0700) == 0 ? 0 : errno; }

int PosixTsmFiles::remove_directory(const std::string& path) { return ::rmdir(path.c_str()) == 0 ? 0 : errno; }

std::vector<std::string> PosixTsmFiles::list(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error))
    names.push_back(entries->path().filename().string());
  return names;
}

int PosixTsmFiles::write(const std::string& path, Bytes bytes) {
  Descriptor file(path, O_WRONLY);
  if (!file.is_open()) return errno;
  const ssize_t written = ::write(file.value(), bytes.data(), bytes.size());
  if (written < 0) return errno;
  if (static_cast<std::size_t>(written) != bytes.size()) return EIO;
  return file.close();
}

std::expected<ByteVector, int> PosixTsmFiles::read(const std::string& path, std::size_t max_bytes) {
  const Descriptor file(path, O_RDONLY);
  if (!file.is_open()) return std::unexpected(errno);
  ByteVector out;
  for (;;) {
    const std::size_t size = out.size();
    out.resize(size + kReadStepBytes);
    const ssize_t count = ::read(file.value(), out.data() + size, kReadStepBytes);
    if (count < 0) return std::unexpected(errno);
    out.resize(size + static_cast<std::size_t>(count));
    if (out.size() > max_bytes) return std::unexpected(EFBIG);
    if (count == 0) return out;
  }
}

bool PosixTsmFiles::process_exists(pid_t pid) { return ::kill(pid, 0) == 0 || errno != ESRCH; }

}  // namespace ee::attestation
