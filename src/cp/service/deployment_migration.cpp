#include "cp/service/deployment_migration.h"

#include <algorithm>

#include "common/json.h"
#include "cp/store/assignment_store.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kBatch = 50;
constexpr const char* kActor = "system:drain";

}  // namespace

Result<std::int64_t> DeploymentMigration::run(const std::stop_token& stop) {
  const auto due = parts_.database.read<std::vector<DeploymentRow>>(
      [&](db::Transaction& tx) { return rows_.migrating(tx, parts_.clock.now(), kBatch); });
  if (!due) return std::unexpected(due.error());
  std::int64_t made = 0;
  for (const DeploymentRow& row : *due) {
    if (stop.stop_requested()) break;
    const auto moved =
        parts_.database.write<std::optional<AgentRow>>([&](db::Transaction& tx) { return step(tx, row.id); });
    if (!moved && moved.error().code == ErrorCode::concurrent_update) continue;  // the next pass sees it as it is then
    if (!moved) return std::unexpected(moved.error());
    if (!*moved) continue;
    parts_.directory.put(**moved);
    ++made;
  }
  return made;
}

/// The agent that was claimed, if one was.
Result<std::optional<AgentRow>> DeploymentMigration::step(db::Transaction& tx, const DeploymentId& id) {
  const UtcTime now = parts_.clock.now();
  const auto row = rows_.get(tx, id);
  if (!row) return std::unexpected(row.error());
  if (!*row || !(*row)->migrate_next_at) return std::optional<AgentRow>();
  DeploymentRow after = **row;
  const auto agent = (*row)->agent_id ? agents_.get(tx, *(*row)->agent_id) : Result<std::optional<AgentRow>>();
  if (!agent) return std::unexpected(agent.error());
  std::optional<AgentRow> claimed;
  if (!*agent || !(*agent)->draining || !is_to_run((*row)->state)) {
    after.migrate_next_at.reset();  // drained no more, or over
  } else {
    after.migrate_next_at = now + kTryAgain;
    const auto made = rows_.replacements(tx, id);
    if (!made) return std::unexpected(made.error());
    if (made->live == 0 && (*row)->state == DeploymentState::running) {
      auto moved = move(tx, **row, now);
      if (!moved) return moved;
      claimed = std::move(*moved);
      const std::int64_t doublings = std::min<std::int64_t>(made->count, 6);
      if (claimed) after.migrate_next_at = now + std::min(kTryAgain * (1 << doublings), kLongestWait);
    }
  }
  const auto written = rows_.update(tx, **row, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  return claimed;
}

/// The account's limit does not count here: the second deployment is the platform's wish, and the first one ends. Both
/// are paid for while both run, so the funds must be there.
Result<std::optional<AgentRow>> DeploymentMigration::move(db::Transaction& tx, const DeploymentRow& row, UtcTime now) {
  const auto funds = parts_.billing.admit(tx, row.account_id, row.hourly_micros.value_or(UsdMicros{}), 1);
  if (!funds && error_info(funds.error().code).http_status != 402) return std::unexpected(funds.error());
  const auto none = [&](std::string_view why) -> Result<std::optional<AgentRow>> {
    if (auto waits = wait(tx, row, why); !waits) return std::unexpected(waits.error());
    return std::optional<AgentRow>();
  };
  if (!funds) return none(slug(funds.error().code));
  const auto caller = parts_.machine.caller_of(tx, row);
  if (!caller) return std::unexpected(caller.error());
  const auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  auto agent = parts_.placer.claim(tx, parts_.machine.question_of(row), *caller, {row.node_size}, DeploymentId(*id),
                                   DatacenterUse(), now);
  if (!agent) return agent;
  if (!*agent) return none(slug(ErrorCode::no_capacity));
  DeploymentRow made{.id = DeploymentId(*id),
                     .group_id = row.group_id,
                     .account_id = row.account_id,
                     .service_id = row.service_id,
                     .auth_method = row.auth_method,
                     .auth_context = row.auth_context,
                     .datacenter_policy = row.datacenter_policy,
                     .sla_class = row.sla_class,
                     .on_agent_lost = row.on_agent_lost,
                     .replaces_deployment_id = row.id,
                     .expires_at = row.expires_at,
                     .created_at = now,
                     .updated_at = now};
  if (auto done = parts_.machine.take_slot(tx, made, **agent, now); !done) return std::unexpected(done.error());
  if (auto done = rows_.insert(tx, made); !done) return std::unexpected(done.error());
  if (auto done = parts_.revisions.copy_to(tx, row.id, row.current_revision, made.id, kActor, now); !done)
    return std::unexpected(done.error());
  if (auto done = events_.append(tx, {.deployment_id = made.id,
                                      .at = now,
                                      .kind = "state",
                                      .to_state = made.state,
                                      .actor = kActor,
                                      .detail = AssignmentStore::event_detail((*agent)->id)});
      !done)
    return std::unexpected(done.error());
  const std::string detail = "{\"deployment_id\":" + json::quote(made.id.str()) + "}";
  if (auto done = parts_.machine.note(tx, row, "migration_started", detail, {.actor = kActor}); !done)
    return std::unexpected(done.error());
  const auto audited = AuditLogStore().append(tx,
                                              {.actor = kActor,
                                               .action = "deploy_accepted",
                                               .object_type = "deployment",
                                               .object_id = made.id.str(),
                                               .detail = "{\"replaces\":" + json::quote(row.id.str()) + "}"},
                                              now, parts_.random);
  if (!audited) return std::unexpected(audited.error());
  return agent;
}

/// Told once of each drain.
Result<void> DeploymentMigration::wait(db::Transaction& tx, const DeploymentRow& row, std::string_view why) {
  const auto told = events_.has_since(tx, row.id, "migration_waiting", "migration_asked");
  if (!told) return std::unexpected(told.error());
  if (*told) return {};
  return parts_.machine.note(tx, row, "migration_waiting", "{\"reason\":" + json::quote(why) + "}", {.actor = kActor});
}

}  // namespace ee::cp
