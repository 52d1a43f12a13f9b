#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/agent_api.h"
#include "common/clock.h"
#include "cp/domain/deployment_state.h"
#include "cp/service/agent_slots.h"
#include "cp/service/billing.h"
#include "cp/service/deployment_counters.h"
#include "cp/service/deployment_settings.h"
#include "cp/service/placer.h"
#include "cp/service/revisions.h"
#include "cp/store/deployment_event_store.h"
#include "cp/store/deployment_store.h"
#include "cp/store/revision_store.h"
#include "cp/store/service_store.h"

namespace ee::cp {

/// What an event brings along.
struct EventInputs {
  std::string actor = "system:deployments";
  std::optional<std::string> request_id = {};
  std::optional<std::string> reason = {};        ///< of a stop: `user`, `insufficient_funds`, ...
  std::optional<UtcTime> charged_to = {};        ///< where the segment ends; nothing: now
  std::optional<std::string> failure_code = {};  ///< as the agent says
  std::optional<std::string> failure_detail = {};
  std::optional<std::string> log_tail = {};  ///< base64
  std::optional<agent_api::WorkloadReport> report = {};
  bool of_target = true;                             ///< the report is about the target revision
  std::optional<std::int64_t> target_revision = {};  ///< of change_requested
  std::optional<AgentRow> claimed = {};              ///< of capacity_found
};

struct Applied {
  DeploymentRow row = {};
  bool changed = false;
};

/// Moves deployments by the state table: deployment, agent, reservation, segment, revision outcomes, event, audit and
/// route epoch in the caller's transaction. Everybody who changes a deployment's state does it here. Thread-safe.
class DeploymentMachine {
 public:
  struct Parts {
    const Billing& billing;
    const AgentSlots& slots;
    const Placer& placer;
    const Revisions& revisions;
    const Clock& clock;
    Random& random;
    DeploymentSettingsSource settings;
    DeploymentCounters& counters;
  };
  explicit DeploymentMachine(Parts parts) : parts_(std::move(parts)) {}

  static constexpr Seconds kGone{60};  ///< grace before a workload that went away is sent again
  static constexpr Seconds kPlacementsForgotten{24 * 3600};
  static constexpr std::int64_t kMostReboots = 3;
  /// Between leaving the routes and the agent's stop of one that was replaced: every replica reads routes each second,
  /// and requests under way end.
  static constexpr Seconds kUnrouted{5};
  static constexpr Seconds kRedeployWait{3600};  ///< how long one that lost its agent waits for another

  /// What `event` does. An agent's event without a rule changes nothing and is counted; a user's is an error.
  /// Errors: `deployment_final`, `invalid_transition`, `not_running`, `update_in_progress`, `concurrent_update`.
  Result<Applied> apply(db::Transaction& tx, const DeploymentRow& before, DeploymentEvent event,
                        const EventInputs& inputs) const;

  /// The only way into `stopping`: idempotent, and the first reason stays. Answers the row as it is then.
  Result<Applied> request_stop(db::Transaction& tx, const DeploymentRow& before, const std::string& reason,
                               const EventInputs& inputs, bool force = false) const;

  /// Puts a claimed agent into the row: slot, epoch, resources, price, time-outs of a dispatch.
  Result<void> take_slot(db::Transaction& tx, DeploymentRow& row, const AgentRow& agent, UtcTime now) const;
  /// Who asks, for the visibility of private agents.
  Result<PlacementCaller> caller_of(db::Transaction& tx, const DeploymentRow& row) const;
  /// What placement asks for, from the row.
  PlacementQuestion question_of(const DeploymentRow& row) const;
  /// An event that changes no state.
  Result<void> note(db::Transaction& tx, const DeploymentRow& row, std::string kind, std::string detail,
                    const EventInputs& inputs) const;

 private:
  struct Step;
  DeploymentFacts facts_of(const DeploymentRow& row, const EventInputs& inputs, UtcTime now) const;
  void name_the_end(Step& step) const;
  Result<void> leave_agent(db::Transaction& tx, Step& step) const;
  Result<void> place_again(db::Transaction& tx, Step& step) const;
  Result<void> begin_running(db::Transaction& tx, Step& step) const;
  Result<void> change_revisions(db::Transaction& tx, Step& step) const;
  Result<void> set_times(db::Transaction& tx, Step& step) const;
  Result<void> record(db::Transaction& tx, const Step& step) const;

  Parts parts_;
  DeploymentStore rows_;
  RevisionStore revision_rows_;
  DeploymentEventStore events_;
  ServiceStore services_;
  AgentStore agents_;
};

/// The price's side of an agent.
PricedResources priced(const AgentRow& agent);

}  // namespace ee::cp
