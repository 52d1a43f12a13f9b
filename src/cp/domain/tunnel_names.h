#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/id.h"

namespace ee::cp {

/// `ee-<cluster>-<agent id>`: deterministic, so that a lost answer is found again by name.
std::string tunnel_name(std::string_view cluster_id, const AgentId& agent);
/// `ee-<cluster>-`: what a listing asks for. Names of a cluster whose id begins alike match it too: use
/// agent_of_tunnel.
std::string tunnel_name_prefix(std::string_view cluster_id);
/// `ee-<cluster>-control-plane`.
std::string control_plane_tunnel_name(std::string_view cluster_id);
/// The agent of a tunnel of this cluster's agents; nothing for any other name.
std::optional<AgentId> agent_of_tunnel(std::string_view cluster_id, std::string_view name);

/// `ee c=<cluster> agent=<id>`, at most 100 characters: marks our DNS records.
std::string dns_comment(std::string_view cluster_id, const AgentId& agent);
/// `ee c=<cluster> agent=`.
std::string dns_comment_prefix(std::string_view cluster_id);
/// The agent of a record of this cluster; nothing for any other comment.
std::optional<AgentId> agent_of_dns_comment(std::string_view cluster_id, std::string_view comment);

/// `<tunnel id>.cfargotunnel.com`: where a host name points.
std::string tunnel_target(std::string_view tunnel_id);

/// The labels to try for an agent's host, in order: its `vm_name` unless that is reserved, then `agent-<last 12 hex of
/// the id>` (the first hex of a UUIDv7 are time and collide).
std::vector<std::string> host_labels(std::string_view vm_name, const AgentId& agent,
                                     std::span<const std::string> more_reserved);
/// Whether a label is never given to an agent: www, app, api, admin, console, mail, cp, and `agents.reserved_labels`.
bool is_reserved_label(std::string_view label, std::span<const std::string> more_reserved);

/// The domain of placeholder hosts, where no Cloudflare is configured (dev): never resolves (RFC 6761).
constexpr std::string_view kPlaceholderDomain = "pending.invalid";
/// `placeholder-<agent id>`: told instead of a tunnel token; cloudflared is not started.
std::string placeholder_token(const AgentId& agent);

}  // namespace ee::cp
