// The job `placement_check`: finds rows that contradict each other and mends them.
#include <algorithm>

#include "cp/domain/agent_changes.h"
#include "cp/domain/placement.h"
#include "cp/service/deployment_jobs.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kPage = 500;

}  // namespace

Result<void> DeploymentJobs::audit_repair(db::Transaction& tx, const std::string& what, const std::string& object_type,
                                          const std::string& id) const {
  parts_.counters.placement_repairs.increment();
  const auto audited = AuditLogStore().append(tx,
                                              {.actor = "system:placement_check",
                                               .action = "placement_repaired",
                                               .object_type = object_type,
                                               .object_id = id,
                                               .reason_code = what},
                                              parts_.clock.now(), parts_.random);
  if (!audited) return std::unexpected(audited.error());
  return {};
}

/// Agents that believe in a deployment which is not theirs: unplaceable until they say that nothing runs.
Result<std::int64_t> DeploymentJobs::mend_agents() {
  const auto found = parts_.database.read<std::vector<AgentId>>([&](db::Transaction& tx) {
    return tx.query<AgentId>(
        "SELECT id FROM agents WHERE current_deployment_id IS NOT NULL AND status IN ('deploying','deployed')"
        " AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.id=agents.current_deployment_id AND d.slot_held=1"
        " AND d.agent_id=agents.id) LIMIT :limit",
        {{"limit", kPage}});
  });
  if (!found) return std::unexpected(found.error());
  for (const AgentId& id : *found) {
    const auto done = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
      const auto before = agents_.get(tx, id);
      if (!before) return std::unexpected(before.error());
      if (!*before || !(*before)->current_deployment_id) return false;
      const auto holder = rows_.holder_of(tx, id);
      if (!holder) return std::unexpected(holder.error());
      if (*holder && (*holder)->id == *(*before)->current_deployment_id) return false;
      AgentRow after = **before;
      const UtcTime now = parts_.clock.now();
      if (!change_state(after, AgentEvent::agent_lost, facts_of(**before), now)) return false;
      const auto written = agents_.update(tx, **before, after, now);
      if (!written) return std::unexpected(written.error());
      if (auto audited = audit_repair(tx, "agent_of_ended_deployment", "agent", id.str()); !audited)
        return std::unexpected(audited.error());
      return *written;
    });
    if (!done) return std::unexpected(done.error());
    published(id);
  }
  return static_cast<std::int64_t>(found->size());
}

Result<std::int64_t> DeploymentJobs::mend_slots() {
  return parts_.database.write<std::int64_t>([&](db::Transaction& tx) -> Result<std::int64_t> {
    const auto found = tx.query<DeploymentId>(
        "SELECT id FROM deployments WHERE slot_held=1 AND state IN ('pending','stopped','failed','terminated')"
        " LIMIT :limit",
        {{"limit", kPage}});
    if (!found) return std::unexpected(found.error());
    for (const DeploymentId& id : *found) {
      const auto done =
          tx.execute("UPDATE deployments SET slot_held=0, row_version=row_version+1 WHERE id=:id", {{"id", id}});
      if (!done) return done;
      if (auto audited = audit_repair(tx, "slot_of_ended_deployment", "deployment", id.str()); !audited)
        return std::unexpected(audited.error());
    }
    return static_cast<std::int64_t>(found->size());
  });
}

Result<std::int64_t> DeploymentJobs::mend_keys(const std::stop_token& stop) {
  std::int64_t mended = 0;
  std::optional<AgentId> after;
  while (!stop.stop_requested()) {
    std::vector<AgentId> changed;
    std::optional<AgentId> last;
    const auto more = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
      changed.clear();  // it may be run again
      const auto rows = agents_.list(tx, {}, after, kPage);
      if (!rows) return std::unexpected(rows.error());
      if (!rows->empty()) last = rows->back().id;
      for (const AgentRow& row : *rows) {
        const auto reserved = ReservationStore().reserved_for(tx, row.id);
        if (!reserved) return std::unexpected(reserved.error());
        AgentRow right = row;
        right.placement_key = placement_key(row, *reserved);
        if (right.placement_key == row.placement_key) continue;
        const auto written = agents_.update(tx, row, right, parts_.clock.now());
        if (!written) return std::unexpected(written.error());
        if (auto audited = audit_repair(tx, "placement_key", "agent", row.id.str()); !audited)
          return std::unexpected(audited.error());
        changed.push_back(row.id);
      }
      return static_cast<std::int64_t>(rows->size()) == kPage;
    });
    if (!more) return std::unexpected(more.error());
    if (last) after = last;
    for (const AgentId& id : changed) published(id);
    mended += static_cast<std::int64_t>(changed.size());
    if (!*more) break;
  }
  return mended;
}

