#pragma once
#include <stop_token>
#include <vector>

#include "cp/service/agent_service.h"
#include "cp/service/agent_settings.h"
#include "cp/service/job_summary.h"
#include "cp/service/mass_guard.h"

namespace ee::cp {

/// Job `agent_attestation_ages`: evidence that is due is asked for, that is old is stale, that is too old has failed.
/// One pass at a time.
///
/// At most a sixtieth of the fleet is asked per pass, so that a fleet that registered together spreads out. An agent
/// fails by its age only when it was told to refresh 900 s ago by this process and has not: an outage of the control
/// plane fails nobody, and an agent that does not call in is the health and loss jobs' business. The mass guard holds
/// for failures (note `mass_expiry`).
class AttestationAges {
 public:
  static constexpr std::int64_t kChunk = 1000;
  static constexpr Seconds kTimeToRefresh{900};
  static constexpr std::int64_t kFleetShare = 60;

  AttestationAges(db::Database& database, Directory& directory, LiveMap& live, AgentService& agents, const Clock& clock,
                  AgentSettingsSource settings)
      : database_(database),
        directory_(directory),
        live_(live),
        service_(agents),
        clock_(clock),
        settings_(std::move(settings)) {}

  /// Counts: `asked`, `stale`, `failed`.
  Result<JobSummary> run(const std::stop_token& stop);

 private:
  struct Plan {
    std::vector<AgentId> ask;
    std::vector<AgentId> stale;
    std::vector<AgentId> fail;
  };
  Result<Plan> plan(UtcTime now, const std::stop_token& stop);
  void judge(const DirectoryRow& row, UtcTime now, const AgentSettings& settings, Plan& plan) const;
  using Mark = std::optional<DirectoryRow>;
  Result<std::int64_t> mark(const std::vector<AgentId>& ids, const std::stop_token& stop,
                            const std::function<Result<Mark>(db::Transaction&, const AgentId&)>& one);
  Result<std::int64_t> fail_all(const std::vector<AgentId>& ids, UtcTime now, const std::stop_token& stop);

  db::Database& database_;
  Directory& directory_;
  LiveMap& live_;
  AgentService& service_;
  const Clock& clock_;
  AgentSettingsSource settings_;
  AgentStore agents_;
  MassGuard guard_;
};

}  // namespace ee::cp
