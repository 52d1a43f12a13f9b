#include "cp/service/cleanup.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "common/json.h"
#include "common/log.h"
#include "cp/service/cleanup_parts.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

constexpr Seconds kItemTime{60};

const std::vector<CleanupScope>& all_scopes() {
  static const std::vector<CleanupScope> scopes = {CleanupScope::stale_agents, CleanupScope::gcp_instances,
                                                   CleanupScope::tunnels, CleanupScope::dns};
  return scopes;
}

CleanupRunView view_of(const CleanupRow& row) {
  CleanupRunView view{.id = row.id,
                      .plan = row.plan,
                      .started_at = row.started_at,
                      .finished_at = row.finished_at,
                      .requested_by = row.requested_by,
                      .reason = row.reason};
  view.status = enum_of<CleanupStatus>(row.status).value_or(CleanupStatus::failed);
  // Written by this program: what cannot be read is shown as nothing.
  view.deleted = json::read<std::map<std::string, std::int64_t>>(row.deleted).value_or(decltype(view.deleted){});
  view.failed = json::read<std::vector<CleanupFailure>>(row.failed).value_or(decltype(view.failed){});
  view.skipped = json::read<std::vector<CleanupSkipped>>(row.skipped).value_or(decltype(view.skipped){});
  return view;
}

}  // namespace

struct Cleanup::Run {
  CleanupRow row = {};
  CleanupRequest wanted = {};
  std::string actor = {};
  std::vector<Item> items = {};
  std::mutex mutex = {};  ///< guards what follows
  std::map<std::string, std::int64_t> deleted = {};
  std::vector<CleanupFailure> failed = {};
  std::vector<CleanupSkipped> skipped = {};
  bool cancelled = false;
};

Cleanup::Cleanup(Parts parts) : parts_(std::move(parts)), started_at_(parts_.clock.now()) {}

Cleanup::~Cleanup() { stop(); }

void Cleanup::stop() {
  const std::lock_guard lock(mutex_);
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Cleanup::settle() {
  const std::lock_guard lock(mutex_);
  if (thread_.joinable()) thread_.join();
}

Result<void> Cleanup::load() {
  const auto failed = parts_.database.write<std::int64_t>(
      [&](db::Transaction& tx) { return runs_.fail_dead(tx, parts_.single_process, parts_.clock.now()); });
  if (!failed) return std::unexpected(failed.error());
  if (*failed > 0) log::warn("cleanup", "a clean-up ended with its process", {{"runs", *failed}});
  return {};
}

Result<void> Cleanup::audit(db::Transaction& tx, std::string_view action, const std::string& object, const Actor& actor,
                            const std::string& detail) const {
  const auto written = AuditLogStore().append(tx,
                                              {.actor = actor.name,
                                               .action = std::string(action),
                                               .object_type = "cleanup",
                                               .object_id = object,
                                               .request_id = actor.request_id,
                                               .client_address = actor.client_address,
                                               .detail = detail},
                                              parts_.clock.now(), parts_.random);
  if (!written) return std::unexpected(written.error());
  return {};
}

// ---- the plan -------------------------------------------------------------------------------------------------------

Result<CleanupPlanView> Cleanup::plan(const CleanupRequest& wanted, const Actor& actor,
                                      const cloudflare::CallContext& context) {
  const Plan plan = gather(wanted, context);
  CleanupPlanView view{
      .plan = plan.hash(), .skipped = plan.skipped, .errors = plan.errors, .truncated = plan.truncated};
  for (const CleanupScope scope : all_scopes())
    if (std::ranges::find(wanted.scopes, scope) != wanted.scopes.end()) view.candidates[std::string(name_of(scope))];
  for (const Item& item : plan.items) view.candidates[std::string(name_of(item.scope))].push_back(item.shown);
  const auto noted = parts_.database.run_write([&](db::Transaction& tx) {
    return audit(tx, "cleanup_planned", view.plan, actor, fmt::format(R"({{"candidates":{}}})", plan.items.size()));
  });
  if (!noted) return std::unexpected(noted.error());
  return view;
}

// ---- runs -----------------------------------------------------------------------------------------------------------

Result<CleanupRunView> Cleanup::start(const CleanupRequest& wanted, const Actor& actor,
                                      const cloudflare::CallContext& context) {
  if (parts_.restore_hold()) return fail(ErrorCode::reap_hold);
  if (parts_.plan_required && !wanted.expected_plan) return fail(ErrorCode::expected_plan_required);
  Plan plan = gather(wanted, context);
  const std::string hash = plan.hash();
  if (wanted.expected_plan && *wanted.expected_plan != hash) return fail(ErrorCode::plan_changed);
  if (plan.mass && !wanted.confirm_mass) return fail(ErrorCode::mass_orphans);
  const UtcTime now = parts_.clock.now();
  const auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
  auto run = std::make_shared<Run>();
  run->wanted = wanted;
  run->actor = actor.name;
  run->items = std::move(plan.items);
  run->skipped = std::move(plan.skipped);
  run->row = {.id = *id,
              .status = std::string(name_of(CleanupStatus::running)),
              .plan = hash,
              .deleted = "{}",
              .failed = "[]",
              .skipped = json::write(run->skipped),
              .started_at = now,
              .requested_by = actor.name,
              .reason = wanted.reason,
              .lease_expires_at = now + kLease};
  const std::lock_guard lock(mutex_);
  const auto begun = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    if (const auto dead = runs_.fail_dead(tx, false, now); !dead) return std::unexpected(dead.error());
    if (auto inserted = runs_.insert(tx, run->row); !inserted) return inserted;
    return audit(tx, "cleanup_run", *id, actor,
                 fmt::format(R"({{"plan":{},"candidates":{},"reason":{}}})", json::quote(hash), run->items.size(),
                             json::quote(wanted.reason)));
  });
  if (!begun) return std::unexpected(begun.error());
  if (thread_.joinable()) thread_.join();  // of a run that has ended
  CleanupRunView view = view_of(run->row);
  thread_ = std::jthread([this, run = std::move(run)](const std::stop_token& stop) { work(*run, stop); });
  return view;
}

