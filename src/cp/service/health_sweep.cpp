#include "cp/service/health_sweep.h"

#include <algorithm>

namespace ee::cp {
namespace {

AgentId id_of(const DirectoryEntry& entry) { return AgentId(uuid_text(entry.id)); }

}  // namespace

HealthSweep::HealthSweep(db::Database& database, Directory& directory, LiveMap& live, const Clock& clock,
                         AgentSettingsSource settings)
    : database_(database),
      directory_(directory),
      live_(live),
      clock_(clock),
      settings_(std::move(settings)),
      started_at_(clock.steady_now()) {}

Result<JobSummary> HealthSweep::run(const std::stop_token& stop) {
  JobSummary summary;
  const UtcTime now = clock_.now();
  if (clock_.steady_now() - started_at_ < kStartGrace) return summary;
  const auto silent = silent_agents(now, stop);
  if (!silent) return std::unexpected(silent.error());
  summary.count("silent", static_cast<std::int64_t>(silent->size()));
  const auto fleet = static_cast<std::int64_t>(directory_.live_count());
  if (!guard_.allows(static_cast<std::int64_t>(silent->size()), fleet, now)) {
    summary.notes.emplace_back("mass_silence");
    return summary;
  }
  const auto marked = mark(*silent, now, stop);
  if (!marked) return std::unexpected(marked.error());
  summary.count("marked", *marked);
  summary.stopped = stop.stop_requested();
  return summary;
}

Result<std::vector<DirectoryEntryPtr>> HealthSweep::silent_agents(UtcTime now, const std::stop_token& stop) {
  const AgentSettings settings = settings_();
  const auto limit_of = [&](const DirectoryEntry& entry) {
    const auto seen = live_.seen(entry.id);
    return silence_threshold(seen ? seen->interval_told : settings.heartbeat_interval, settings.silence);
  };
  // An agent became healthy by a heartbeat: that is the least that is known of one that memory has not heard of.
  auto suspects = directory_.select([&](const DirectoryEntry& entry) {
    if (!entry.is_live() || entry.health_status != HealthStatus::healthy) return false;
    const auto seen = live_.seen(entry.id);
    // A change dated ahead is from before the clock went back and says nothing.
    const bool ahead = entry.health_changed_at > now + LiveMap::kClockTolerance;
    const UtcTime changed = ahead ? UtcTime::min() : entry.health_changed_at;
    const UtcTime last = std::max(seen ? seen->last_heartbeat_at : UtcTime::min(), changed);
    if (last == UtcTime::min()) return true;
    return now - last > limit_of(entry);
  });
  // Another replica may have heard of them.
  std::vector<DirectoryEntryPtr> silent;
  for (std::size_t from = 0; from < suspects.size() && !stop.stop_requested(); from += kReadChunk) {
    const auto to = std::min(suspects.size(), from + kReadChunk);
    const auto read = database_.run_read([&](db::Transaction& tx) -> Result<void> {
      for (std::size_t i = from; i < to; ++i) {
        const auto last = live_.last_heartbeat_at(tx, id_of(*suspects[i]));
        if (!last) return std::unexpected(last.error());
        if (!*last || now - **last > limit_of(*suspects[i])) silent.push_back(suspects[i]);
      }
      return {};
    });
    if (!read) return std::unexpected(read.error());
  }
  return silent;
}

Result<std::int64_t> HealthSweep::mark(const std::vector<DirectoryEntryPtr>& silent, UtcTime now,
                                       const std::stop_token& stop) {
  std::int64_t marked = 0;
  for (std::size_t from = 0; from < silent.size() && !stop.stop_requested(); from += kWriteChunk) {
    const auto to = std::min(silent.size(), from + kWriteChunk);
    const auto rows =
        database_.write<std::vector<DirectoryRow>>([&](db::Transaction& tx) -> Result<std::vector<DirectoryRow>> {
          std::vector<DirectoryRow> changed;
          for (std::size_t i = from; i < to; ++i) {
            const auto seen = live_.seen(silent[i]->id);
            if (seen && seen->last_heartbeat_at >= now) continue;  // it came while this pass ran
            auto row = agents_.set_health(tx, id_of(*silent[i]), HealthStatus::healthy, HealthStatus::unhealthy,
                                          "silent", now);
            if (!row) return std::unexpected(row.error());
            if (*row) changed.push_back(std::move(**row));
          }
          return changed;
        });
    if (!rows) return std::unexpected(rows.error());
    for (const DirectoryRow& row : *rows) {
      directory_.put(row);
      live_.clear_streaks(key_of(row.id));
    }
    marked += static_cast<std::int64_t>(rows->size());
  }
  return marked;
}

}  // namespace ee::cp
