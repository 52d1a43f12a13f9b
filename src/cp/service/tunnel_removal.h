#pragma once
#include <optional>
#include <string>

#include "cp/service/tunnel_settings.h"

namespace ee::cp {

/// What may exist outside for one agent. What is absent is looked for by name.
struct TunnelResources {
  AgentId agent = {};
  std::optional<std::string> tunnel_name = {};
  std::optional<std::string> tunnel_id = {};
  std::optional<std::string> dns_record_id = {};
  std::optional<std::string> hostname = {};
};
TunnelResources tunnel_resources_of(const AgentRow& row);

/// Removes record (C1), connections (C2) and tunnel (C3), in that order; "gone" is done. A record found by name goes
/// only when its comment names this agent; protected tunnels stay. Ends at the first failure; safe to repeat.
cloudflare::CfResult<void> remove_tunnel_resources(const TunnelParts& parts, const TunnelResources& resources,
                                                   const cloudflare::CallContext& context);

}  // namespace ee::cp
