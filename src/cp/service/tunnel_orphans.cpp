#include "cp/service/tunnel_orphans.h"

#include <algorithm>
#include <tuple>

#include "cp/domain/tunnel_names.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

using cloudflare::CfResult;
using cloudflare::Failure;

constexpr Seconds kSweepLimit{540};

}  // namespace

Result<std::optional<AgentRow>> TunnelOrphans::agent(const AgentId& id) {
  return parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, id); });
}

/// In doubt (no creation time, a database that does not answer) it is none.
bool TunnelOrphans::is_orphan(const std::optional<AgentId>& id, std::optional<UtcTime> created_at) {
  if (!id || !created_at || parts_.clock.now() - *created_at <= kMinAge) return false;
  const auto row = agent(*id);
  return row && (!*row || (*row)->status == AgentStatus::deleted);
}

CfResult<ResourceList> TunnelOrphans::list(const cloudflare::CallContext& context) {
  const TunnelSettings settings = parts_.settings();
  // All tunnels of the account, foreign ones too: an admin wants to see what the limit is used for.
  const auto tunnels = parts_.cloudflare.list_tunnels("", context);
  if (!tunnels) return std::unexpected(tunnels.error());
  const auto records = parts_.cloudflare.list_records(dns_comment_prefix(settings.cluster_id), context);
  if (!records) return std::unexpected(records.error());
  ResourceList list;
  for (const cloudflare::Tunnel& tunnel : *tunnels) {
    TunnelResource resource{.tunnel = tunnel};
    resource.agent_id = agent_of_tunnel(settings.cluster_id, tunnel.name);
    resource.is_protected = settings.is_protected(tunnel.name);
    if (tunnel.name == control_plane_tunnel_name(settings.cluster_id)) resource.owner = ResourceOwner::control_plane;
    if (resource.agent_id) {
      resource.owner = ResourceOwner::agent;
      if (const auto row = agent(*resource.agent_id); row && *row) {
        resource.vm_name = (*row)->vm_name;
        resource.agent_status = (*row)->status;
      }
      resource.orphaned = !resource.is_protected && is_orphan(resource.agent_id, tunnel.created_at);
    }
    list.tunnels.push_back(std::move(resource));
  }
  for (const cloudflare::DnsRecord& record : *records) {
    RecordResource resource{.record = record};
    resource.agent_id = agent_of_dns_comment(settings.cluster_id, record.comment);
    if (!resource.agent_id) continue;
    if (const auto row = agent(*resource.agent_id); row && *row) resource.agent_status = (*row)->status;
    resource.orphaned = is_orphan(resource.agent_id, record.created_at);
    list.records.push_back(std::move(resource));
  }
  return list;
}

CfResult<void> TunnelOrphans::remove_tunnel(const TunnelResource& resource, const std::string& actor,
                                            const cloudflare::CallContext& context) {
  const auto done = [](const CfResult<void>& result) { return result || result.error().failure == Failure::gone; };
  if (auto dropped = parts_.cloudflare.drop_connections(resource.tunnel.id, context); !done(dropped)) return dropped;
  if (auto deleted = parts_.cloudflare.delete_tunnel(resource.tunnel.id, context); !done(deleted)) return deleted;
  note_removed(actor, "tunnel", resource.tunnel.id);
  return {};
}

CfResult<void> TunnelOrphans::remove_record(const RecordResource& resource, const std::string& actor,
                                            const cloudflare::CallContext& context) {
  auto deleted = parts_.cloudflare.delete_record(resource.record.id, context);
  if (!deleted && deleted.error().failure != Failure::gone) return deleted;
  note_removed(actor, "dns_record", resource.record.id);
  return {};
}

void TunnelOrphans::note_removed(const std::string& actor, const std::string& type, const std::string& id) {
  parts_.count("remove_orphan", "ok");
  // It is gone whether or not this can be written.
  std::ignore = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto written = AuditLogStore().append(
        tx, {.actor = actor, .action = "tunnel_orphan_deleted", .object_type = type, .object_id = id},
        parts_.clock.now(), parts_.random);
    if (!written) return std::unexpected(written.error());
    return {};
  });
}

