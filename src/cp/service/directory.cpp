#include "cp/service/directory.h"

#include <algorithm>

namespace ee::cp {
namespace {

constexpr int kMaxPollPages = 400;

/// What an agent is told about by a new tunnel version.
bool same_tunnel(const DirectoryEntry& a, const DirectoryEntry& b) {
  return a.tunnel_state == b.tunnel_state && a.hostname == b.hostname && a.tunnel_id == b.tunnel_id &&
         a.registration_id == b.registration_id;
}

std::shared_ptr<DirectoryEntry> entry_of(const DirectoryRow& row) {
  auto entry = std::make_shared<DirectoryEntry>();
  entry->id = key_of(row.id);
  entry->registration_id = key_of(std::string_view(row.registration_id.str()));
  entry->boot_id = key_of(std::string_view(row.boot_id));
  if (row.current_deployment_id)
    entry->current_deployment_id = key_of(std::string_view(row.current_deployment_id->str()));
  entry->vm_name = row.vm_name;
  entry->hostname = row.hostname;
  entry->health_changed_at = row.health_changed_at;
  entry->attested_at = row.attested_at;
  entry->attestation_due_at = row.attestation_due_at;
  entry->attest_requested_at = row.attest_requested_at;
  entry->registered_at = row.registered_at;
  entry->updated_at = row.updated_at;
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
  if (row.tunnel_id) entry->tunnel_id = key_of(std::string_view(*row.tunnel_id));
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

bool Directory::apply(const DirectoryRow& row, std::uint64_t generation) {
  auto fresh = entry_of(row);
  Shard& shard = shards_[shard_of(fresh->id)];
  const std::unique_lock lock(shard.mutex);
  Slot& slot = shard.entries[fresh->id];
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
    const auto rows = database_.read<std::vector<DirectoryRow>>(
        [&](db::Transaction& tx) { return agents_.changed_since(tx, from, after, kPage, until); });
    if (!rows) return std::unexpected(rows.error());
    for (const DirectoryRow& row : *rows)
      if (apply(row, generation_.load())) ++news;
    if (rows->empty()) break;
    last_updated_at_ = std::max(last_updated_at_, rows->back().updated_at);
    from = rows->back().updated_at;
    after = rows->back().id;
    if (static_cast<std::int64_t>(rows->size()) < kPage) break;
  }
  polled_at_ = polled_at;
  return news;
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
        [&](db::Transaction& tx) { return agents_.directory_page(tx, after, kPage); });
    if (!rows) return std::unexpected(rows.error());
    for (const DirectoryRow& row : *rows) {
      apply(row, generation);
      newest = std::max(newest, row.updated_at);
    }
    total += static_cast<std::int64_t>(rows->size());
    if (static_cast<std::int64_t>(rows->size()) < kPage) break;
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
