#include "cp/service/live_flusher.h"

#include <algorithm>
#include <span>

namespace ee::cp {

Result<JobSummary> LiveFlusher::flush(const std::stop_token& stop) {
  const SteadyTime begun = clock_.steady_now();
  auto done = flush_all(stop);
  if (observe_) observe_(clock_.steady_now() - begun);
  return done;
}

/// The table keeps the newest heartbeat of an agent, and one of the future would stay the newest.
Result<void> LiveFlusher::bring_back() {
  const UtcTime now = clock_.now();
  if (live_.bring_back(now) > 0) table_ahead_ = true;
  if (!table_ahead_) return {};
  auto done = database_.run_write(
      [&](db::Transaction& tx) { return store_.bring_back(tx, now + LiveMap::kClockTolerance, now); });
  if (done) table_ahead_ = false;
  return done;
}

Result<JobSummary> LiveFlusher::flush_all(const std::stop_token& stop) {
  if (auto right = bring_back(); !right) return std::unexpected(right.error());
  JobSummary summary;
  std::int64_t rows = 0;
  std::int64_t transactions = 0;
  std::optional<UtcTime> oldest;
  // What becomes dirty meanwhile waits for the next pass. One that was cut short starves nobody: the next one goes on.
  std::vector<AgentKey> dirty = live_.dirty_keys();
  std::ranges::rotate(dirty, std::ranges::upper_bound(dirty, last_));
  for (std::size_t from = 0; from < dirty.size(); from += AgentLiveStore::kChunk) {
    if (stop.stop_requested()) {
      summary.stopped = true;
      break;
    }
    const UtcTime now = clock_.now();
    const auto keys = std::span(dirty).subspan(from, std::min(dirty.size() - from, AgentLiveStore::kChunk));
    const auto batch = live_.take(keys, now);
    if (batch.rows.empty()) continue;  // deleted since
    oldest = std::min(oldest.value_or(*batch.oldest), *batch.oldest);
    const auto done = database_.run_write([&](db::Transaction& tx) { return store_.upsert(tx, batch.rows); });
    if (!done) {
      live_.put_back(batch);
      note_lag(clock_.now() - *oldest);
      return std::unexpected(done.error());
    }
    live_.written(batch, now);
    last_ = keys.back();
    rows += static_cast<std::int64_t>(batch.rows.size());
    ++transactions;
  }
  note_lag(oldest ? clock_.now() - *oldest : Milliseconds(0));
  summary.count("rows", rows);
  summary.count("transactions", transactions);
  return summary;
}

void LiveFlusher::note_lag(Milliseconds lag) {
  lag_ms_ = std::max<std::int64_t>(0, lag.count());
  const int raise = raise_.load();
  raise_ = lag > kLagLimit ? std::min(raise + 1, kMaxIntervalRaise) : std::max(raise - 1, 0);
}

}  // namespace ee::cp