Result<std::int64_t> DeploymentJobs::mend_segments() {
  return parts_.database.write<std::int64_t>([&](db::Transaction& tx) -> Result<std::int64_t> {
    const auto found = tx.query<DeploymentId>(
        "SELECT s.deployment_id FROM deployment_segments s JOIN deployments d ON d.id=s.deployment_id"
        " WHERE s.to_at IS NULL AND d.state NOT IN ('running','updating') LIMIT :limit",
        {{"limit", kPage}});
    if (!found) return std::unexpected(found.error());
    for (const DeploymentId& id : *found) {
      if (auto done = parts_.billing.close_segment(tx, id, parts_.clock.now()); !done)
        return std::unexpected(done.error());
      if (auto audited = audit_repair(tx, "segment_of_idle_deployment", "deployment", id.str()); !audited)
        return std::unexpected(audited.error());
    }
    return static_cast<std::int64_t>(found->size());
  });
}

/// Deployments whose agent is not theirs, or not as they left it: nobody knows what runs there.
Result<std::int64_t> DeploymentJobs::mend_holders() {
  const auto found = parts_.database.read<std::vector<DeploymentId>>([&](db::Transaction& tx) {
    return tx.query<DeploymentId>(
        "SELECT d.id FROM deployments d WHERE d.slot_held=1 AND d.ended_at IS NULL AND d.state<>'pending'"
        " AND NOT EXISTS (SELECT 1 FROM agents a WHERE a.id=d.agent_id AND a.current_deployment_id=d.id"
        " AND a.status=CASE WHEN d.state IN ('assigned','deploying') THEN 'deploying'"
        " WHEN d.state='stopping' THEN 'undeploying' ELSE 'deployed' END) LIMIT :limit",
        {{"limit", kPage}});
  });
  if (!found) return std::unexpected(found.error());
  std::int64_t mended = 0;
  for (const DeploymentId& id : *found) {
    std::optional<AgentId> agent;
    const auto done = parts_.database.write<bool>([&](db::Transaction& tx) { return mend_holder(tx, id, agent); });
    if (!done) return std::unexpected(done.error());
    published(agent);
    if (*done) ++mended;
  }
  if (mended > 0 && parts_.wake) parts_.wake();
  return mended;
}

bool DeploymentJobs::agrees(const DeploymentRow& row, const AgentRow& agent) {
  const AgentStatus wanted = row.state == DeploymentState::stopping ? AgentStatus::undeploying
                             : row.state == DeploymentState::assigned || row.state == DeploymentState::deploying
                                 ? AgentStatus::deploying
                                 : AgentStatus::deployed;
  return agent.current_deployment_id == row.id && agent.status == wanted;
}

Result<bool> DeploymentJobs::mend_holder(db::Transaction& tx, const DeploymentId& id, std::optional<AgentId>& agent) {
  const UtcTime now = parts_.clock.now();
  const auto row = rows_.get(tx, id);
  if (!row) return std::unexpected(row.error());
  if (!*row || !(*row)->slot_held || !holds_slot((*row)->state)) return false;
  agent = (*row)->agent_id;
  const auto before = agents_.get(tx, *agent);
  if (!before) return std::unexpected(before.error());
  if (*before && agrees(**row, **before)) return false;
  if (*before && (*before)->current_deployment_id == id) {
    AgentRow after = **before;
    after.current_deployment_id.reset();
    after.deployed_app.reset();
    if (after.status != AgentStatus::deleting && after.status != AgentStatus::deleted &&
        after.status != AgentStatus::quarantined) {
      after.status = AgentStatus::quarantined;  // until it says that nothing runs
      after.quarantine_reason = QuarantineReason::stop_unconfirmed;
    }
    const auto written = agents_.update(tx, **before, after, now);
    if (!written) return std::unexpected(written.error());
    if (!*written) return fail(ErrorCode::concurrent_update);
  }
  const auto last = parts_.live.last_heartbeat_at(tx, *agent);
  if (!last) return std::unexpected(last.error());
  const auto ended =
      parts_.machine.apply(tx, **row, DeploymentEvent::agent_removed,
                           {.actor = "system:placement_check", .charged_to = std::min(last->value_or(now), now)});
  if (!ended) return std::unexpected(ended.error());
  if (auto audited = audit_repair(tx, "deployment_without_its_agent", "deployment", id.str()); !audited)
    return std::unexpected(audited.error());
  return true;
}

Result<JobSummary> DeploymentJobs::placement_check(const std::stop_token& stop) {
  JobSummary summary;
  const auto slots = mend_slots();
  if (!slots) return std::unexpected(slots.error());
  const auto agents = mend_agents();
  if (!agents) return std::unexpected(agents.error());
  const auto holders = mend_holders();
  if (!holders) return std::unexpected(holders.error());
  const auto keys = mend_keys(stop);
  if (!keys) return std::unexpected(keys.error());
  const auto segments = mend_segments();
  if (!segments) return std::unexpected(segments.error());
  summary.count("slots", *slots);
  summary.count("agents", *agents);
  summary.count("holders", *holders);
  summary.count("keys", *keys);
  summary.count("segments", *segments);
  if (summary.did_work()) summary.notes.emplace_back("placement_repaired");
  return summary;
}

}  // namespace ee::cp
