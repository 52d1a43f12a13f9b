#include "cp/service/deployment_machine.h"

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/redact.h"
#include "cp/service/deployment_step.h"
#include "cp/store/account_store.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {

namespace {

using E = DeploymentEvent;
using F = DeploymentEffect;
using S = DeploymentState;

constexpr std::array kAgentCodes = {"image_pull_failed",   "digest_mismatch", "compose_failed", "container_exited",
                                    "health_check_failed", "disk_full",       "out_of_memory",  "internal"};
constexpr std::size_t kMaxFailureDetail = 2048;

/// A workload that failed is not placed again, but for what may lie with the agent; and then once.
bool may_pass_elsewhere(const std::optional<std::string>& failure_code) {
  return failure_code == "image_pull_failed" || failure_code == "disk_full";
}

std::string known_code(const std::optional<std::string>& code) {
  if (code && std::ranges::find(kAgentCodes, *code) != kAgentCodes.end()) return *code;
  return std::string(slug(ErrorCode::agent_error));
}

std::string cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) --most;
  text.resize(most);
  return text;
}

}  // namespace

PricedResources priced(const AgentRow& agent) {
  return {.vcpus = agent.vcpus,
          .memory_mib = agent.memory_mib,
          .gpu_count = agent.gpu_count,
          .extra_disk_gib = extra_disk_gib(agent.node_size, agent.disk_mib / 1024),
          .datacenter = agent.datacenter};
}

DeploymentFacts DeploymentMachine::facts_of(const DeploymentRow& row, const EventInputs& inputs, UtcTime now) const {
  const bool forgotten = row.running_since_at && now - *row.running_since_at >= kPlacementsForgotten;
  const std::int64_t placements = forgotten ? 0 : row.placement_attempts;
  const std::int64_t reboots =
      row.reboots_since_at && now - *row.reboots_since_at < Seconds(24 * 3600) ? row.reboots : 0;
  return {.state = row.state,
          .may_place_again = !row.is_pinned() && placements < parts_.settings().max_placements,
          .redeploys_on_loss = row.on_agent_lost == OnAgentLost::redeploy,
          .rolling_back = row.is_rolling_back(),
          .reboots_left = reboots < kMostReboots,
          .retryable_failure = placements <= 1 && may_pass_elsewhere(inputs.failure_code),
          .of_target = inputs.of_target};
}

