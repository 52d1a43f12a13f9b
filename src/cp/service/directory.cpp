#include "cp/service/directory.h"

#include <fmt/format.h>

#include <algorithm>

namespace ee::cp {
namespace {

constexpr int kMaxPollPages = 400;

/// What an agent is told about by a new tunnel version.
bool same_tunnel(const DirectoryEntry& a, const DirectoryEntry& b) {
  return a.tunnel_state == b.tunnel_state && a.tunnel_digest == b.tunnel_digest &&
         a.registration_id == b.registration_id;
}

/// Equal for equal hostnames and tunnels, and else for none that anybody can find.
AgentKey tunnel_digest_of(const DirectoryRow& row) {
  AgentKey out{};
  if (!row.hostname && !row.tunnel_id) return out;
  const std::string text = fmt::format("{} {}\n{} {}", row.hostname.has_value(), row.hostname.value_or(""),
                                       row.tunnel_id.has_value(), row.tunnel_id.value_or(""));
  const auto digest = sha256(bytes_of(text));
  std::copy_n(digest.begin(), out.size(), out.begin());
  return out;
}

std::shared_ptr<DirectoryEntry> entry_of(const DirectoryRow& row) {
  auto entry = std::make_shared<DirectoryEntry>();
  entry->id = key_of(row.id);
  entry->registration_id = key_of(std::string_view(row.registration_id.str()));
  entry->boot_id = key_of(std::string_view(row.boot_id));
  if (row.current_deployment_id)
    entry->current_deployment_id = key_of(std::string_view(row.current_deployment_id->str()));
  entry->tunnel_digest = tunnel_digest_of(row);
  entry->health_changed_at = row.health_changed_at;
  entry->attestation_due_at = row.attestation_due_at;
  entry->attest_requested_at = row.attest_requested_at;
  entry->registered_at = row.registered_at;
  entry->assignment_epoch = row.assignment_epoch;
  entry->row_version = row.row_version;
  entry->tunnel_version = row.row_version;
  entry->status = row.status;
  entry->quarantine_reason = row.quarantine_reason;
  entry->health_status = row.health_status;
  entry->attestation_state = row.attestation_state;
  entry->tunnel_state = row.tunnel_state;
  entry->delete_reason = row.delete_reason;
  entry->draining = row.draining;
  entry->has_direct_url = row.direct_url.has_value();
  return entry;
}

}  // namespace

DirectoryRow directory_row_of(const AgentRow& row) {
  return {.id = row.id,
          .vm_name = row.vm_name,
          .status = row.status,
          .quarantine_reason = row.quarantine_reason,
          .health_status = row.health_status,
          .health_changed_at = row.health_changed_at,
          .attestation_state = row.attestation_state,
          .draining = row.draining,
          .registration_id = row.registration_id,
          .boot_id = row.boot_id,
          .current_deployment_id = row.current_deployment_id,
          .assignment_epoch = row.assignment_epoch,
          .attested_at = row.attested_at,
          .attestation_due_at = row.attestation_due_at,
          .attest_requested_at = row.attest_requested_at,
          .tunnel_state = row.tunnel_state,
          .hostname = row.hostname,
          .tunnel_id = row.tunnel_id,
          .direct_url = row.direct_url,
          .delete_reason = row.delete_reason,
          .registered_at = row.registered_at,
          .updated_at = row.updated_at,
          .row_version = row.row_version};
}

DirectoryEntryPtr Directory::find(const AgentKey& id) const {
  const Shard& shard = shards_[shard_of(id)];
  const std::shared_lock lock(shard.mutex);
  const auto it = shard.entries.find(id);
  return it == shard.entries.end() ? nullptr : it->second.entry;
}

Result<DirectoryEntryPtr> Directory::find_or_read(const AgentId& id) {
  const AgentKey key = key_of(id);
  if (auto known = find(key)) return known;
  const auto row =
      database_.read<std::optional<DirectoryRow>>([&](db::Transaction& tx) { return agents_.directory_row(tx, id); });
  if (!row) return std::unexpected(row.error());
  if (!*row) return DirectoryEntryPtr{};
  put(**row);
  return find(key);
}

void Directory::put(const DirectoryRow& row) { apply(row, generation_.load()); }
void Directory::put(const AgentRow& row) { put(directory_row_of(row)); }

bool Directory::knows(const AgentChange& change) const {
  const auto entry = find(key_of(change.id));
  return entry != nullptr && entry->row_version >= change.row_version;
}

bool Directory::apply(const DirectoryRow& row, std::uint64_t generation) {
  const AgentKey id = key_of(row.id);
  Shard& shard = shards_[shard_of(id)];
  {
    // A reload brings mostly what is known: no entry is made for that.
    const std::unique_lock lock(shard.mutex);
    const auto known = shard.entries.find(id);
    if (known != shard.entries.end() && known->second.entry->row_version >= row.row_version) {
      known->second.generation = std::max(known->second.generation, generation);
      return false;
    }
  }
  auto fresh = entry_of(row);
  const std::unique_lock lock(shard.mutex);
  Slot& slot = shard.entries[id];
  slot.generation = std::max(slot.generation, generation);
  if (slot.entry != nullptr) {
    if (slot.entry->row_version >= fresh->row_version) return false;
    if (same_tunnel(*slot.entry, *fresh)) fresh->tunnel_version = slot.entry->tunnel_version;
    if (slot.entry->is_live()) --live_;
  }
  if (fresh->is_live()) ++live_;
  slot.entry = std::move(fresh);
  return true;
}

std::size_t Directory::size() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const std::shared_lock lock(shard.mutex);
    total += shard.entries.size();
  }
  return total;
}

