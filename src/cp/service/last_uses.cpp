#include "cp/service/last_uses.h"

#include <algorithm>
#include <functional>

namespace ee::cp {

LastUses::Shard& LastUses::shard_of(std::string_view key_id) {
  return shards_[std::hash<std::string_view>{}(key_id) % shards_.size()];
}

void LastUses::note(std::string_view key_id, std::string_view client_address, UtcTime now) {
  Shard& shard = shard_of(key_id);
  const std::lock_guard lock(shard.mutex);
  const std::string key(key_id);
  auto found = shard.uses.find(key);
  if (found == shard.uses.end()) {
    if (shard.uses.size() >= kMaxKeys / shards_.size()) return;
    found = shard.uses.emplace(key, Use{}).first;
  }
  Use& use = found->second;
  if (now - use.written_at < every_) return;
  use.at = now;
  use.client_address = client_address;
  use.due = true;
}

Result<std::int64_t> LastUses::flush(db::Database& database, const std::stop_token& stop, UtcTime now) {
  std::int64_t changed = 0;
  for (Shard& shard : shards_) {
    const auto written = flush(shard, database, stop);
    if (!written) return written;
    changed += *written;
    const std::lock_guard lock(shard.mutex);
    std::erase_if(shard.uses,
                  [&](const auto& entry) { return !entry.second.due && now - entry.second.written_at >= every_; });
  }
  return changed;
}

/// A copy of one shard at a time: after the start of a large fleet everybody's use is due.
Result<std::int64_t> LastUses::flush(Shard& shard, db::Database& database, const std::stop_token& stop) const {
  std::vector<KeyUse> due;
  {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [key_id, use] : shard.uses)
      if (use.due) due.push_back({.key_id = key_id, .at = use.at, .client_address = use.client_address});
  }
  std::int64_t changed = 0;
  for (std::size_t from = 0; from < due.size() && !stop.stop_requested(); from += kRowsAtOnce) {
    const std::size_t to = std::min(due.size(), from + kRowsAtOnce);
    const std::vector<KeyUse> batch(due.begin() + static_cast<std::ptrdiff_t>(from),
                                    due.begin() + static_cast<std::ptrdiff_t>(to));
    const auto written = database.write<std::int64_t>([&](db::Transaction& tx) { return write_(tx, batch); });
    if (!written) return written;
    changed += *written;
    const std::lock_guard lock(shard.mutex);
    for (const KeyUse& use : batch) {
      if (const auto found = shard.uses.find(use.key_id); found != shard.uses.end()) {
        found->second.written_at = use.at;
        found->second.due = false;
      }
    }
  }
  return changed;
}

std::size_t LastUses::size() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    total += shard.uses.size();
  }
  return total;
}

}  // namespace ee::cp
