#pragma once
#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace ee::testing {

/// A directory of one test's own, removed at the end. With EE_TEST_ARTIFACTS set it is made there and kept, so that
/// the last test of the suite can scan everything that the others left for secrets.
class TempDir {
 public:
  TempDir() {
    const char* keep = std::getenv("EE_TEST_ARTIFACTS");  // NOLINT(concurrency-mt-unsafe): no test sets it
    keep_ = keep != nullptr;
    std::string pattern =
        (keep_ ? std::filesystem::path(keep) : std::filesystem::temp_directory_path()) / "ee-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + pattern);
    path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    if (!keep_) std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
  bool keep_ = false;
};

}  // namespace ee::testing
