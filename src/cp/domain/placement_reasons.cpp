#include "cp/domain/placement_reasons.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace ee::cp {
namespace {

using R = PlacementReason;

bool contains(const std::vector<std::string>& list, std::string_view value) {
  return std::ranges::find(list, value) != list.end();
}

std::string_view cloud_of(std::string_view datacenter) { return datacenter.substr(0, datacenter.find(':')); }

std::optional<std::array<std::int64_t, 3>> version_of(std::string_view text) {
  std::array<std::int64_t, 3> parts{};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto [next, error] = std::from_chars(at, end, parts[i]);
    if (error != std::errc()) return std::nullopt;
    at = next;
    if (i == 2) break;
    if (at == end || *at != '.') return std::nullopt;
    ++at;
  }
  return parts;
}

void check_state(const PlacementCandidate& agent, std::vector<R>& out) {
  if (agent.status != AgentStatus::undeployed || agent.current_deployment_id)
    out.push_back(R::agent_status_not_deployable);
  if (agent.attestation_state != AttestationState::verified) out.push_back(R::agent_attestation_invalid);
  if (agent.health_status != HealthStatus::healthy) out.push_back(R::agent_unhealthy);
  if (agent.draining) out.push_back(R::agent_draining);
  if (!agent.hostname) out.push_back(R::agent_no_address);
}

void check_place(const PlacementRules& rules, const PlacementCandidate& agent, std::vector<R>& out) {
  if (!rules.datacenters.empty() && !contains(rules.datacenters, agent.datacenter))
    out.push_back(R::agent_datacenter_not_allowed);
  if (contains(rules.excluded_datacenters, agent.datacenter)) out.push_back(R::agent_datacenter_excluded);
  if (!rules.clouds.empty() && !contains(rules.clouds, agent.cloud)) out.push_back(R::agent_cloud_not_allowed);
  if (contains(rules.excluded_clouds, agent.cloud)) out.push_back(R::agent_cloud_excluded);
}

bool is_too_small(const PlacementWants& wants, const PlacementCandidate& agent) {
  return wants.nano_cpus > agent.vcpus * 1'000'000'000 || wants.memory_mib > agent.memory_mib ||
         wants.gpu_count > agent.gpu_count;
}

}  // namespace

std::vector<PlacementReason> placement_reasons(const PlacementQuestion& question, const PlacementCaller& caller,
                                               const PlacementCandidate& agent) {
  std::vector<R> out;
  const PlacementWants& wants = question.wants;
  check_state(agent, out);
  if (question.node_size && agent.node_size != *question.node_size) out.push_back(R::agent_node_size_mismatch);
  check_place(wants.rules, agent, out);
  if (agent.placement_key.starts_with("r:") && agent.placement_key != "r:" + caller.account.str())
    out.push_back(R::agent_reserved);
  if (is_too_small(wants, agent)) out.push_back(R::agent_resources_too_small);
  const PlacementVariant* variant = variant_for(wants, agent.node_size);
  if (variant != nullptr && variant->mrtd && *variant->mrtd != agent.mrtd) out.push_back(R::agent_mrtd_mismatch);
  if (wants.variants && variant == nullptr) out.push_back(R::version_variant_not_found);
  if (!question.min_agent_version.empty() && !version_at_least(agent.agent_version, question.min_agent_version))
    out.push_back(R::agent_version_too_old);
  if (question.agent_name && agent.vm_name != *question.agent_name) out.push_back(R::agent_name_mismatch);
  return out;
}

bool datacenter_allowed(const PlacementRules& rules, std::string_view datacenter) {
  const std::string_view cloud = cloud_of(datacenter);
  return (rules.datacenters.empty() || contains(rules.datacenters, datacenter)) &&
         !contains(rules.excluded_datacenters, datacenter) && (rules.clouds.empty() || contains(rules.clouds, cloud)) &&
         !contains(rules.excluded_clouds, cloud);
}

const PlacementVariant* variant_for(const PlacementWants& wants, const std::string& node_size) {
  if (!wants.variants) return nullptr;
  auto found = wants.variants->find(node_size);
  if (found == wants.variants->end()) found = wants.variants->find("");
  return found == wants.variants->end() ? nullptr : &found->second;
}

std::vector<std::string> placement_keys(const PlacementCaller& caller) {
  std::vector<std::string> keys = {"r:" + caller.account.str(), "a:" + caller.account.str()};
  for (const std::int64_t owner : caller.github_owners) keys.push_back("g:" + std::to_string(owner));
  keys.emplace_back("p");
  return keys;
}

bool version_at_least(std::string_view version, std::string_view least) {
  const auto have = version_of(version);
  const auto need = version_of(least);
  return have && need && *have >= *need;
}

}  // namespace ee::cp