CfResult<bool> TunnelOrphans::remove(const TunnelResource& resource, const std::string& actor,
                                     const cloudflare::CallContext& context) {
  if (resource.is_protected || !is_orphan(resource.agent_id, resource.tunnel.created_at)) return false;
  if (auto removed = remove_tunnel(resource, actor, context); !removed) return std::unexpected(removed.error());
  return true;
}

CfResult<bool> TunnelOrphans::remove(const RecordResource& resource, const std::string& actor,
                                     const cloudflare::CallContext& context) {
  if (!is_orphan(resource.agent_id, resource.record.created_at)) return false;
  if (auto removed = remove_record(resource, actor, context); !removed) return std::unexpected(removed.error());
  return true;
}

Result<JobSummary> TunnelOrphans::sweep(const std::stop_token& stop) {
  JobSummary summary;
  const TunnelSettings settings = parts_.settings();
  if (!settings.configured || settings.orphan_sweep == OrphanSweep::off) return summary;
  if (settings.restore_hold) {
    summary.notes.emplace_back("restore_hold");
    return summary;
  }
  const std::string actor = "system:cloudflare_orphan_sweep";
  const cloudflare::CallContext context{
      .stop = stop, .deadline = parts_.clock.steady_now() + kSweepLimit, .wait_for_budget = true};
  const auto resources = list(context);
  if (!resources) return fail(ErrorCode::cloudflare_error, resources.error().short_text());

  const std::lock_guard lock(mutex_);
  std::set<std::string> seen_now;
  std::int64_t tunnels = 0, records = 0, deleted = 0, failed = 0;
  const auto confirmed = [&](const std::string& id) {
    seen_now.insert(id);
    return seen_.contains(id) && settings.orphan_sweep == OrphanSweep::delete_ && !stop.stop_requested();
  };
  const auto tally = [&](const std::string& id, const CfResult<void>& result) {
    ++(result ? deleted : failed);
    if (result) seen_now.erase(id);
  };
  for (const RecordResource& resource : resources->records) {
    if (!resource.orphaned) continue;
    ++records;
    // Looked at again right before: it may have come alive since the listing.
    if (confirmed(resource.record.id) && is_orphan(resource.agent_id, resource.record.created_at))
      tally(resource.record.id, remove_record(resource, actor, context));
  }
  for (const TunnelResource& resource : resources->tunnels) {
    if (!resource.orphaned) continue;
    ++tunnels;
    if (confirmed(resource.tunnel.id) && is_orphan(resource.agent_id, resource.tunnel.created_at))
      tally(resource.tunnel.id, remove_tunnel(resource, actor, context));
  }
  seen_ = std::move(seen_now);
  summary.count("tunnels", tunnels);
  summary.count("records", records);
  summary.count("deleted", deleted);
  summary.count("failed", failed);
  summary.stopped = stop.stop_requested();
  return summary;
}

CfResult<TunnelOrphans::Deleted> TunnelOrphans::remove(const std::vector<std::string>& ids, const std::string& actor,
                                                       const cloudflare::CallContext& context) {
  const auto resources = list(context);
  if (!resources) return std::unexpected(resources.error());
  Deleted out;
  const auto tally = [&](const std::string& id, const CfResult<void>& result) {
    if (result) {
      out.deleted.push_back(id);
    } else {
      out.skipped.emplace_back(id, result.error().short_text());
    }
  };
  for (const std::string& id : ids) {
    const auto record = std::ranges::find_if(
        resources->records, [&](const RecordResource& item) { return item.record.id == id && item.orphaned; });
    const auto tunnel = std::ranges::find_if(
        resources->tunnels, [&](const TunnelResource& item) { return item.tunnel.id == id && item.orphaned; });
    if (record != resources->records.end()) {
      tally(id, remove_record(*record, actor, context));
    } else if (tunnel != resources->tunnels.end()) {
      tally(id, remove_tunnel(*tunnel, actor, context));
    } else {
      out.skipped.emplace_back(id, "not_orphaned");
    }
  }
  return out;
}

}  // namespace ee::cp
