#pragma once
#include <stop_token>
#include <vector>

#include "common/clock.h"
#include "cp/service/agent_settings.h"
#include "cp/service/directory.h"
#include "cp/service/job_summary.h"
#include "cp/service/live_map.h"
#include "cp/service/mass_guard.h"

namespace ee::cp {

/// Job `agent_health_sweep`: healthy agents that have been silent for too long become unhealthy. Whether a deployment
/// is lost is not decided here. One pass at a time.
///
/// Nothing is marked in the first 180 s of the process (agents back off while it was away), and not at once when more
/// than 30 % of the fleet seems silent (note `mass_silence`).
class HealthSweep {
 public:
  static constexpr Seconds kStartGrace{180};
  static constexpr std::size_t kReadChunk = 10'000;
  static constexpr std::size_t kWriteChunk = 500;

  /// The time of construction is taken for the start of the process.
  HealthSweep(db::Database& database, Directory& directory, LiveMap& live, const Clock& clock,
              AgentSettingsSource settings);

  /// Counts: `silent`, `marked`.
  Result<JobSummary> run(const std::stop_token& stop);

 private:
  /// Of the agents that memory has not heard of for too long, those that the table has not heard of either.
  Result<std::vector<DirectoryEntryPtr>> silent_agents(UtcTime now, const std::stop_token& stop);
  Result<std::int64_t> mark(const std::vector<DirectoryEntryPtr>& silent, UtcTime now, const std::stop_token& stop);

  db::Database& database_;
  Directory& directory_;
  LiveMap& live_;
  const Clock& clock_;
  AgentSettingsSource settings_;
  AgentStore agents_;
  SteadyTime started_at_;
  MassGuard guard_;
};

}  // namespace ee::cp