Result<Applied> DeploymentMachine::apply(db::Transaction& tx, const DeploymentRow& before, DeploymentEvent event,
                                         const EventInputs& inputs) const {
  const UtcTime now = parts_.clock.now();
  const DeploymentRule* rule = find_rule(facts_of(before, inputs, now), event);
  if (rule == nullptr) {
    if (!is_of_agent(event)) return fail(transition_refused(before.state, event));
    parts_.counters.stale_reports.increment();
    return Applied{.row = before, .changed = false};
  }
  Step step{
      .before = before, .rule = *rule, .inputs = inputs, .now = now, .settings = parts_.settings(), .after = before};
  step.after.state = rule->next;
  if (before.state == S::stopping && is_final(rule->next)) step.after.state = before.final_state.value_or(rule->next);
  name_the_end(step);
  if (step.does(F::close_segment)) {
    const UtcTime to = inputs.charged_to.value_or(now);
    if (auto done = parts_.billing.close_segment(tx, before.id, to); !done) return std::unexpected(done.error());
    step.after.billable_to_at = to;
  }
  if (auto done = leave_agent(tx, step); !done) return std::unexpected(done.error());
  if (step.does(F::place_again))
    if (auto done = place_again(tx, step); !done) return std::unexpected(done.error());
  if (step.does(F::take_slot))
    if (auto done = take_slot(tx, step.after, *inputs.claimed, now); !done) return std::unexpected(done.error());
  if (auto done = change_revisions(tx, step); !done) return std::unexpected(done.error());
  if (step.does(F::open_segment))
    if (auto done = begin_running(tx, step); !done) return std::unexpected(done.error());
  if (auto done = set_times(tx, step); !done) return std::unexpected(done.error());
  const auto written = rows_.update(tx, before, step.after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  if (auto done = record(tx, step); !done) return std::unexpected(done.error());
  return Applied{.row = std::move(step.after), .changed = true};
}

/// Why it ends, when it does: the first reason stays.
void DeploymentMachine::name_the_end(Step& step) const {
  DeploymentRow& row = step.after;
  const bool ends = row.state == S::stopping || is_final(row.state);
  if (!ends || step.before.state == S::stopping) return;
  if (step.rule.event == E::stop_requested || step.rule.event == E::stop_forced) {
    const std::string reason = step.inputs.reason.value_or("user");
    row.final_state = final_state_of(reason);
    row.termination_reason = reason;
    if (is_final(row.state)) row.state = *row.final_state;
    return;
  }
  row.final_state = step.rule.final_state;
  std::string code(step.rule.failure ? slug(*step.rule.failure) : slug(ErrorCode::internal_error));
  if (step.rule.failure == ErrorCode::agent_error) code = known_code(step.inputs.failure_code);
  row.termination_reason = code;
  if (row.final_state != S::failed) return;
  row.failure_code = code;
  if (step.inputs.failure_detail) row.failure_detail = cut(scrub(*step.inputs.failure_detail), kMaxFailureDetail);
  if (step.inputs.log_tail) row.log_tail = step.inputs.log_tail;
}

Result<void> DeploymentMachine::leave_agent(db::Transaction& tx, Step& step) const {
  const std::optional<AgentId>& agent = step.before.agent_id;
  if (!agent || !step.before.slot_held) return {};
  const DeploymentId& id = step.before.id;
  const auto& slots = parts_.slots;
  if (step.does(F::agent_undeploying)) return slots.move(tx, *agent, id, AgentEvent::stop_requested, step.now);
  if (step.does(F::agent_deploying)) return slots.move(tx, *agent, id, AgentEvent::redispatch, step.now);
  const bool frees = step.does(F::free_agent);
  if (!frees && !step.does(F::quarantine) && !step.does(F::drop_slot)) return {};
  step.after.slot_held = false;
  if (frees) {
    if (auto done = slots.free(tx, *agent, id, step.now); !done) return done;
  } else if (step.does(F::quarantine)) {
    const AgentEvent event = step.rule.quarantine == QuarantineReason::agent_lost ? AgentEvent::agent_lost
                             : step.rule.quarantine == QuarantineReason::dispatch_refused
                                 ? AgentEvent::dispatch_refused
                                 : AgentEvent::stop_unconfirmed;
    if (auto done = slots.move(tx, *agent, id, event, step.now); !done) return done;
  }
  const bool removed = step.rule.event == E::agent_removed;
  const std::string_view reason = frees ? "deployment_final" : removed ? "agent_deleted" : "agent_quarantined";
  return slots.release(tx, id, frees, reason, step.now);
}

/// Another agent, now or later. What it was updating to is given up: it goes on with what ran.
Result<void> DeploymentMachine::place_again(db::Transaction& tx, Step& step) const {
  DeploymentRow& row = step.after;
  if (step.before.running_since_at && step.now - *step.before.running_since_at >= kPlacementsForgotten)
    row.placement_attempts = 0;
  row.running_since_at.reset();
  row.health = DeploymentHealth::unknown;
  row.phase.reset();
  row.progress.reset();
  row.workload_gone_at.reset();
  row.migrate_next_at.reset();
  if (row.target_revision != row.current_revision) {
    if (auto done = revision_rows_.set_outcome(tx, row.id, row.target_revision, RevisionOutcome::failed); !done)
      return done;
    row.target_revision = row.current_revision;
    row.rollback_revision.reset();
  }
  const auto caller = caller_of(tx, row);
  if (!caller) return std::unexpected(caller.error());
  const auto agent =
      parts_.placer.claim(tx, question_of(row), *caller, {row.node_size}, row.id, DatacenterUse(), step.now);
  if (!agent) return std::unexpected(agent.error());
  if (*agent) return take_slot(tx, row, **agent, step.now);
  const bool lost =
      step.rule.event == E::agent_lost || step.rule.event == E::attestation_lost || step.rule.event == E::agent_removed;
  if (lost && (!row.wait_ends_at || *row.wait_ends_at <= step.now)) row.wait_ends_at = step.now + kRedeployWait;
  if (row.wait_ends_at && *row.wait_ends_at > step.now) {
    row.state = S::pending;
    return {};
  }
  row.state = row.final_state.emplace(S::failed);
  row.failure_code = row.termination_reason = std::string(slug(ErrorCode::no_capacity));
  const auto dropped = revision_rows_.drop_secrets(tx, row.id);
  if (!dropped) return std::unexpected(dropped.error());
  return {};
}

Result<void> DeploymentMachine::take_slot(db::Transaction& tx, DeploymentRow& row, const AgentRow& agent,
                                          UtcTime now) const {
  const auto price = parts_.billing.hourly_price(tx, priced(agent), row.sla_class);
  if (!price) return std::unexpected(price.error());
  row.state = S::assigned;
  row.agent_id = agent.id;
  row.slot_held = true;
  row.assignment_epoch = agent.assignment_epoch;
  row.node_size = agent.node_size;
  row.vcpus = agent.vcpus;
  row.memory_mib = agent.memory_mib;
  row.gpu_count = agent.gpu_count;
  row.hourly_micros = *price;
  ++row.placement_attempts;
  row.action_attempts = 0;
  row.state_deadline_at = now + parts_.settings().dispatch_deadline;
  row.next_action_at = now;
  return {};
}

Result<void> DeploymentMachine::begin_running(db::Transaction& tx, Step& step) const {
  DeploymentRow& row = step.after;
  const auto agent = agents_.get(tx, *row.agent_id);
  if (!agent) return std::unexpected(agent.error());
  if (!*agent) return fail(ErrorCode::agent_not_found);
  const auto revision = revision_rows_.get(tx, row.id, row.current_revision);
  if (!revision) return std::unexpected(revision.error());
  if (!*revision) return fail(ErrorCode::internal_error, "a revision is missing");
  const RunningDeployment running{.deployment_id = row.id,
                                  .account_id = row.account_id,
                                  .agent_id = *row.agent_id,
                                  .agent_account_id = (*agent)->account_id,
                                  .app_id = (*revision)->app_id,
                                  .resources = priced(**agent),
                                  .sla_class = row.sla_class};
  if (auto done = parts_.billing.open_segment(tx, running, step.now); !done) return done;
  if (!row.billable_from_at) row.billable_from_at = step.now;
  row.billable_to_at.reset();
  if (!row.started_at) {
    row.started_at = step.now;
    parts_.counters.to_running_seconds.observe(static_cast<double>((step.now - row.created_at).count()) / 1e3);
  }
  row.running_since_at = step.now;
  const auto service = services_.get(tx, row.service_id);
  if (!service) return std::unexpected(service.error());
  const std::string shown = (*revision)->app_name.value_or(*service ? (*service)->name : std::string());
  return parts_.slots.move(tx, *row.agent_id, row.id, AgentEvent::report_running, step.now, shown);
}

Result<Applied> DeploymentMachine::request_stop(db::Transaction& tx, const DeploymentRow& before,
                                                const std::string& reason, const EventInputs& inputs,
                                                bool force) const {
  if (is_final(before.state) || (before.state == S::stopping && !force)) return Applied{.row = before};
  EventInputs with_reason = inputs;
  with_reason.reason = reason;
  const auto audited = AuditLogStore().append(tx,
                                              {.actor = inputs.actor,
                                               .action = "deployment_stop_requested",
                                               .object_type = "deployment",
                                               .object_id = before.id.str(),
                                               .reason_code = reason,
                                               .request_id = inputs.request_id},
                                              parts_.clock.now(), parts_.random);
  if (!audited) return std::unexpected(audited.error());
  auto stopped = apply(tx, before, force ? E::stop_forced : E::stop_requested, with_reason);
  if (!stopped || (reason != "user" && reason != "expired")) return stopped;
  // What was made to take its place elsewhere is the same workload to its owner.
  const auto moved = rows_.migrated_from(tx, before);
  if (!moved) return std::unexpected(moved.error());
  for (const DeploymentId& id : *moved) {
    const auto row = rows_.get(tx, id);
    if (!row) return std::unexpected(row.error());
    const auto done = request_stop(tx, **row, reason, inputs, force);
    if (!done) return std::unexpected(done.error());
  }
  return stopped;
}

Result<PlacementCaller> DeploymentMachine::caller_of(db::Transaction& tx, const DeploymentRow& row) const {
  PlacementCaller caller{.account = row.account_id};
  if (row.auth_method == DeployAuth::session && row.auth_context) {
    const auto context = json::read<SessionOwners>(*row.auth_context);
    if (!context) return fail(ErrorCode::internal_error, "a stored context is damaged");
    caller.github_owners = context->github_owners;
    return caller;
  }
  if (row.auth_method == DeployAuth::github_oidc && row.auth_context) {
    const auto context = json::parse(*row.auth_context);
    if (context && context->is_object())
      if (const auto* id = context->as_object().if_contains("repository_owner_id"); id != nullptr && id->is_int64())
        caller.github_owners.push_back(id->as_int64());
    return caller;
  }
  const auto identities = AccountStore().identities(tx, row.account_id);
  if (!identities) return std::unexpected(identities.error());
  for (const IdentityRow& identity : *identities) caller.github_owners.push_back(identity.github_id);
  std::ranges::sort(caller.github_owners);
  if (caller.github_owners.size() > 16) caller.github_owners.resize(16);
  return caller;
}

PlacementQuestion DeploymentMachine::question_of(const DeploymentRow& row) const {
  PlacementQuestion question{.wants = json::read<PlacementWants>(row.datacenter_policy).value_or(PlacementWants())};
  question.node_size = row.node_size;
  question.agent_name = row.agent_name;
  question.min_agent_version = parts_.settings().min_agent_version;
  return question;
}

Result<void> DeploymentMachine::note(db::Transaction& tx, const DeploymentRow& row, std::string kind,
                                     std::string detail, const EventInputs& inputs) const {
  return events_.append(tx, {.deployment_id = row.id,
                             .at = parts_.clock.now(),
                             .kind = std::move(kind),
                             .actor = inputs.actor,
                             .reason = inputs.reason,
                             .detail = std::move(detail),
                             .request_id = inputs.request_id});
}

}  // namespace ee::cp
