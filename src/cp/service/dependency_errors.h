#pragma once
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/error.h"
#include "cp/service/attestation_admin_api.h"

namespace ee::cp {

/// The last error of each outside service that attestation needs, for administrators. The names are literals of the
/// code, so it stays small. Thread-safe.
class DependencyErrors {
 public:
  explicit DependencyErrors(const Clock& clock) : clock_(clock) {}

  void note(std::string_view dependency, ErrorCode code) {
    const std::lock_guard lock(mutex_);
    last_[std::string(dependency)] = {.code = std::string(slug(code)), .at = clock_.now()};
  }
  std::map<std::string, DependencyError> all() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::map<std::string, DependencyError> last_;
};

}  // namespace ee::cp
