#include "cp/service/heartbeat.h"

#include <tuple>
#include <utility>

#include "cp/domain/agent_changes.h"
#include "cp/domain/agent_deleted.h"

namespace ee::cp {
namespace {

bool is_quarantined_for_attestation(const DirectoryEntry& entry) {
  return entry.attestation_state == AttestationState::failed ||
         entry.quarantine_reason == QuarantineReason::attestation_failed;
}

/// Whether the agent holds a later assignment or revision of the deployment than it should. Within one registration
/// both only grow, so what is wanted was forgotten: this database is an older one, put back.
bool is_ahead(const std::optional<agent_api::WorkloadReport>& held, const agent_api::Desired& wanted) {
  if (!held || wanted.action != agent_api::DesiredAction::run || held->deployment_id != wanted.deployment_id)
    return false;
  return std::pair(held->assignment_epoch, held->revision) >
         std::pair(wanted.assignment_epoch.value_or(0), wanted.revision.value_or(0));
}

}  // namespace

bool wants_evidence(const DirectoryEntry& entry) {
  return entry.attest_requested_at.has_value() && entry.attestation_state != AttestationState::failed;
}

bool HeartbeatService::is_quiet(const AgentId& agent, const agent_api::HeartbeatRequest& request) const {
  const auto entry = directory_.find(key_of(agent));
  return entry != nullptr && entry->status == AgentStatus::undeployed && !entry->current_deployment_id &&
         entry->health_status == HealthStatus::healthy && !request.workload && is_good(request.health, entry->status);
}

Result<DirectoryEntryPtr> HeartbeatService::admit(const AgentId& agent, const agent_api::HeartbeatRequest& request) {
  auto entry = directory_.find_or_read(agent);
  if (!entry) return entry;
  if (*entry == nullptr) return fail(ErrorCode::agent_not_found);
  if (!(*entry)->is_live()) return fail(agent_deleted_error((*entry)->delete_reason));
  if (is_quarantined_for_attestation(**entry)) return fail(ErrorCode::agent_attestation_failed);
  if ((*entry)->boot_id != key_of(std::string_view(request.boot_id)))
    return fail(ErrorCode::boot_id_mismatch, "another instance of this agent has registered");
  return entry;
}

Result<agent_api::HeartbeatAnswer> HeartbeatService::heartbeat(const HeartbeatCaller& caller,
                                                               const agent_api::HeartbeatRequest& request,
                                                               UtcTime now) {
  const auto observe = [this](HeartbeatResult result) {
    if (sources_.observe) sources_.observe(result);
  };
  auto entry = admit(caller.agent, request);
  if (!entry) {
    observe(error_info(entry.error().code).http_status >= 500 ? HeartbeatResult::failed : HeartbeatResult::refused);
    return std::unexpected(entry.error());
  }
  const HeartbeatSettings settings = sources_.settings();
  const Beat beat{.registration_id = (*entry)->registration_id,
                  .registered_at = (*entry)->registered_at,
                  .status = (*entry)->health_status,
                  .seq = request.seq,
                  .good = is_good(request.health, (*entry)->status),
                  .link = request.tunnel.state,
                  .workload = &request.workload,
                  .stats = request.stats};
  const MergeResult merged = live_.merge((*entry)->id, beat, settings.health, now);
  if (merged.fresh) *entry = write_through(caller.agent, *entry, request, merged, now);
  auto out = answer(caller, **entry, request, now);
  if (is_ahead(request.workload, out.desired)) {
    // It would never take an older document within its registration. Another replica may only be late: the agent asks
    // again after 5 s before it registers.
    observe(HeartbeatResult::refused);
    return fail(ErrorCode::invalid_credential, "the workload is newer than this control plane knows");
  }
  observe(merged.fresh ? HeartbeatResult::ok : HeartbeatResult::duplicate);
  return out;
}

DirectoryEntryPtr HeartbeatService::write_through(const AgentId& agent, DirectoryEntryPtr entry,
                                                  const agent_api::HeartbeatRequest& request, const MergeResult& merged,
                                                  UtcTime now) {
  const bool health_changed = merged.health.status != entry->health_status;
  bool report = merged.workload_changed;
  if (!request.workload) {
    if (entry->status == AgentStatus::quarantined) report = true;  // as often as it says so, until it is free
    // It should run something, and may have said so by /status only: a reboot shows in this silence.
    if (entry->current_deployment_id) report = true;
    if (entry->status == AgentStatus::undeployed && !entry->current_deployment_id) {
      // Nothing runs where nothing should: not worth a transaction, after a restart for the whole fleet.
      if (report) live_.workload_applied(entry->id, request.workload);
      report = false;
    }
  }
  if (!health_changed && !report) return entry;
  // Errors are dropped on purpose: the directory still has the old value, so the next beat comes here again.
  if (health_changed) std::ignore = write_health(agent, *entry, request, merged.health.status, now);
  if (report && write_report(agent, request.workload, now)) live_.workload_applied(entry->id, request.workload);
  const auto fresh = directory_.find(entry->id);
  return fresh != nullptr ? fresh : entry;
}

Result<void> HeartbeatService::write_health(const AgentId& agent, const DirectoryEntry& entry,
                                            const agent_api::HeartbeatRequest& request, HealthStatus to, UtcTime now) {
  const std::optional<std::string> reason =
      to == HealthStatus::unhealthy ? std::optional(health_reason(request.health)) : std::nullopt;
  const auto row = database_.write<std::optional<DirectoryRow>>([&](db::Transaction& tx) {
    auto changed = agents_.set_health(tx, agent, entry.health_status, to, reason, now);
    // Somebody else (the sweep, a registration) has changed it: take what is there, the next beat judges by it.
    if (changed && !*changed) return agents_.directory_row(tx, agent);
    return changed;
  });
  if (!row) return std::unexpected(row.error());
  if (*row) directory_.put(**row);
  return {};
}

Result<void> HeartbeatService::write_report(const AgentId& agent,
                                            const std::optional<agent_api::WorkloadReport>& workload, UtcTime now) {
  const auto row =
      database_.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
        auto before = agents_.get(tx, agent);
        if (!before || !*before) return before;
        if (!workload && next_state(facts_of(**before), AgentEvent::clean_heartbeat)) {
          AgentRow after = **before;
          if (const auto moved = change_state(after, AgentEvent::clean_heartbeat, facts_of(after), now); !moved)
            return std::unexpected(moved.error());
          const auto written = agents_.update(tx, **before, after, now);
          if (!written) return std::unexpected(written.error());
          if (!*written) return fail(ErrorCode::concurrent_update);
          return std::optional(std::move(after));
        }
        if (const auto applied = deployments_.apply_agent_report(tx, **before, workload, now); !applied)
          return std::unexpected(applied.error());
        return agents_.get(tx, agent);
      });
  if (!row) return std::unexpected(row.error());
  if (*row) directory_.put(**row);
  return {};
}

agent_api::HeartbeatAnswer HeartbeatService::answer(const HeartbeatCaller& caller, const DirectoryEntry& entry,
                                                    const agent_api::HeartbeatRequest& request, UtcTime now) {
  const HeartbeatSettings settings = sources_.settings();
  const Seconds interval =
      heartbeat_interval({.configured = settings.interval,
                          .tunnel_connected = request.tunnel.state == agent_api::TunnelLink::connected,
                          .has_direct_url = entry.has_direct_url,
                          .raised = sources_.interval_raise ? sources_.interval_raise() : 0});
  const bool reattest = wants_evidence(entry);
  live_.note_answer(entry.id, interval, reattest, now);
  return {.answered_at = now,
          .heartbeat_interval_seconds = interval.count(),
          .registration_id = uuid_text(entry.registration_id),
          .desired = deployments_.desired_for(entry, request.workload),
          .attestation_due_at = entry.attestation_due_at,
          .reattest_now = reattest,
          .rotate_credential = now - caller.credential_created_at >= settings.credential_rotate,
          .signing_keys_version = sources_.signing_keys_version(),
          .draining = entry.draining,
          .tunnel = {.state = entry.tunnel_state, .version = entry.tunnel_version}};
}

}  // namespace ee::cp
