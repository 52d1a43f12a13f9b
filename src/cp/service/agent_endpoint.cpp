#include "cp/service/agent_endpoint.h"

#include <algorithm>

#include "cp/service/direct_url.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxHostname = 253;

bool is_host_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; }

/// A name below `domain`, in lower case, of nothing but labels.
bool is_below(std::string_view hostname, std::string_view domain) {
  if (domain.empty() || hostname.size() > kMaxHostname || !std::ranges::all_of(hostname, is_host_char)) return false;
  if (hostname.size() < domain.size() + 2 || !hostname.ends_with(domain)) return false;
  const std::string_view label = hostname.substr(0, hostname.size() - domain.size());
  return label.ends_with('.') && !label.starts_with('.') && label.find("..") == std::string_view::npos;
}

ResolvedEndpoint none(NoEndpoint reason) { return {.reason = reason}; }

}  // namespace

ResolvedEndpoint AgentEndpoint::resolve(const AgentRow& agent) const {
  return resolve(EndpointFacts{.status = agent.status,
                               .attestation_state = agent.attestation_state,
                               .tunnel_state = agent.tunnel_state,
                               .hostname = agent.hostname,
                               .direct_url = agent.direct_url});
}

ResolvedEndpoint AgentEndpoint::resolve(const EndpointFacts& agent) const {
  const EndpointSettings settings = settings_();
  if (agent.status == AgentStatus::deleting || agent.status == AgentStatus::deleted)
    return none(NoEndpoint::agent_gone);
  const bool must_be_trusted = settings.attestation_required || !settings.dev;
  if (must_be_trusted && agent.attestation_state == AttestationState::failed)
    return none(NoEndpoint::attestation_failed);
  // The ranges may have become narrower since the agent registered.
  if (agent.direct_url && is_allowed_direct_url(*agent.direct_url, settings.dev, settings.direct_url_cidrs))
    return {.url = *agent.direct_url, .is_direct = true, .reason = {}};
  if (agent.tunnel_state != TunnelState::ready || !agent.hostname) return none(NoEndpoint::tunnel_not_ready);
  if (!is_below(*agent.hostname, settings.domain)) return none(NoEndpoint::hostname_refused);
  return {.url = "https://" + *agent.hostname, .is_direct = false, .reason = {}};
}

}  // namespace ee::cp