void Cleanup::work(Run& run, const std::stop_token& stop) {
  // One scope after the other: a machine that lives could register again on a name that is being cleaned.
  for (const CleanupScope scope : all_scopes()) {
    std::vector<const Item*> items;
    for (const Item& item : run.items)
      if (item.scope == scope) items.push_back(&item);
    std::atomic<std::size_t> next = 0;
    const auto take = [&] {
      for (std::size_t index = next++; index < items.size(); index = next++) work_on(run, *items[index], stop);
    };
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min(kParallel, items.size()); ++i) helpers.emplace_back(take);
    take();
  }
  const std::lock_guard lock(run.mutex);
  save(run, run.cancelled        ? CleanupStatus::cancelled
            : run.failed.empty() ? CleanupStatus::done
                                 : CleanupStatus::partial);
}

void Cleanup::work_on(Run& run, const Item& item, const std::stop_token& stop) {
  {
    const std::lock_guard lock(run.mutex);
    if (run.cancelled) return;
    const auto row = parts_.database.read<std::optional<CleanupRow>>(
        [&](db::Transaction& tx) { return runs_.find(tx, run.row.id); });
    // Without an answer nothing is removed either.
    if (stop.stop_requested() || !row || !*row || (*row)->cancel_requested || (*row)->status != "running") {
      run.cancelled = true;
      return;
    }
  }
  const cloudflare::CallContext context{
      .stop = stop, .deadline = parts_.clock.steady_now() + kItemTime, .wait_for_budget = true};
  std::optional<std::string> failure;
  bool gone = true;
  if (const auto* agent = std::get_if<AgentId>(&item.what)) {
    gone = name_if_stale(*agent, run.wanted).has_value();
    if (gone) {
      const auto removed = parts_.agents.remove(AgentScope::everything(), *agent, run.wanted.include_deployed,
                                                DeleteReason::stale, {.name = run.actor});
      if (!removed && removed.error().code == ErrorCode::agent_has_deployment) gone = false;
      if (!removed && gone && removed.error().code != ErrorCode::agent_not_found)
        failure = std::string(slug(removed.error().code));
    }
  } else {
    TunnelOrphans& orphans = parts_.tunnels.orphans();
    const auto removed = std::holds_alternative<TunnelResource>(item.what)
                             ? orphans.remove(std::get<TunnelResource>(item.what), run.actor, context)
                             : orphans.remove(std::get<RecordResource>(item.what), run.actor, context);
    if (removed)
      gone = *removed;
    else
      failure = removed.error().short_text();
  }
  const std::lock_guard lock(run.mutex);
  if (failure)
    run.failed.push_back({.scope = item.scope, .id = item.shown.id, .code = *failure});
  else if (gone)
    ++run.deleted[std::string(name_of(item.scope))];
  else
    run.skipped.push_back({.scope = item.scope, .id = item.shown.id, .why = "now_in_use"});
  save(run, CleanupStatus::running);
}

