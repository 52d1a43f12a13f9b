// What a change of a deployment's state does to its revisions, its times and its history.
#include "common/json.h"
#include "cp/service/deployment_step.h"
#include "cp/store/assignment_store.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {

namespace {

using E = DeploymentEvent;
using F = DeploymentEffect;
using S = DeploymentState;

struct TerminationDetail {
  std::optional<std::string> agent_id;
  std::string state;
};
BOOST_DESCRIBE_STRUCT(TerminationDetail, (), (agent_id, state))

}  // namespace

Result<void> DeploymentMachine::change_revisions(db::Transaction& tx, Step& step) const {
  DeploymentRow& row = step.after;
  const auto outcome = [&](std::int64_t revision, RevisionOutcome value) {
    return revision_rows_.set_outcome(tx, row.id, revision, value);
  };
  if (step.does(F::finish_update)) {
    if (row.target_revision != row.current_revision) {
      const bool rolled_back = row.is_rolling_back();
      const auto old = rolled_back ? RevisionOutcome::rolled_back : RevisionOutcome::superseded;
      if (auto done = outcome(row.current_revision, old); !done) return done;
      row.current_revision = row.target_revision;
      row.rollback_revision.reset();
    }
    if (auto done = outcome(row.current_revision, RevisionOutcome::active); !done) return done;
    const auto dropped = revision_rows_.drop_old(tx, row.id, row.current_revision, row.target_revision);
    if (!dropped) return std::unexpected(dropped.error());
  }
  if (step.does(F::begin_update)) {
    row.target_revision = step.inputs.target_revision.value_or(row.target_revision);
    return parts_.slots.touch(tx, *row.agent_id, step.now);
  }
  if (step.does(F::roll_back)) {
    if (auto done = outcome(row.target_revision, RevisionOutcome::failed); !done) return done;
    const auto made = parts_.revisions.copy(tx, row.id, row.current_revision, "system:rollback", step.now);
    if (!made) return std::unexpected(made.error());
    row.target_revision = *made;
    row.rollback_revision = *made;
    step.kind = "upgrade_failed";
    return parts_.slots.touch(tx, *row.agent_id, step.now);
  }
  if ((row.state == S::stopping || is_final(row.state)) && row.target_revision != row.current_revision &&
      step.before.state != S::stopping)
    return outcome(row.target_revision, RevisionOutcome::failed);
  return {};
}

/// When something must be done next. Only a final deployment waits for nothing.
Result<void> DeploymentMachine::set_times(db::Transaction& tx, Step& step) const {
  DeploymentRow& row = step.after;
  const UtcTime now = step.now;
  if (row.state != step.before.state || step.does(F::roll_back)) row.action_attempts = 0;
  // What the agent before said of it is not what the next one says.
  if (step.inputs.report && !step.does(F::place_again)) {
    const agent_api::WorkloadReport& report = *step.inputs.report;
    if (step.inputs.of_target) {
      row.phase = std::string(name_of(report.phase));
      row.progress = report.progress ? std::optional(json::write(*report.progress)) : std::nullopt;
    }
    if (report.health) {
      const auto health = enum_of<DeploymentHealth>(name_of(*report.health)).value_or(DeploymentHealth::unknown);
      if (health != row.health) row.health_changed_at = now;
      row.health = health;
    }
    row.workload_gone_at.reset();
  }
  if (step.rule.event == E::workload_gone) {
    const bool counting = row.reboots_since_at && now - *row.reboots_since_at < Seconds(24 * 3600);
    row.reboots = counting ? row.reboots + 1 : 1;
    if (!counting) row.reboots_since_at = now;
    row.workload_gone_at.reset();
    row.running_since_at.reset();
  }
  if (step.does(F::deploy_deadline)) {
    const auto seconds = revision_rows_.deploy_timeout_seconds(tx, row.id, row.target_revision);
    if (!seconds) return std::unexpected(seconds.error());
    row.state_deadline_at = now + Seconds(seconds->value_or(900));
  }
  if (step.does(F::stop_deadline)) row.state_deadline_at = now + step.settings.stop_timeout;
  if (step.rule.event == E::workload_gone || step.does(F::begin_update) || step.does(F::roll_back)) {
    row.phase.reset();  // what is sent now begins from its first phase
    row.progress.reset();
  }
  switch (row.state) {
    case S::pending: row.next_action_at = row.state_deadline_at = row.wait_ends_at; break;
    case S::assigned:
    case S::stopping: {
      const bool stays = step.before.state == row.state && !step.does(F::place_again);
      const bool replaced = row.state == S::stopping && row.termination_reason == "replaced";
      row.next_action_at = stays ? step.before.next_action_at : replaced ? now + kUnrouted : now;
      break;
    }
    case S::deploying:
    case S::updating: {
      const bool dispatch =
          step.rule.event == E::workload_gone || step.does(F::begin_update) || step.does(F::roll_back);
      if (step.rule.event == E::health_reported) break;  // of the old revision: what is due stays due
      row.next_action_at = dispatch ? std::optional(now) : row.state_deadline_at;
      break;
    }
    case S::running: {
      const auto changed = rows_.has_changed_document(tx, row.id);
      if (!changed) return std::unexpected(changed.error());
      row.state_deadline_at.reset();
      row.next_action_at = *changed ? now : now + Seconds(24 * 3600);
      break;
    }
    case S::stopped:
    case S::failed:
    case S::terminated:
      row.ended_at = now;
      row.migrate_next_at.reset();
      row.next_action_at.reset();
      row.state_deadline_at.reset();
      break;
  }
  row.lease_owner.reset();
  row.lease_expires_at.reset();
  return {};
}

