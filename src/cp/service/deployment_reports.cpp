#include "cp/service/deployment_reports.h"

#include <array>
#include <boost/json.hpp>
#include <map>

#include <algorithm>

#include "common/json.h"
#include "cp/domain/agent_changes.h"
#include "cp/store/service_store.h"

namespace ee::cp {

namespace {

using E = DeploymentEvent;
using S = DeploymentState;
using Phase = agent_api::WorkloadPhase;

agent_api::Desired nothing_desired(std::int64_t grace = 0) {
  return {.action = agent_api::DesiredAction::none, .grace_seconds = grace};
}

/// Phases in the order in which they follow each other; an end may come at any time.
int rank(std::string_view phase) {
  constexpr std::array kOrder = {"accepted", "pulling", "starting", "checking", "running"};
  const auto* found = std::ranges::find(kOrder, phase);
  return found == kOrder.end() ? -1 : static_cast<int>(found - kOrder.begin());
}

bool goes_back(const DeploymentRow& deployment, const agent_api::WorkloadReport& report) {
  const int before = deployment.phase ? rank(*deployment.phase) : -1;
  const int after = rank(name_of(report.phase));
  const bool running = deployment.state == S::running;
  return after >= 0 && (after < before || (running && report.phase != Phase::running));
}

bool is_progress(Phase phase) {
  return phase == Phase::accepted || phase == Phase::pulling || phase == Phase::starting || phase == Phase::checking;
}

DeploymentHealth health_of(const DeploymentRow& deployment, const agent_api::WorkloadReport& report) {
  const auto told = report.health ? enum_of<DeploymentHealth>(name_of(*report.health)) : std::nullopt;
  return told.value_or(deployment.health);
}

/// The same as last time: nothing is written.
bool is_news(const DeploymentRow& deployment, const agent_api::WorkloadReport& report) {
  const auto progress = report.progress ? std::optional(json::write(*report.progress)) : std::nullopt;
  return deployment.phase != std::string(name_of(report.phase)) || deployment.progress != progress ||
         health_of(deployment, report) != deployment.health || deployment.workload_gone_at.has_value();
}

std::string digest_of(const std::string& pinned) {
  const std::size_t at = pinned.rfind('@');
  return at == std::string::npos ? std::string() : pinned.substr(at + 1);
}

}  // namespace

struct DeploymentReports::Heard {
  std::optional<agent_api::WorkloadReport> workload = {};
  std::optional<std::string> log_tail = {};
  bool digests_differ = false;
  bool strict = false;  ///< `/status` and `/deployed` are told what is wrong; a heartbeat is not
};

Result<std::optional<DeploymentRow>> DeploymentReports::held_by(db::Transaction& tx, const AgentRow& agent) const {
  return rows_.holder_of(tx, agent.id);
}

Result<void> DeploymentReports::free_agent(db::Transaction& tx, const AgentRow& agent, UtcTime now) {
  const auto read = agents_.get(tx, agent.id);
  if (!read) return std::unexpected(read.error());
  if (!*read) return {};
  AgentRow after = **read;
  const AgentEvent event =
      after.status == AgentStatus::quarantined ? AgentEvent::clean_heartbeat : AgentEvent::workload_stopped;
  if (!change_state(after, event, facts_of(**read), now)) return {};
  const auto written = agents_.update(tx, **read, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  return {};
}

Result<void> DeploymentReports::apply_agent_report(db::Transaction& tx, const AgentRow& agent,
                                                   const std::optional<agent_api::WorkloadReport>& workload,
                                                   UtcTime now) {
  return hear(tx, agent, Heard{.workload = workload}, now);
}

Result<void> DeploymentReports::hear(db::Transaction& tx, const AgentRow& agent, const Heard& heard, UtcTime now) {
  const auto held = held_by(tx, agent);
  if (!held) return std::unexpected(held.error());
  if (!heard.workload) return hear_nothing(tx, agent, *held, now);
  const agent_api::WorkloadReport& report = *heard.workload;
  const bool own =
      *held && (*held)->id.str() == report.deployment_id && (*held)->assignment_epoch == report.assignment_epoch;
  if (!own) {
    parts_.counters.stale_reports.increment();
    if (heard.strict) return fail(ErrorCode::stale_assignment);
    return {};
  }
  return hear_own(tx, **held, heard, now);
}

Result<void> DeploymentReports::hear_nothing(db::Transaction& tx, const AgentRow& agent,
                                             const std::optional<DeploymentRow>& deployment, UtcTime now) {
  if (!deployment) {
    const bool waits = agent.status == AgentStatus::undeploying || agent.status == AgentStatus::quarantined;
    return waits ? free_agent(tx, agent, now) : Result<void>{};
  }
  DeploymentRow after = *deployment;
  switch (deployment->state) {
    case S::stopping: {
      const auto done = parts_.machine.apply(tx, *deployment, E::stop_confirmed, {.actor = "agent:" + agent.id.str()});
      if (!done) return std::unexpected(done.error());
      return {};
    }
    case S::assigned: after.next_action_at = now; break;  // it is there and holds nothing: push again
    case S::deploying:
    case S::running:
    case S::updating:
      if (after.workload_gone_at) return {};
      after.workload_gone_at = now;
      after.next_action_at = now + DeploymentMachine::kGone;
      break;
    default: return {};
  }
  const auto written = rows_.update(tx, *deployment, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  if (parts_.wake) parts_.wake();
  return {};
}

Result<void> DeploymentReports::hear_own(db::Transaction& tx, const DeploymentRow& deployment, const Heard& heard,
                                         UtcTime now) {
  const agent_api::WorkloadReport& report = *heard.workload;
  EventInputs inputs{.actor = "agent:" + deployment.agent_id->str(), .log_tail = heard.log_tail};
  inputs.report = report;
  if (report.failure) {
    inputs.failure_code = report.failure->code;
    inputs.failure_detail = report.failure->detail;
  }
  const auto apply = [&](const DeploymentRow& row, E event) -> Result<Applied> {
    auto done = parts_.machine.apply(tx, row, event, inputs);
    if (done && done->changed && parts_.wake) parts_.wake();
    return done;
  };
  const auto only = [&](E event) -> Result<void> {
    const auto done = apply(deployment, event);
    if (!done) return std::unexpected(done.error());
    return {};
  };
  if (deployment.state == S::stopping) {
    if (report.phase == Phase::stopped) return only(E::stop_confirmed);
    return {};  // it still runs: the reconciler asks again by itself
  }
  inputs.of_target = report.revision == deployment.target_revision;
  if (report.revision > deployment.target_revision || (!inputs.of_target && deployment.state != S::updating)) {
    parts_.counters.stale_reports.increment();
    if (heard.strict) return fail(ErrorCode::stale_assignment);
    return {};
  }
  if (!inputs.of_target) {
    // It still runs the old revision: nothing new but how that is, unless it has not heard of the target after a while.
    if (report.revision == deployment.current_revision && report.phase == Phase::running &&
        health_of(deployment, report) != deployment.health)
      return only(E::health_reported);
    if (now - deployment.updated_at < Seconds(30)) return {};
    DeploymentRow after = deployment;
    after.next_action_at = now;
    const auto written = rows_.update(tx, deployment, after, now);
    if (!written) return std::unexpected(written.error());
    return {};
  }
  if (heard.digests_differ) return only(E::digests_differ);
  // After a report that nothing runs phases begin anew. A start in its grace ends it; what ran and does not run yet is
  // left to it.
  const bool began_anew = deployment.workload_gone_at.has_value();
  const bool ran = deployment.state == S::running || deployment.state == S::updating;
  if (began_anew && ran && is_progress(report.phase)) return {};
  if (!began_anew && goes_back(deployment, report)) {
    if (heard.strict) return fail(ErrorCode::invalid_phase);
    return {};
  }
  if (!is_news(deployment, report)) return {};
  switch (report.phase) {
    case Phase::accepted:
    case Phase::pulling:
    case Phase::starting:
    case Phase::checking: return only(E::report_progress);
    case Phase::running: return only(deployment.state == S::running ? E::health_reported : E::report_running);
    case Phase::failed: return only(E::report_failed);
    case Phase::exited: return only(E::report_exited);
    case Phase::stopping:
    case Phase::stopped: break;  // it stops by itself: the next report says that nothing runs
  }
  return {};
}

Result<void> DeploymentReports::lose(db::Transaction& tx, const AgentRow& agent, DeploymentEvent event,
                                     UtcTime charged_to) {
  const auto held = held_by(tx, agent);
  if (!held) return std::unexpected(held.error());
  if (!*held) return {};
  const auto done = parts_.machine.apply(tx, **held, event, {.charged_to = charged_to});
  if (!done) return std::unexpected(done.error());
  if (parts_.wake) parts_.wake();
  return {};
}

Result<void> DeploymentReports::agent_attestation_lost(db::Transaction& tx, const AgentRow& agent, UtcTime now) {
  if (auto lost = lose(tx, agent, E::attestation_lost, now); !lost) return lost;
  // Whatever state the deployment was in: readers of routes must see the agent's row change.
  return ServiceStore().raise_route_epoch(tx);
}

Result<void> DeploymentReports::agent_removed(db::Transaction& tx, const AgentRow& agent, UtcTime now) {
  const auto last = parts_.live.last_heartbeat_at(tx, agent.id);
  if (!last) return std::unexpected(last.error());
  return lose(tx, agent, E::agent_removed, std::min(last->value_or(now), now));
}

Result<bool> DeploymentReports::request_stop(db::Transaction& tx, const AgentRow& agent, bool by_admin, UtcTime) {
  const auto held = held_by(tx, agent);
  if (!held) return std::unexpected(held.error());
  if (!*held || (*held)->state == S::stopping) return false;
  const auto done = parts_.machine.request_stop(tx, **held, by_admin ? "admin" : "agent_owner", {});
  if (!done) return std::unexpected(done.error());
  if (parts_.wake) parts_.wake();
  return done->changed;
}

Result<bool> DeploymentReports::request_migration(db::Transaction& tx, const AgentRow& agent, UtcTime now) {
  const auto held = held_by(tx, agent);
  if (!held) return std::unexpected(held.error());
  if (!*held || !is_to_run((*held)->state) || (*held)->is_pinned() || (*held)->migrate_next_at) return false;
  DeploymentRow after = **held;
  after.migrate_next_at = now;
  const auto written = rows_.update(tx, **held, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  if (auto noted = parts_.machine.note(tx, after, "migration_asked", "{}", {.actor = "system:drain"}); !noted)
    return std::unexpected(noted.error());
  return true;
}

Result<std::optional<AccountId>> DeploymentReports::account_of_deployment(db::Transaction& tx, const AgentRow& agent) {
  const auto held = held_by(tx, agent);
  if (!held) return std::unexpected(held.error());
  return *held ? std::optional((*held)->account_id) : std::nullopt;
}

Result<std::optional<AccountId>> DeploymentReports::reserved_for(db::Transaction& tx, const AgentRow& agent) {
  return ReservationStore().reserved_for(tx, agent.id);
}

// ---- what agents are told -------------------------------------------------------------------------------------------

agent_api::Desired DeploymentReports::desired_for(const DirectoryEntry& agent,
                                                  const std::optional<agent_api::WorkloadReport>& reported) const {
  if (agent.current_deployment_id &&
      (agent.status == AgentStatus::deploying || agent.status == AgentStatus::deployed)) {
    {
      const std::shared_lock lock(mutex_);
      const auto found = known_.find(agent.id);
      if (found != known_.end() && found->second.row_version == agent.row_version) return found->second.desired;
    }
    auto read = read_desired(agent);
    if (!read) return {.action = agent_api::DesiredAction::keep, .grace_seconds = 0};
    const std::unique_lock lock(mutex_);
    known_[agent.id] = {.row_version = agent.row_version, .desired = *read};
    return std::move(*read);
  }
  {
    const std::shared_lock lock(mutex_);
    if (!reported && known_.find(agent.id) == known_.end()) return nothing_desired();
  }
  {
    const std::unique_lock lock(mutex_);
    known_.erase(agent.id);
  }
  if (!reported) return nothing_desired();
  const auto known = parts_.database.read<std::optional<DeploymentRow>>(
      [&](db::Transaction& tx) { return rows_.get(tx, DeploymentId(reported->deployment_id)); });
  if (!known) return {.action = agent_api::DesiredAction::keep, .grace_seconds = 0};
  // Of a deployment that this database does not know nobody can say that it may go: it gets time.
  if (!*known) return nothing_desired(kUnknownGrace.count());
  // One that was replaced goes on until it is in nobody's routes.
  const bool leaves_routes = (*known)->state == S::stopping && (*known)->termination_reason == "replaced" &&
                             (*known)->next_action_at && *(*known)->next_action_at > parts_.clock.now();
  if (leaves_routes && (*known)->agent_id && key_of(*(*known)->agent_id) == agent.id)
    return {.action = agent_api::DesiredAction::keep, .grace_seconds = 0};
  return nothing_desired();
}

Result<agent_api::Desired> DeploymentReports::read_desired(const DirectoryEntry& agent) const {
  const DeploymentId id(uuid_text(*agent.current_deployment_id));
  const auto row =
      parts_.database.read<std::optional<DeploymentRow>>([&](db::Transaction& tx) { return rows_.get(tx, id); });
  if (!row) return std::unexpected(row.error());
  if (!*row || !(*row)->slot_held || !is_to_run((*row)->state) || !(*row)->agent_id ||
      key_of(*(*row)->agent_id) != agent.id)
    return nothing_desired();
  return agent_api::Desired{.action = agent_api::DesiredAction::run,
                            .deployment_id = (*row)->id.str(),
                            .assignment_epoch = (*row)->assignment_epoch,
                            .revision = (*row)->target_revision,
                            .grace_seconds = 0};
}

Result<DeploymentReports::Pulled> DeploymentReports::pull(const AgentId& agent, std::optional<std::int64_t> epoch,
                                                          std::optional<std::int64_t> revision) {
  return parts_.database.read<Pulled>([&](db::Transaction& tx) -> Result<Pulled> {
    const auto row = agents_.get(tx, agent);
    if (!row) return std::unexpected(row.error());
    if (!*row) return fail(ErrorCode::agent_not_found);
    const auto held = held_by(tx, **row);
    if (!held) return std::unexpected(held.error());
    if (!*held || !is_to_run((*held)->state)) return Pulled{};
    if (epoch == (*held)->assignment_epoch && revision == (*held)->target_revision)
      return Pulled{.document = {}, .not_modified = true};
    auto document = parts_.documents.build(tx, **held, **row);
    if (!document) return std::unexpected(document.error());
    return Pulled{.document = std::move(*document), .not_modified = false};
  });
}

// ---- reports with more in them --------------------------------------------------------------------------------------

Result<AgentRow> DeploymentReports::status(const AgentId& agent,
                                           const std::optional<agent_api::WorkloadReport>& workload,
                                           const std::optional<std::string>& log_tail) {
  return parts_.database.write<AgentRow>([&](db::Transaction& tx) -> Result<AgentRow> {
    const auto row = agents_.get(tx, agent);
    if (!row) return std::unexpected(row.error());
    if (!*row) return fail(ErrorCode::agent_not_found);
    const Heard heard{.workload = workload, .log_tail = log_tail, .digests_differ = false, .strict = true};
    if (auto done = hear(tx, **row, heard, parts_.clock.now()); !done) return std::unexpected(done.error());
    const auto after = agents_.get(tx, agent);
    if (!after) return std::unexpected(after.error());
    return **after;
  });
}

Result<AgentRow> DeploymentReports::deployed(const AgentId& agent, const agent_api::DeployedRequest& request) {
  bool differ = false;
  auto row = parts_.database.write<AgentRow>([&](db::Transaction& tx) -> Result<AgentRow> {
    const auto before = agents_.get(tx, agent);
    if (!before) return std::unexpected(before.error());
    if (!*before) return fail(ErrorCode::agent_not_found);
    if (request.workload.phase != Phase::running) return fail(ErrorCode::invalid_phase);
    const auto revision = revisions_.get(tx, DeploymentId(request.workload.deployment_id), request.workload.revision);
    if (!revision) return std::unexpected(revision.error());
    if (!*revision) return fail(ErrorCode::stale_assignment);
    std::map<std::string, std::string> told;
    for (const agent_api::RunningService& service : request.services) told[service.name] = service.digest;
    const auto images = json::parse((*revision)->images);
    if (!images || !images->is_object()) return fail(ErrorCode::internal_error, "stored images are damaged");
    differ = told.size() != images->as_object().size();
    for (const auto& [service, pinned] : images->as_object()) {
      const auto found = told.find(std::string(service));
      differ = differ || found == told.end() || found->second != digest_of(std::string(pinned.as_string()));
    }
    const Heard heard{.workload = request.workload, .log_tail = {}, .digests_differ = differ, .strict = true};
    if (auto done = hear(tx, **before, heard, parts_.clock.now()); !done) return std::unexpected(done.error());
    const auto after = agents_.get(tx, agent);
    if (!after) return std::unexpected(after.error());
    return **after;
  });
  if (row && differ) return fail(ErrorCode::digest_mismatch);  // after the COMMIT: the deployment has failed
  return row;
}

}  // namespace ee::cp
