#pragma once
#include <sys/types.h>

#include <expected>
#include <string>
#include <vector>

#include "common/bytes.h"

namespace ee::attestation {

/// The file operations that configfs-tsm needs, each answering an errno value (0: done), since that interface speaks
/// through errno. Narrow, so that a test can answer what regular files never do. Thread-safe; a call may never return.
class TsmFiles {
 public:
  virtual ~TsmFiles() = default;
  virtual bool is_directory(const std::string& path) = 0;
  /// Mode 0700.
  virtual int make_directory(const std::string& path) = 0;
  virtual int remove_directory(const std::string& path) = 0;
  /// The names in a directory, `.` and `..` left out; empty when it cannot be read.
  virtual std::vector<std::string> list(const std::string& path) = 0;
  /// All of `bytes` in one write(2), then closed: configfs hands a binary attribute over on close.
  virtual int write(const std::string& path, Bytes bytes) = 0;
  /// To the end of the file; EFBIG when that is beyond `max_bytes`.
  virtual std::expected<ByteVector, int> read(const std::string& path, std::size_t max_bytes) = 0;
  virtual bool process_exists(pid_t pid) = 0;
};

class PosixTsmFiles : public TsmFiles {
 public:
  bool is_directory(const std::string& path) override;
  int make_directory(const std::string& path) override;
  int remove_directory(const std::string& path) override;
  std::vector<std::string> list(const std::string& path) override;
  int write(const std::string& path, Bytes bytes) override;
  std::expected<ByteVector, int> read(const std::string& path, std::size_t max_bytes) override;
  bool process_exists(pid_t pid) override;
};

}  // namespace ee::attestation
