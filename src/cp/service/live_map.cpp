#include "cp/service/live_map.h"

#include <algorithm>
#include <boost/describe/members.hpp>
#include <boost/mp11/algorithm.hpp>
#include <tuple>

#include "common/json.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kLoadPage = 1000;  // a row may hold 2 KiB

using StatsMembers = boost::describe::describe_members<agent_api::HostStats, boost::describe::mod_public>;

/// What a report says, in 16 bytes. All zero: nothing runs.
ByteArray<16> digest_of(const std::optional<agent_api::WorkloadReport>& workload) {
  ByteArray<16> out{};
  if (!workload) return out;
  const auto digest = sha256(bytes_of(json::write(*workload)));
  std::copy_n(digest.begin(), out.size(), out.begin());
  return out;
}

}  // namespace

LiveMap::Stats LiveMap::packed(const agent_api::HostStats& stats) {
  Stats out{};
  static_assert(boost::mp11::mp_size<StatsMembers>::value == std::tuple_size_v<Stats>);
  std::size_t i = 0;
  boost::mp11::mp_for_each<StatsMembers>([&](auto member) { out.at(i++) = (stats.*member.pointer).value_or(-1); });
  return out;
}

agent_api::HostStats LiveMap::unpacked(const Stats& stats) {
  agent_api::HostStats out;
  std::size_t i = 0;
  boost::mp11::mp_for_each<StatsMembers>([&](auto member) {
    const std::int64_t value = stats.at(i++);
    if (value >= 0) out.*member.pointer = value;
  });
  return out;
}

void LiveMap::mark_dirty(Slot& slot, std::atomic<std::size_t>& dirty, UtcTime since) {
  if (slot.dirty_since) return;
  slot.dirty_since = since;
  ++dirty;
}

Result<std::int64_t> LiveMap::load() {
  AgentId after;
  std::int64_t total = 0;
  for (;;) {
    const auto rows = database_.read<std::vector<AgentLiveRow>>(
        [&](db::Transaction& tx) { return store_.page(tx, after, kLoadPage); });
    if (!rows) return std::unexpected(rows.error());
    for (const AgentLiveRow& row : *rows) {
      const AgentKey key = key_of(row.agent_id);
      Shard& shard = shards_[shard_of(key)];
      const std::lock_guard lock(shard.mutex);
      const auto [it, inserted] = shard.slots.try_emplace(key);
      if (!inserted) continue;  // a heartbeat was faster than the load
      it->second.last_heartbeat_at = row.last_heartbeat_at;
      it->second.seq = row.seq;
      it->second.bad_streak = static_cast<std::int32_t>(row.bad_streak);
      it->second.good_streak = static_cast<std::int32_t>(row.good_streak);
    }
    total += static_cast<std::int64_t>(rows->size());
    if (static_cast<std::int64_t>(rows->size()) < kLoadPage) return total;
    after = rows->back().agent_id;
  }
}

MergeResult LiveMap::merge(const AgentKey& id, const Beat& beat, const HealthThresholds& thresholds, UtcTime now) {
  const auto digest = digest_of(*beat.workload);  // outside of the lock
  Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  Slot& slot = shard.slots[id];
  if (slot.registration_id != beat.registration_id) {
    // What the table said belongs to this registration when it is not older than it.
    const bool of_this_registration =
        slot.registration_id == AgentKey{} && slot.last_heartbeat_at >= beat.registered_at;
    if (!of_this_registration) {
      slot.seq = 0;
      slot.bad_streak = slot.good_streak = 0;
      slot.reattest_told_at.reset();
      slot.workload_known = false;
    }
    slot.registration_id = beat.registration_id;
  }
  if (beat.seq <= slot.seq)
    return {.fresh = false, .health = {beat.status, slot.bad_streak, slot.good_streak}, .workload_changed = false};

  const HealthTrack track = after_heartbeat({beat.status, slot.bad_streak, slot.good_streak}, beat.good, thresholds);
  slot.seq = beat.seq;
  slot.bad_streak = static_cast<std::int32_t>(track.bad_streak);
  slot.good_streak = static_cast<std::int32_t>(track.good_streak);
  slot.last_heartbeat_at = std::max(slot.last_heartbeat_at, now);
  slot.link = beat.link;
  slot.workload_reported = beat.workload->has_value();
  if (beat.stats) {
    slot.stats = packed(*beat.stats);
    slot.has_stats = true;
  }
  mark_dirty(slot, dirty_, now);
  const bool changed = !slot.workload_known || slot.workload_digest != digest;
  return {.fresh = true, .health = track, .workload_changed = changed};
}

void LiveMap::workload_applied(const AgentKey& id, const std::optional<agent_api::WorkloadReport>& workload) {
  const auto digest = digest_of(workload);
  Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.slots.find(id);
  if (it == shard.slots.end()) return;
  it->second.workload_known = true;
  it->second.workload_digest = digest;
}

void LiveMap::note_answer(const AgentKey& id, Seconds interval, bool reattest_now, UtcTime now) {
  Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.slots.find(id);
  if (it == shard.slots.end()) return;
  it->second.interval_told_seconds = static_cast<std::int32_t>(interval.count());
  if (!reattest_now) {
    it->second.reattest_told_at.reset();
  } else if (!it->second.reattest_told_at) {
    it->second.reattest_told_at = now;
  }
}

