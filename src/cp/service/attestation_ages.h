#pragma once
#include <optional>
#include <stop_token>
#include <unordered_map>
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
/// fails by its age only when it was told to refresh 900 s ago and has not: an outage of the control plane fails
/// nobody, and an agent that does not call in is the health and loss jobs' business. What was told before this job was
/// away (a suspended machine, a database that did not answer, another replica's lease) does not count: nobody could
/// refresh meanwhile. An agent that calls in at another replica counts as told from the first pass that sees it do so.
/// The mass guard holds for failures (note `mass_expiry`). Evidence that is dated ahead, since the system's clock went
/// back, is dated anew and due at once: else it would count as fresh until the clock has caught up.
class AttestationAges {
 public:
  static constexpr std::int64_t kChunk = 1000;
  static constexpr Seconds kTimeToRefresh{900};
  static constexpr std::int64_t kFleetShare = 60;
  /// Without a pass for so long, the job was away. Less leaves an agent most of its 900 s.
  static constexpr Seconds kAway{120};
  /// So long after it was asked for, every replica knows it and tells it with each heartbeat.
  static constexpr Seconds kAskedEverywhere{10};

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
  using ToldElsewhere = std::unordered_map<AgentKey, UtcTime, AgentKeyHash>;
  void forget_if_away(UtcTime now);
  Result<void> bring_back(UtcTime now, const std::stop_token& stop);
  Result<Plan> plan(UtcTime now, const std::stop_token& stop);
  Result<void> judge_page(const std::vector<DirectoryRow>& rows, UtcTime now, ToldElsewhere& told, Plan& plan);
  void judge(const DirectoryRow& row, UtcTime now, const AgentSettings& settings, Plan& plan) const;
  Result<std::optional<UtcTime>> told_at(db::Transaction& tx, const DirectoryRow& row, UtcTime now,
                                         ToldElsewhere& told) const;
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
  std::optional<UtcTime> last_pass_at_;
  SteadyTime last_pass_steady_{};
  ToldElsewhere told_elsewhere_;  ///< overdue agents that call in at another replica, and when a pass first saw it
};

}  // namespace ee::cp