Result<void> DeploymentMachine::record(db::Transaction& tx, const Step& step) const {
  const DeploymentRow& row = step.after;
  if (step.does(F::drop_secrets) && is_final(row.state)) {
    const auto dropped = revision_rows_.drop_secrets(tx, row.id);
    if (!dropped) return std::unexpected(dropped.error());
  }
  if (step.does(F::reroute))
    if (auto done = services_.raise_route_epoch(tx); !done) return done;
  if (step.rule.event == E::report_running || step.rule.event == E::health_reported)
    if (row.health != DeploymentHealth::unhealthy)
      if (auto done = services_.note_healthy(tx, row.service_id, step.now); !done) return done;
  const bool moved = row.state != step.before.state || row.agent_id != step.before.agent_id || step.kind != "state";
  DeploymentEventRow event{.deployment_id = row.id,
                           .at = step.now,
                           .kind = step.kind,
                           .from_state = step.before.state,
                           .to_state = row.state,
                           .actor = step.inputs.actor,
                           .reason = row.termination_reason,
                           .request_id = step.inputs.request_id};
  if (!event.reason && step.rule.failure) event.reason = std::string(slug(*step.rule.failure));
  if (row.state == S::assigned && moved && row.agent_id) event.detail = AssignmentStore::event_detail(*row.agent_id);
  if (!moved && step.rule.event == E::report_progress) {
    const auto last = events_.last_progress_at(tx, row.id);
    if (!last) return std::unexpected(last.error());
    if (*last && step.now - **last < Seconds(1)) return {};
    event.kind = "progress";
    event.detail =
        "{\"phase\":" + json::quote(row.phase.value_or("")) + ",\"progress\":" + row.progress.value_or("null") + "}";
  } else if (!moved && step.rule.event == E::health_reported) {
    event.kind = "health";
    event.detail = "{\"health\":" + json::quote(name_of(row.health)) + "}";
  } else if (!moved) {
    return {};
  }
  if (auto done = events_.append(tx, std::move(event)); !done) return done;
  if (!is_final(row.state)) return {};
  parts_.counters.terminations.with({row.termination_reason.value_or("other")}).increment();
  const TerminationDetail detail{.agent_id = row.agent_id ? std::optional(row.agent_id->str()) : std::nullopt,
                                 .state = std::string(name_of(row.state))};
  const auto audited = AuditLogStore().append(tx,
                                              {.actor = step.inputs.actor,
                                               .action = "deployment_terminated",
                                               .object_type = "deployment",
                                               .object_id = row.id.str(),
                                               .reason_code = row.termination_reason,
                                               .request_id = step.inputs.request_id,
                                               .detail = json::write(detail)},
                                              step.now, parts_.random);
  if (!audited) return std::unexpected(audited.error());
  return {};
}

}  // namespace ee::cp
