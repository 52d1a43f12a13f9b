#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/workload/document.h"
#include "common/error.h"

namespace ee::agent {

/// Secrets of workloads as files, `<run_dir>/secrets/<deployment>/<revision>/<name>`: directories 0700, files 0400, on
/// tmpfs. A file is overwritten with zeros before it is removed. One thread at a time.
class SecretFiles {
 public:
  explicit SecretFiles(const std::string& run_dir) : root_(run_dir + "/secrets") {}

  static std::string directory(const std::string& run_dir, std::string_view deployment_id, std::int64_t revision);

  /// Replaces what that revision has. Writes nothing when no secret is a file. Error: internal_error.
  Result<void> write(std::string_view deployment_id, std::int64_t revision, const std::vector<WorkloadSecret>& secrets);
  /// Gone or never there is fine.
  void remove(std::string_view deployment_id, std::int64_t revision);
  /// Removes every revision of every deployment but those of `deployment_id` from `revision` on; an empty id keeps
  /// nothing.
  void keep_only(std::string_view deployment_id, std::int64_t revision);

 private:
  std::string root_;
};

/// Whether no swap is in use, by the text of /proc/swaps: a heading and no line below it.
bool swap_is_off(std::string_view proc_swaps);

}  // namespace ee::agent