std::optional<UtcTime> LiveMap::reattest_told_at(const AgentKey& id) const {
  const Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.slots.find(id);
  return it == shard.slots.end() ? std::nullopt : it->second.reattest_told_at;
}

void LiveMap::forget_reattest_told() {
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (auto& [id, slot] : shard.slots) slot.reattest_told_at.reset();
  }
}

std::optional<LiveMap::Seen> LiveMap::seen(const AgentKey& id) const {
  const Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.slots.find(id);
  if (it == shard.slots.end()) return std::nullopt;
  return Seen{.last_heartbeat_at = it->second.last_heartbeat_at,
              .interval_told = Seconds(it->second.interval_told_seconds)};
}

Result<std::optional<UtcTime>> LiveMap::last_heartbeat_at(db::Transaction& tx, const AgentId& id) const {
  const auto memory = seen(key_of(id));
  const auto row = store_.get(tx, id);
  if (!row) return std::unexpected(row.error());
  if (!memory && !*row) return std::optional<UtcTime>{};
  return std::optional(
      std::max(memory ? memory->last_heartbeat_at : UtcTime::min(), *row ? (*row)->last_heartbeat_at : UtcTime::min()));
}

std::optional<agent_api::HostStats> LiveMap::stats(const AgentKey& id) const {
  const Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.slots.find(id);
  if (it == shard.slots.end() || !it->second.has_stats) return std::nullopt;
  return unpacked(it->second.stats);
}

bool LiveMap::workload_reported(const AgentKey& id) const {
  const Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.slots.find(id);
  return it != shard.slots.end() && it->second.workload_reported;
}

void LiveMap::remove(const AgentKey& id) {
  Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.slots.find(id);
  if (it == shard.slots.end()) return;
  if (it->second.dirty_since) --dirty_;
  shard.slots.erase(it);
}

void LiveMap::clear_streaks(const AgentKey& id) {
  Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.slots.find(id);
  if (it == shard.slots.end()) return;
  it->second.bad_streak = it->second.good_streak = 0;
}

std::size_t LiveMap::size() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    total += shard.slots.size();
  }
  return total;
}

std::vector<AgentKey> LiveMap::dirty_keys() const {
  std::vector<AgentKey> keys;
  keys.reserve(dirty_.load());
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [id, slot] : shard.slots)
      if (slot.dirty_since) keys.push_back(id);
  }
  std::ranges::sort(keys);
  return keys;
}

LiveMap::Batch LiveMap::take(std::span<const AgentKey> keys, UtcTime now) {
  Batch batch;
  batch.rows.reserve(keys.size());
  for (const AgentKey& id : keys) {
    Shard& shard = shards_[shard_of(id)];
    const std::lock_guard lock(shard.mutex);
    const auto it = shard.slots.find(id);
    if (it == shard.slots.end() || !it->second.dirty_since) continue;
    Slot& slot = it->second;
    AgentLiveRow row{.agent_id = AgentId(uuid_text(id)),
                     .last_heartbeat_at = slot.last_heartbeat_at,
                     .seq = slot.seq,
                     .bad_streak = slot.bad_streak,
                     .good_streak = slot.good_streak,
                     .stats = {}};
    if (slot.has_stats && now - slot.stats_written_at >= kStatsEvery) row.stats = json::write(unpacked(slot.stats));
    batch.rows.push_back(std::move(row));
    batch.keys.push_back(id);
    batch.dirty_since.push_back(*slot.dirty_since);
    batch.oldest = std::min(batch.oldest.value_or(*slot.dirty_since), *slot.dirty_since);
    slot.dirty_since.reset();
    --dirty_;
  }
  return batch;
}

void LiveMap::put_back(const Batch& batch) {
  for (std::size_t i = 0; i < batch.keys.size(); ++i) {
    Shard& shard = shards_[shard_of(batch.keys[i])];
    const std::lock_guard lock(shard.mutex);
    const auto it = shard.slots.find(batch.keys[i]);
    if (it == shard.slots.end()) continue;
    mark_dirty(it->second, dirty_, batch.dirty_since[i]);
    it->second.dirty_since = batch.dirty_since[i];  // it waits since then, also if a heartbeat came meanwhile
  }
}

std::size_t LiveMap::bring_back(UtcTime now) {
  const auto is_ahead = [&](UtcTime at) { return at > now + kClockTolerance; };
  std::size_t ahead = 0;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (auto& [id, slot] : shard.slots) {
      if (is_ahead(slot.stats_written_at)) slot.stats_written_at = now;
      if (slot.dirty_since && is_ahead(*slot.dirty_since)) slot.dirty_since = now;
      if (slot.reattest_told_at && is_ahead(*slot.reattest_told_at)) slot.reattest_told_at = now;
      if (!is_ahead(slot.last_heartbeat_at)) continue;
      slot.last_heartbeat_at = now;
      ++ahead;
    }
  }
  return ahead;
}

void LiveMap::written(const Batch& batch, UtcTime now) {
  for (std::size_t i = 0; i < batch.keys.size(); ++i) {
    if (!batch.rows[i].stats) continue;
    Shard& shard = shards_[shard_of(batch.keys[i])];
    const std::lock_guard lock(shard.mutex);
    const auto it = shard.slots.find(batch.keys[i]);
    if (it != shard.slots.end()) it->second.stats_written_at = now;
  }
}

}  // namespace ee::cp
