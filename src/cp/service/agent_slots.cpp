#include "cp/service/agent_slots.h"

#include "common/log.h"
#include "cp/domain/agent_changes.h"
#include "cp/domain/placement.h"

namespace ee::cp {
namespace {

/// Whether the agent could be placed on at once: what a reservation is for (05 section 6.6).
bool is_ready(const AgentRow& agent) {
  return agent.status == AgentStatus::undeployed && agent.attestation_state == AttestationState::verified &&
         agent.health_status == HealthStatus::healthy && !agent.draining && agent.hostname &&
         agent.placement_scope == PlacementScope::public_;
}

}  // namespace

Result<void> AgentSlots::write(db::Transaction& tx, const AgentRow& before, AgentRow& after, UtcTime now) const {
  const auto reserved = reservations_.reserved_for(tx, after.id);
  if (!reserved) return std::unexpected(reserved.error());
  after.placement_key = placement_key(after, *reserved);
  const auto written = agents_.update(tx, before, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  return {};
}

Result<std::optional<AgentRow>> AgentSlots::claim(db::Transaction& tx, const AgentId& agent,
                                                  const DeploymentId& deployment, UtcTime now) const {
  const auto before = agents_.get(tx, agent);
  if (!before) return std::unexpected(before.error());
  if (!*before) return std::optional<AgentRow>{};
  AgentRow after = **before;
  if (!change_state(after, AgentEvent::claim, facts_of(**before), now, {.deployment = deployment}))
    return std::optional<AgentRow>{};
  // What is reserved on it is used up by the claim: if somebody was faster, nothing of it is.
  after.placement_key = placement_key(after, std::nullopt);
  const auto written = agents_.update(tx, **before, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return std::optional<AgentRow>{};
  if (const auto consumed = reservations_.consume(tx, agent, deployment, now); !consumed)
    return std::unexpected(consumed.error());
  return std::optional(std::move(after));
}

Error AgentSlots::conflict(const AgentId& agent, const DeploymentId& deployment, std::string_view what) const {
  counters_.slot_conflicts.increment();
  log::error("deployments", "an agent is not as its deployment says",
             {{"agent_id", agent.str()}, {"deployment_id", deployment.str()}, {"what", what}});
  return Error{.code = ErrorCode::internal_error, .detail = "an agent is not as its deployment says"};
}

Result<AgentRow> AgentSlots::held(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment) const {
  auto row = agents_.get(tx, agent);
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(conflict(agent, deployment, "there is no such agent"));
  if ((*row)->current_deployment_id != deployment)
    return fail(conflict(agent, deployment, "it has another deployment"));
  return std::move(**row);
}

Result<void> AgentSlots::move(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment,
                              AgentEvent event, UtcTime now, std::optional<std::string> deployed_app) const {
  const auto before = held(tx, agent, deployment);
  if (!before) return std::unexpected(before.error());
  AgentRow after = *before;
  const auto moved = change_state(after, event, facts_of(*before), now, {.deployed_app = std::move(deployed_app)});
  if (!moved) return fail(conflict(agent, deployment, moved.error().detail));
  return write(tx, *before, after, now);
}

Result<void> AgentSlots::free(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment,
                              UtcTime now) const {
  const auto before = held(tx, agent, deployment);
  if (!before) return std::unexpected(before.error());
  AgentRow after = *before;
  const AgentEvent event =
      before->status == AgentStatus::deploying ? AgentEvent::push_refused : AgentEvent::workload_stopped;
  const auto freed = change_state(after, event, facts_of(*before), now);
  if (!freed) return fail(conflict(agent, deployment, freed.error().detail));
  return write(tx, *before, after, now);
}

Result<void> AgentSlots::release(db::Transaction& tx, const DeploymentId& deployment, bool agent_ready,
                                 std::string_view reason, UtcTime now) const {
  const auto held = reservations_.consumed_by(tx, deployment);
  if (!held) return std::unexpected(held.error());
  if (!*held) return {};
  const auto status = agent_ready ? ReservationStatus::released : ReservationStatus::expired;
  if (auto done = reservations_.end(tx, (*held)->id, status, reason, now); !done) return done;
  if (!agent_ready || !(*held)->target_id) return {};
  const auto agent = agents_.get(tx, (*held)->agent_id);
  if (!agent) return std::unexpected(agent.error());
  if (!*agent || !is_ready(**agent)) return {};  // what fills targets finds it again when it is
  const auto goes_on = reservations_.target_goes_on(tx, *(*held)->target_id, now);
  if (!goes_on) return std::unexpected(goes_on.error());
  if (!*goes_on) return {};
  const auto id = new_uuid_v7(now, random_);
  if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  ReservationRow again{.id = *id,
                       .agent_id = (*held)->agent_id,
                       .target_id = (*held)->target_id,
                       .account_id = (*held)->account_id,
                       .datacenter = (*held)->datacenter,
                       .node_size = (*held)->node_size,
                       .created_at = now,
                       .updated_at = now};
  if (auto done = reservations_.insert(tx, again); !done) return done;
  return touch(tx, again.agent_id, now);
}

Result<void> AgentSlots::touch(db::Transaction& tx, const AgentId& agent, UtcTime now) const {
  const auto before = agents_.get(tx, agent);
  if (!before) return std::unexpected(before.error());
  if (!*before) return {};
  AgentRow after = **before;
  return write(tx, **before, after, now);
}

}  // namespace ee::cp