/// With the run's mutex. What cannot be stored now is stored with the next item.
void Cleanup::save(Run& run, CleanupStatus status) {
  const UtcTime now = parts_.clock.now();
  run.row.status = std::string(name_of(status));
  run.row.deleted = json::write(run.deleted);
  run.row.failed = json::write(run.failed);
  run.row.skipped = json::write(run.skipped);
  const bool ended = status != CleanupStatus::running;
  run.row.finished_at = ended ? std::optional(now) : std::nullopt;
  run.row.lease_expires_at = ended ? std::nullopt : std::optional(now + kLease);
  const auto written = parts_.database.write<bool>([&](db::Transaction& tx) { return runs_.update(tx, run.row); });
  if (!written)
    log::error("cleanup", "what a clean-up did could not be stored",
               {{"id", run.row.id}, {"code", written.error().code}});
}

Result<CleanupRunPage> Cleanup::list(const PageRequest& page) const {
  const auto rows = parts_.database.read<Page<CleanupRow>>([&](db::Transaction& tx) { return runs_.list(tx, page); });
  if (!rows) return std::unexpected(rows.error());
  CleanupRunPage out{.items = {}, .next_cursor = parts_.cursors.encode("cleanup_runs", rows->next)};
  out.items.reserve(rows->items.size());
  for (const CleanupRow& row : rows->items) out.items.push_back(view_of(row));
  return out;
}

Result<CleanupRunView> Cleanup::get(const std::string& id) const {
  const auto row =
      parts_.database.read<std::optional<CleanupRow>>([&](db::Transaction& tx) { return runs_.find(tx, id); });
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::not_found);
  return view_of(**row);
}

Result<CleanupRunView> Cleanup::cancel(const std::string& id, const Actor& actor) {
  return parts_.database.write<CleanupRunView>([&](db::Transaction& tx) -> Result<CleanupRunView> {
    const auto row = runs_.find(tx, id);
    if (!row) return std::unexpected(row.error());
    if (!*row) return fail(ErrorCode::not_found);
    const auto asked = runs_.request_cancel(tx, id);
    if (!asked) return std::unexpected(asked.error());
    if (auto noted = audit(tx, "cleanup_cancelled", id, actor, "{}"); !noted) return std::unexpected(noted.error());
    return view_of(**row);
  });
}

Result<AgentCleanupView> Cleanup::agent(const AgentId& id, const AgentCleanupRequest& wanted, const Actor& actor) {
  const auto row =
      parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agent_rows_.get(tx, id); });
  if (!row) return std::unexpected(row.error());
  if (!*row || (*row)->status == AgentStatus::deleted) return fail(ErrorCode::agent_not_found);
  const AgentRow& agent = **row;
  AgentCleanupView view{.agent_id = id.str(), .steps = {}};
  if (agent.current_deployment_id)
    view.steps.push_back({.step = "workload", .target = agent.current_deployment_id->str(), .action = "stop"});
  view.steps.push_back({.step = "agent", .target = agent.vm_name, .action = "delete"});
  if (agent.tunnel_name) view.steps.push_back({.step = "tunnel", .target = *agent.tunnel_name, .action = "delete"});
  if (agent.dns_record_id && agent.hostname)
    view.steps.push_back({.step = "dns", .target = *agent.hostname, .action = "delete"});
  const auto noted = parts_.database.run_write([&](db::Transaction& tx) {
    return audit(tx, wanted.dry_run ? "cleanup_planned" : "cleanup_run", id.str(), actor,
                 R"({"reason":)" + json::quote(wanted.reason) + "}");
  });
  if (!noted) return std::unexpected(noted.error());
  if (wanted.dry_run) return view;
  const Actor worker{.name = actor.name};
  if (auto removed = parts_.agents.remove(AgentScope::everything(), id, wanted.force, DeleteReason::admin, worker);
      !removed)
    return std::unexpected(removed.error());
  return view;
}

}  // namespace ee::cp
