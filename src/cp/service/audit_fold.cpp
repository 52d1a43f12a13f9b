#include "cp/service/audit_fold.h"

#include <algorithm>
#include <utility>

namespace ee::cp {

/// Only when something may be old enough: under a flood of new keys this is asked for with each of them.
void AuditFold::forget_old(SteadyTime now) {
  if (now < oldest_ends_at_) return;
  oldest_ends_at_ = now + kPeriod;  // of those that are still to come
  // What they had folded is told with the next new row, whichever that is.
  std::erase_if(entries_, [&](const auto& item) {
    const Entry& entry = item.second;
    if (now - entry.written_at >= kPeriod) {
      untold_ += entry.folded;
      return true;
    }
    oldest_ends_at_ = std::min(oldest_ends_at_, entry.written_at + kPeriod);
    return false;
  });
}

std::optional<std::int64_t> AuditFold::admit(const std::string& key, SteadyTime now) {
  const std::lock_guard lock(mutex_);
  auto found = entries_.find(key);
  if (found == entries_.end() && entries_.size() >= kMaxKeys) {
    forget_old(now);
    if (entries_.size() >= kMaxKeys) found = entries_.find("");
  }
  if (found == entries_.end()) {
    entries_.emplace(entries_.size() >= kMaxKeys ? "" : key, Entry{.written_at = now});
    return std::exchange(untold_, 0);
  }
  Entry& entry = found->second;
  if (now - entry.written_at < kPeriod) {
    if (entry.rows < rows_per_period_) {
      ++entry.rows;
      return 0;
    }
    ++entry.folded;
    return std::nullopt;
  }
  const std::int64_t folded = entry.folded;
  entry = {.written_at = now};
  return folded;
}

}  // namespace ee::cp
