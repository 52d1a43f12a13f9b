#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto.h"
#include "cp/service/cleanup.h"
#include "cp/service/cleanup_parts.h"

namespace ee::cp {
namespace {

constexpr std::size_t kFew = 5;  // fewer orphans than this are never a mistake of the whole

}  // namespace

std::string Cleanup::Plan::hash() const {
  std::vector<std::string> ids;
  ids.reserve(items.size());
  for (const Item& item : items) ids.push_back(item.shown.id);
  std::ranges::sort(ids);
  return to_hex(sha256(bytes_of(fmt::format("{}", fmt::join(ids, "\n")))));
}

/// Silent for long, by memory and by the table: another replica may hear it.
std::optional<std::string> Cleanup::name_if_stale(const AgentId& id, const CleanupRequest& wanted) {
  const Seconds after = wanted.stale_hours ? Seconds(*wanted.stale_hours * 3600) : parts_.stale_after();
  const UtcTime before = parts_.clock.now() - after;
  struct Known {
    std::optional<AgentRow> row = {};
    std::optional<UtcTime> last = {};
  };
  const auto known = parts_.database.read<Known>([&](db::Transaction& tx) -> Result<Known> {
    Known out;
    auto row = agent_rows_.get(tx, id);
    if (!row) return std::unexpected(row.error());
    out.row = std::move(*row);
    const auto last = parts_.live.last_heartbeat_at(tx, id);
    if (!last) return std::unexpected(last.error());
    out.last = *last;
    return out;
  });
  if (!known || !known->row) return std::nullopt;
  const AgentRow& row = *known->row;
  if (row.status == AgentStatus::deleting || row.status == AgentStatus::deleted) return std::nullopt;
  if (row.current_deployment_id && !wanted.include_deployed) return std::nullopt;
  if (std::max(known->last.value_or(UtcTime::min()), row.registered_at) >= before) return std::nullopt;
  return row.vm_name;
}

void Cleanup::gather_agents(Plan& plan, const CleanupRequest& wanted) {
  if (parts_.clock.now() - started_at_ < kStartGrace) {
    plan.errors.push_back({.scope = CleanupScope::stale_agents, .code = "just_started"});
    return;
  }
  const Seconds after = wanted.stale_hours ? Seconds(*wanted.stale_hours * 3600) : parts_.stale_after();
  const UtcTime before = parts_.clock.now() - after;
  auto suspects = parts_.directory.select([&](const DirectoryEntry& entry) {
    if (!entry.is_live() || (entry.current_deployment_id && !wanted.include_deployed)) return false;
    const auto seen = parts_.live.seen(entry.id);
    return std::max(seen ? seen->last_heartbeat_at : UtcTime::min(), entry.registered_at) < before;
  });
  std::ranges::sort(suspects, {}, [](const DirectoryEntryPtr& entry) { return entry->id; });
  for (const DirectoryEntryPtr& entry : suspects) {
    const AgentId id(uuid_text(entry->id));
    const auto name = name_if_stale(id, wanted);
    if (!name) continue;
    plan.add(
        {.scope = CleanupScope::stale_agents, .shown = {.id = id.str(), .name = *name, .why = "silent"}, .what = id},
        wanted.max_deletes);
  }
}

void Cleanup::gather_resources(Plan& plan, const CleanupRequest& wanted, const cloudflare::CallContext& context) {
  const auto wants = [&](CleanupScope scope) { return std::ranges::find(wanted.scopes, scope) != wanted.scopes.end(); };
  if (!wants(CleanupScope::tunnels) && !wants(CleanupScope::dns)) return;
  const auto left_out = [&](const std::string& code) {
    for (const CleanupScope scope : {CleanupScope::tunnels, CleanupScope::dns})
      if (wants(scope)) plan.errors.push_back({.scope = scope, .code = code});
  };
  if (!parts_.tunnels.settings().configured) return left_out("cloudflare_not_configured");
  auto list = parts_.tunnels.orphans().list(context);
  if (!list) return left_out("cloudflare_error");
  std::size_t ours = 0, orphans = 0;
  for (const TunnelResource& tunnel : list->tunnels) {
    if (tunnel.owner != ResourceOwner::agent) continue;
    ++ours;
    if (tunnel.orphaned) ++orphans;
    if (tunnel.is_protected && !tunnel.agent_status && wants(CleanupScope::tunnels))
      plan.skipped.push_back({.scope = CleanupScope::tunnels, .id = tunnel.tunnel.id, .why = "protected"});
    if (tunnel.orphaned && wants(CleanupScope::tunnels))
      plan.add({.scope = CleanupScope::tunnels,
                .shown = {.id = tunnel.tunnel.id, .name = tunnel.tunnel.name, .why = "no_agent"},
                .what = tunnel},
               wanted.max_deletes);
  }
  for (const RecordResource& record : list->records)
    if (record.orphaned && wants(CleanupScope::dns))
      plan.add({.scope = CleanupScope::dns,
                .shown = {.id = record.record.id, .name = record.record.name, .why = "no_agent"},
                .what = record},
               wanted.max_deletes);
  plan.mass = orphans > kFew && orphans * 2 > ours;
}

Cleanup::Plan Cleanup::gather(const CleanupRequest& wanted, const cloudflare::CallContext& context) {
  Plan plan;
  const auto wants = [&](CleanupScope scope) { return std::ranges::find(wanted.scopes, scope) != wanted.scopes.end(); };
  if (wants(CleanupScope::stale_agents)) gather_agents(plan, wanted);
  // This release makes no instances, so it knows of none.
  if (wants(CleanupScope::gcp_instances))
    plan.errors.push_back({.scope = CleanupScope::gcp_instances, .code = "gcp_not_configured"});
  gather_resources(plan, wanted, context);
  return plan;
}

}  // namespace ee::cp
