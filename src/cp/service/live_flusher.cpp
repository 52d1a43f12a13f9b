#include "cp/service/live_flusher.h"

#include <algorithm>

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
  std::size_t left = live_.dirty();  // what becomes dirty meanwhile waits for the next pass
  std::optional<UtcTime> oldest;
  while (left > 0) {
    if (stop.stop_requested()) {
      summary.stopped = true;
      break;
    }
    const UtcTime now = clock_.now();
    const auto batch = live_.take_dirty(std::min(left, AgentLiveStore::kChunk), now);
    if (batch.rows.empty()) break;
    oldest = std::min(oldest.value_or(*batch.oldest), *batch.oldest);
    left -= std::min(left, batch.rows.size());
    const auto done = database_.run_write([&](db::Transaction& tx) { return store_.upsert(tx, batch.rows); });
    if (!done) {
      live_.put_back(batch);
      note_lag(clock_.now() - *oldest);
      return std::unexpected(done.error());
    }
    live_.written(batch, now);
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
