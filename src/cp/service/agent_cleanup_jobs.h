#pragma once
#include <stop_token>

#include "cp/service/agent_service.h"
#include "cp/service/agent_settings.h"
#include "cp/service/job_summary.h"

namespace ee::cp {

/// Job `agent_stale_cleanup`: agents that have been silent for `agents.stale_hours` and hold no deployment are deleted
/// with the reason `stale`, at most 100 per pass. Nothing in the first 180 s of the process.
class StaleCleanup {
 public:
  static constexpr std::int64_t kBatch = 100;
  static constexpr Seconds kStartGrace{180};

  StaleCleanup(db::Database& database, Directory& directory, LiveMap& live, AgentService& agents, const Clock& clock,
               AgentSettingsSource settings)
      : database_(database),
        directory_(directory),
        live_(live),
        service_(agents),
        clock_(clock),
        settings_(std::move(settings)),
        started_at_(clock.steady_now()) {}

  /// Counts: `deleted`.
  Result<JobSummary> run(const std::stop_token& stop);

 private:
  db::Database& database_;
  Directory& directory_;
  LiveMap& live_;
  AgentService& service_;
  const Clock& clock_;
  AgentSettingsSource settings_;
  SteadyTime started_at_;
};

/// Job `agent_tombstone_purge`: tombstones older than 30 days, credentials revoked more than 7 days ago and enrolment
/// tokens that ended more than 30 days ago go, 1,000 per transaction. Counts: `tombstones`, `credentials`,
/// `enrollment_tokens`.
Result<JobSummary> purge_tombstones(db::Database& database, const Clock& clock, const std::stop_token& stop);

}  // namespace ee::cp
