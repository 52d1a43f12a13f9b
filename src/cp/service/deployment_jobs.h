#pragma once
#include <functional>
#include <stop_token>

#include "cp/service/deployment_machine.h"
#include "cp/service/deployment_migration.h"
#include "cp/service/deployments.h"
#include "cp/service/directory.h"
#include "cp/service/job_summary.h"
#include "cp/service/live_map.h"

namespace ee::cp {

/// The background work on deployments beside the reconciler (03 section 11). Thread-safe; each pass is safe to repeat.
class DeploymentJobs {
 public:
  struct Parts {
    db::Database& database;
    const DeploymentMachine& machine;
    const Placer& placer;
    const Billing& billing;
    const Revisions& revisions;
    Deployments& deployments;
    const LiveMap& live;
    Directory& directory;
    const Clock& clock;
    Random& random;
    DeploymentSettingsSource settings;
    DeploymentCounters& counters;
    std::function<void()> wake;
  };
  explicit DeploymentJobs(Parts parts);

  /// Deployments of agents that fell silent (03 section 6.5). Nothing is lost for a while after a start or a break of
  /// its own; when most would be lost at once, an administrator decides. Counts: `lost`; note
  /// `mass_agent_loss`.
  Result<JobSummary> agent_loss(const std::stop_token& stop);
  /// Lets the next passes of ten minutes mark agents lost, however many.
  Result<void> confirm_loss(const Actor& actor);
  Result<JobSummary> ttl_expiry(const std::stop_token& stop);
  /// Agents for those that wait, the oldest first, and for those that leave drained agents.
  Result<JobSummary> capacity_waiter(const std::stop_token& stop);
  /// Stops the old one of a pair when the new one has been healthy for ten seconds.
  Result<JobSummary> replace_finisher(const std::stop_token& stop);
  /// Finds rows that contradict each other, mends, audits and counts them.
  Result<JobSummary> placement_check(const std::stop_token& stop);
  Result<JobSummary> retention(const std::stop_token& stop);

 private:
  struct Holder;
  Result<bool> place_waiting(const DeploymentRow& waiting);
  Result<std::vector<Holder>> silent_holders(std::int64_t& holders, UtcTime now, const std::stop_token& stop);
  Result<bool> loss_confirmed(UtcTime now);
  Result<std::int64_t> mend_agents();
  Result<std::int64_t> mend_slots();
  Result<std::int64_t> mend_keys(const std::stop_token& stop);
  Result<std::int64_t> mend_segments();
  Result<std::int64_t> mend_holders();
  static bool agrees(const DeploymentRow& row, const AgentRow& agent);
  Result<bool> mend_holder(db::Transaction& tx, const DeploymentId& id, std::optional<AgentId>& agent);
  Result<void> audit_repair(db::Transaction& tx, const std::string& what, const std::string& object_type,
                            const std::string& id) const;
  void published(const std::optional<AgentId>& agent);

  Parts parts_;
  DeploymentMigration migration_;
  UtcTime started_at_;
  std::optional<UtcTime> last_loss_pass_at_;  // of the job's own thread
  DeploymentStore rows_;
  AgentStore agents_;
};

}  // namespace ee::cp
