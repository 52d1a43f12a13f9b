#pragma once
#include <stop_token>
#include <string>

#include "cp/service/agent_client.h"
#include "cp/service/deployment_document.h"
#include "cp/service/deployment_machine.h"
#include "cp/service/directory.h"
#include "cp/service/job_summary.h"

namespace ee::cp {

/// Drives deployments by their rows (03 sections 6.1 and 6.4): pushes documents, repeats stops, ends what ran out of
/// time. A row is leased when a thread is free for it, so that its lease covers its call; one agent that does not
/// answer holds up one thread. Whoever dies loses nothing but a lease. One pass at a time.
class DeploymentReconciler {
 public:
  static constexpr std::size_t kParallel = 32;
  static constexpr Seconds kPass{60};             ///< then the pass ends, and the next one goes on
  static constexpr Milliseconds kLookAgain{200};  ///< while calls are under way
  static constexpr Seconds kLease{45};            ///< longer than any call
  static constexpr Seconds kStopAgain{15};

  struct Parts {
    db::Database& database;
    const DeploymentMachine& machine;
    const DeploymentDocuments& documents;
    AgentClient& agents;
    const AgentEndpoint& endpoint;
    Directory& directory;
    const Clock& clock;
    Random& random;
    const DeploymentCounters& counters;
    std::string owner;  ///< of leases: this process
  };
  explicit DeploymentReconciler(Parts parts) : parts_(std::move(parts)) {}

  /// Works on what is due, until nothing is or `stop` fires. Counts: `due`, `pushed`, `failed`.
  Result<JobSummary> run(const std::stop_token& stop);
  /// At the end of the process: others need not wait for the leases.
  Result<void> release();

 private:
  struct Outcome;
  struct Tally;
  Result<std::vector<DeploymentRow>> lease_due(std::size_t most);
  void work_on(const DeploymentRow& row, const std::stop_token& stop, Tally& tally);
  void count_states();
  Outcome act(const DeploymentRow& row, const std::stop_token& stop);
  Outcome dispatch(const DeploymentRow& row, const std::stop_token& stop);
  Outcome look_at_running(const DeploymentRow& row, const std::stop_token& stop);
  Outcome stop_agent(const DeploymentRow& row, const std::stop_token& stop);
  Result<void> settle(const DeploymentRow& row, const Outcome& outcome);
  Result<bool> postpone(db::Transaction& tx, const DeploymentRow& row, const Outcome& outcome);
  Result<bool> give_back(db::Transaction& tx, const DeploymentId& id);
  UtcTime push_again(const DeploymentRow& row) const;

  Parts parts_;
  DeploymentStore rows_;
  AgentStore agent_rows_;
  std::optional<UtcTime> counted_at_;  // of the passes' thread
};

}  // namespace ee::cp
