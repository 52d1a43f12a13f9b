#include "cp/domain/tunnel_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ee::cp {
namespace {

constexpr std::array<std::string_view, 7> kReserved = {"www", "app", "api", "admin", "console", "mail", "cp"};
constexpr std::size_t kIdTail = 12;

std::optional<AgentId> id_after(std::string_view prefix, std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  if (!is_uuid(text)) return std::nullopt;
  return AgentId(std::string(text));
}

}  // namespace

std::string tunnel_name_prefix(std::string_view cluster_id) { return fmt::format("ee-{}-", cluster_id); }
std::string tunnel_name(std::string_view cluster_id, const AgentId& agent) {
  return tunnel_name_prefix(cluster_id) + agent.str();
}
std::string control_plane_tunnel_name(std::string_view cluster_id) {
  return tunnel_name_prefix(cluster_id) + "control-plane";
}
std::optional<AgentId> agent_of_tunnel(std::string_view cluster_id, std::string_view name) {
  return id_after(tunnel_name_prefix(cluster_id), name);
}

std::string dns_comment_prefix(std::string_view cluster_id) { return fmt::format("ee c={} agent=", cluster_id); }
std::string dns_comment(std::string_view cluster_id, const AgentId& agent) {
  return dns_comment_prefix(cluster_id) + agent.str();
}
std::optional<AgentId> agent_of_dns_comment(std::string_view cluster_id, std::string_view comment) {
  return id_after(dns_comment_prefix(cluster_id), comment);
}

std::string tunnel_target(std::string_view tunnel_id) { return fmt::format("{}.cfargotunnel.com", tunnel_id); }

bool is_reserved_label(std::string_view label, std::span<const std::string> more_reserved) {
  return std::ranges::find(kReserved, label) != kReserved.end() ||
         std::ranges::find(more_reserved, label) != more_reserved.end();
}

std::vector<std::string> host_labels(std::string_view vm_name, const AgentId& agent,
                                     std::span<const std::string> more_reserved) {
  std::vector<std::string> labels;
  if (!is_reserved_label(vm_name, more_reserved)) labels.emplace_back(vm_name);
  const std::string& id = agent.str();
  const std::string fallback = "agent-" + id.substr(id.size() - std::min(kIdTail, id.size()));
  if (fallback != vm_name) labels.push_back(fallback);
  return labels;
}

std::string placeholder_token(const AgentId& agent) { return "placeholder-" + agent.str(); }

}  // namespace ee::cp
