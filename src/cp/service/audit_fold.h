#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/time.h"

namespace ee::cp {

/// Folds equal refusals of anonymous callers into one audit row (or a few) per minute, so that nobody can fill the
/// table. Bounded; when full, further kinds of refusals share one entry. Thread-safe.
class AuditFold {
 public:
  static constexpr std::size_t kMaxKeys = 4096;
  static constexpr Seconds kPeriod{60};

  explicit AuditFold(std::int64_t rows_per_period = 1) : rows_per_period_(rows_per_period) {}

  /// `key`: action, reason and address. The number of refusals that were folded since the last row when one is due now;
  /// nothing when this refusal is folded.
  std::optional<std::int64_t> admit(const std::string& key, SteadyTime now);

 private:
  struct Entry {
    SteadyTime written_at;  ///< the first row of the period
    std::int64_t rows = 1;
    std::int64_t folded = 0;
  };
  void forget_old(SteadyTime now);

  const std::int64_t rows_per_period_;
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  /// Until then no entry's period is over, as far as was seen when all were looked at: times only grow.
  SteadyTime oldest_ends_at_ = SteadyTime::min();
  std::int64_t untold_ = 0;  ///< folded by entries that had to go
};

}  // namespace ee::cp
