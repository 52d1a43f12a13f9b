#include "cp/service/tunnel_removal.h"

#include "cp/domain/tunnel_names.h"

namespace ee::cp {
namespace {

using cloudflare::CfResult;
using cloudflare::Failure;

CfResult<void> gone_is_done(CfResult<void> result) {
  if (!result && result.error().failure == Failure::gone) return {};
  return result;
}

CfResult<void> remove_record(const TunnelParts& parts, const TunnelSettings& settings, const TunnelResources& resources,
                             const cloudflare::CallContext& context) {
  if (resources.dns_record_id) return gone_is_done(parts.cloudflare.delete_record(*resources.dns_record_id, context));
  if (!resources.hostname) return {};
  const auto found = parts.cloudflare.find_records(*resources.hostname, context);
  if (!found) return std::unexpected(found.error());
  for (const cloudflare::DnsRecord& record : *found) {
    if (record.comment != dns_comment(settings.cluster_id, resources.agent)) continue;
    if (auto removed = gone_is_done(parts.cloudflare.delete_record(record.id, context)); !removed) return removed;
  }
  return {};
}

CfResult<void> remove_tunnel(const TunnelParts& parts, const std::string& id, const cloudflare::CallContext& context) {
  if (auto dropped = gone_is_done(parts.cloudflare.drop_connections(id, context)); !dropped) return dropped;
  return gone_is_done(parts.cloudflare.delete_tunnel(id, context));
}

}  // namespace

TunnelResources tunnel_resources_of(const AgentRow& row) {
  return {.agent = row.id,
          .tunnel_name = row.tunnel_name,
          .tunnel_id = row.tunnel_id,
          .dns_record_id = row.dns_record_id,
          .hostname = row.hostname};
}

CfResult<void> remove_tunnel_resources(const TunnelParts& parts, const TunnelResources& resources,
                                       const cloudflare::CallContext& context) {
  const TunnelSettings settings = parts.settings();
  if (auto removed = remove_record(parts, settings, resources, context); !removed) return removed;
  if (resources.tunnel_name && settings.is_protected(*resources.tunnel_name)) return {};
  if (resources.tunnel_id) return remove_tunnel(parts, *resources.tunnel_id, context);
  if (!resources.tunnel_name) return {};
  const auto found = parts.cloudflare.find_tunnels(*resources.tunnel_name, context);
  if (!found) return std::unexpected(found.error());
  for (const cloudflare::Tunnel& tunnel : *found)
    if (auto removed = remove_tunnel(parts, tunnel.id, context); !removed) return removed;
  return {};
}

}  // namespace ee::cp