std::vector<DirectoryEntryPtr> Directory::select(const std::function<bool(const DirectoryEntry&)>& wanted) const {
  std::vector<DirectoryEntryPtr> found;
  for (const Shard& shard : shards_) {
    const std::shared_lock lock(shard.mutex);
    for (const auto& [id, slot] : shard.entries)
      if (wanted(*slot.entry)) found.push_back(slot.entry);
  }
  return found;
}

Result<std::int64_t> Directory::poll() {
  const std::lock_guard lock(feed_mutex_);
  // A quiet fleet: what was written well before the last poll was seen by it, so it is not read again each second.
  const UtcTime polled_at = clock_.now();
  // After the clock went back changes are dated before what was seen. Once everything since then is read again; later
  // what is still dated ahead is left out, since it was seen and would be read each time.
  const bool went_back = polled_at < polled_at_;
  UtcTime from =
      std::max(std::min(last_updated_at_, polled_at) - kOverlap, std::min(polled_at_, polled_at) - kQuietOverlap);
  const UtcTime until = went_back ? UtcTime::max() : polled_at + kQuietOverlap;
  AgentId after;
  std::int64_t news = 0;
  for (int page = 0; page < kMaxPollPages; ++page) {
    const auto read = read_news(from, after, until);
    if (!read) return std::unexpected(read.error());
    for (const DirectoryRow& row : read->rows)
      if (apply(row, generation_.load())) ++news;
    if (read->seen.empty()) break;
    last_updated_at_ = std::max(last_updated_at_, read->seen.back().updated_at);
    from = read->seen.back().updated_at;
    after = read->seen.back().id;
    if (static_cast<std::int64_t>(read->seen.size()) < kPage) break;
  }
  polled_at_ = polled_at;
  return news;
}

/// A change stays in what `poll` looks back at for some seconds, and is mostly one of this process: only what is not
/// known is read whole, so that a fleet that changed at once is not read again and again.
Result<Directory::News> Directory::read_news(UtcTime from, const AgentId& after, UtcTime until) {
  return database_.read<News>([&](db::Transaction& tx) -> Result<News> {
    auto seen = agents_.changed_since(tx, from, after, kPage, until);
    if (!seen) return std::unexpected(std::move(seen.error()));
    News news{.seen = std::move(*seen), .rows = {}};
    for (const AgentChange& change : news.seen) {
      if (knows(change)) continue;
      auto row = agents_.directory_row(tx, change.id);
      if (!row) return std::unexpected(std::move(row.error()));
      if (*row) news.rows.push_back(std::move(**row));
    }
    return news;
  });
}

Result<std::int64_t> Directory::reload() {
  const std::lock_guard lock(feed_mutex_);
  const UtcTime polled_at = clock_.now();
  const std::uint64_t generation = ++generation_;
  AgentId after;
  UtcTime newest = last_updated_at_;
  std::int64_t total = 0;
  for (;;) {
    const auto rows = database_.read<std::vector<DirectoryRow>>(
        [&](db::Transaction& tx) { return agents_.directory_page(tx, after, kReloadPage); });
    if (!rows) return std::unexpected(rows.error());
    for (const DirectoryRow& row : *rows) {
      apply(row, generation);
      newest = std::max(newest, row.updated_at);
    }
    total += static_cast<std::int64_t>(rows->size());
    if (static_cast<std::int64_t>(rows->size()) < kReloadPage) break;
    after = rows->back().id;
  }
  forget_older_than(generation);
  last_updated_at_ = newest;
  polled_at_ = polled_at;
  return total;
}

void Directory::forget_older_than(std::uint64_t generation) {
  for (Shard& shard : shards_) {
    const std::unique_lock lock(shard.mutex);
    for (auto it = shard.entries.begin(); it != shard.entries.end();) {
      if (it->second.generation >= generation) {
        ++it;
        continue;
      }
      if (it->second.entry->is_live()) --live_;
      it = shard.entries.erase(it);
    }
  }
}

}  // namespace ee::cp
