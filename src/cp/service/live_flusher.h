#pragma once
#include <atomic>
#include <functional>
#include <stop_token>

#include "common/clock.h"
#include "cp/service/job_summary.h"
#include "cp/service/live_map.h"

namespace ee::cp {

/// Writes dirty slots of the live map to `agent_live`, 2,000 per transaction, so that other writers get their turn in
/// between, and in the order of the table, so that a transaction changes few of its pages; and asks agents for fewer
/// heartbeats while it cannot keep up. One call of `flush` at a time (job `agent_flush`, every 5 s and when
/// `wants_flush`).
class LiveFlusher {
 public:
  /// So many dirty slots are reason for a flush before its time.
  static constexpr std::size_t kWakeAt = 20'000;
  /// A slot that waited longer than this raises the interval told to agents by one step.
  static constexpr Seconds kLagLimit{10};

  /// `observe` hears how long each pass took.
  LiveFlusher(db::Database& database, LiveMap& live, const Clock& clock,
              std::function<void(SteadyTime::duration)> observe = {})
      : database_(database), live_(live), clock_(clock), observe_(std::move(observe)) {}

  /// Writes what is dirty at the start of the call; when the system's clock went back, what is stored is put right
  /// first. A chunk that fails is dirty again, and the pass ends with its error; the next one goes on.
  Result<JobSummary> flush(const std::stop_token& stop);
  bool wants_flush() const { return live_.dirty() >= kWakeAt; }

  /// 0 normally; up to kMaxIntervalRaise while flushes lag.
  int interval_raise() const { return raise_.load(); }
  /// How long the longest waiting slot of the last flush had waited.
  Milliseconds lag() const { return Milliseconds(lag_ms_.load()); }

 private:
  Result<JobSummary> flush_all(const std::stop_token& stop);
  Result<void> bring_back();
  void note_lag(Milliseconds lag);

  db::Database& database_;
  LiveMap& live_;
  const Clock& clock_;
  std::function<void(SteadyTime::duration)> observe_;
  AgentLiveStore store_;
  bool table_ahead_ = false;  ///< the table may hold heartbeats of the future
  AgentKey last_{};           ///< where the last pass ended; the next one goes on behind it
  std::atomic<int> raise_ = 0;
  std::atomic<std::int64_t> lag_ms_ = 0;
};

}  // namespace ee::cp
