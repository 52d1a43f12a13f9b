#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "common/error.h"
#include "cp/domain/agent.h"
#include "cp/domain/deployment.h"

namespace ee::cp {

/// What may happen to a deployment (03 section 4).
enum class DeploymentEvent : std::uint8_t {
  capacity_found,     ///< a waiting one got an agent
  wait_over,          ///< no agent in time
  push_accepted,      ///< the agent took the document, by push or by pull
  push_invalid,       ///< 400, 413 or 422: nothing was started
  push_refused,       ///< 401, 403, or 409: it holds something else
  dispatch_deadline,  ///< neither push nor pull in time
  report_progress,    ///< accepted, pulling, starting, checking
  report_running,
  report_failed,
  report_exited,    ///< the workload ended, restarts used up
  digests_differ,   ///< `running` with other images than the document's
  deploy_deadline,  ///< not ready in time
  health_reported,
  workload_gone,     ///< nothing runs any more, grace over (reboot)
  change_requested,  ///< upgrade, rollback, redeploy
  agent_lost,
  attestation_lost,
  agent_removed,
  stop_requested,
  stop_confirmed,  ///< DELETE answered 204, report `stopped` or nothing runs
  stop_timeout,
  stop_forced,  ///< an administrator does not wait
};
BOOST_DESCRIBE_ENUM(DeploymentEvent, capacity_found, wait_over, push_accepted, push_invalid, push_refused,
                    dispatch_deadline, report_progress, report_running, report_failed, report_exited, digests_differ,
                    deploy_deadline, health_reported, workload_gone, change_requested, agent_lost, attestation_lost,
                    agent_removed, stop_requested, stop_confirmed, stop_timeout, stop_forced)

/// Who asks for it decides what is answered when the table has no row: a user gets 409, an agent is ignored.
constexpr bool is_of_agent(DeploymentEvent event) {
  return event >= DeploymentEvent::push_accepted && event <= DeploymentEvent::workload_gone;
}

/// What else belongs to a change of state, as data: it is done in the same transaction.
enum class DeploymentEffect : std::uint32_t {
  none = 0,
  take_slot = 1U << 0,    ///< agent, epoch and resources of the claim; dispatch deadline
  free_agent = 1U << 1,   ///< slot given back, agent `undeployed`, idle since now
  quarantine = 1U << 2,   ///< slot given back, agent unplaceable until it says that nothing runs
  drop_slot = 1U << 3,    ///< slot given back; somebody else writes the agent's row
  place_again = 1U << 4,  ///< then a new claim: assigned, pending or failed, as it turns out
  open_segment = 1U << 5,
  close_segment = 1U << 6,  ///< at the event's time
  agent_deployed = 1U << 7,
  agent_undeploying = 1U << 8,
  agent_deploying = 1U << 9,  ///< the same deployment is dispatched again
  reroute = 1U << 10,         ///< what traffic is sent to changes
  deploy_deadline = 1U << 11,
  stop_deadline = 1U << 12,
  begin_update = 1U << 13,
  finish_update = 1U << 14,  ///< current := target
  roll_back = 1U << 15,      ///< target := new revision with the content of the current one
  drop_secrets = 1U << 16,
};
constexpr DeploymentEffect operator|(DeploymentEffect a, DeploymentEffect b) {
  return static_cast<DeploymentEffect>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
constexpr bool has(DeploymentEffect all, DeploymentEffect one) {
  return (static_cast<std::uint32_t>(all) & static_cast<std::uint32_t>(one)) != 0;
}

/// What the table's guards look at beyond the state.
struct DeploymentFacts {
  DeploymentState state = DeploymentState::pending;
  bool may_place_again = false;    ///< not pinned, and placements are left
  bool redeploys_on_loss = false;  ///< on_agent_lost = redeploy, and the above
  bool rolling_back = false;       ///< the target is an automatic rollback
  bool reboots_left = true;        ///< fewer than three in 24 h
  bool retryable_failure = false;  ///< the agent's code is one that another agent may not have
  bool of_target = true;           ///< the report is about the target revision
};

enum class DeploymentGuard : std::uint8_t {
  none,
  may_place_again,
  redeploys_on_loss,
  retryable,  ///< retryable failure and may be placed again
  rolling_back,
  reboots_left,
  of_target,
};

/// One row of the state table; of those with a given state and event the first whose guard holds decides.
struct DeploymentRule {
  DeploymentState from;
  DeploymentEvent event;
  DeploymentGuard guard;
  DeploymentState next;
  std::optional<DeploymentState> final_state = {};  ///< what `stopping` leads to, where the rule says it
  std::optional<ErrorCode> failure = {};            ///< reason; absent: the event's own
  std::optional<QuarantineReason> quarantine = {};
  DeploymentEffect effects = DeploymentEffect::none;
};
std::span<const DeploymentRule> deployment_rules();
bool holds(DeploymentGuard guard, const DeploymentFacts& facts);

/// The rule that decides, or null: nothing changes then. Pure.
/// A rule of `stopping` whose `next` is `stopping` keeps it; confirmations lead to the row's `final_state`, which the
/// caller puts in place of `next`.
const DeploymentRule* find_rule(const DeploymentFacts& facts, DeploymentEvent event);

/// 409 `deployment_final` or `invalid_transition`, for a user's event without a rule.
Error transition_refused(DeploymentState state, DeploymentEvent event);

/// What a stop for this reason leads to (`user` and `replaced`: stopped; the others: terminated).
DeploymentState final_state_of(std::string_view reason);

}  // namespace ee::cp
