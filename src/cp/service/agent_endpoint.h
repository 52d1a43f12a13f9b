#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cp/domain/agent.h"

namespace ee::cp {

/// The effective values of the settings that an agent's address depends on.
struct EndpointSettings {
  bool dev = false;
  std::vector<std::string> direct_url_cidrs = {};  ///< agents.direct_url_cidrs; used in dev only
  std::string domain = {};                         ///< cloudflare.domain
  /// attestation.cp_to_agent_mode is `required`: nobody talks to an agent that lost trust. Anything else counts in dev
  /// only.
  bool attestation_required = true;
};

/// Why there is no address.
enum class NoEndpoint : std::uint8_t {
  agent_gone,          ///< deleting or deleted
  attestation_failed,  ///< the agent lost trust
  tunnel_not_ready,    ///< no tunnel yet (and no direct address): the agent pulls instead
  hostname_refused,    ///< the name is not one below cloudflare.domain
};
BOOST_DESCRIBE_ENUM(NoEndpoint, agent_gone, attestation_failed, tunnel_not_ready, hostname_refused)

/// What decides where an agent is reached; for callers that hold no whole row.
struct EndpointFacts {
  AgentStatus status = AgentStatus::undeployed;
  AttestationState attestation_state = AttestationState::verified;
  TunnelState tunnel_state = TunnelState::none;
  std::optional<std::string> hostname = {};
  std::optional<std::string> direct_url = {};
};

/// An address, or why there is none.
struct ResolvedEndpoint {
  std::string url = {};    ///< an origin without a slash at its end; empty: none
  bool is_direct = false;  ///< a `direct_url` (dev): plain http and private addresses are allowed
  std::optional<NoEndpoint> reason = {};

  explicit operator bool() const { return !url.empty(); }
};

/// The only place where the address of an agent is made (02 section 6.2): in dev its `direct_url`, else
/// `https://{hostname}` once its tunnel is ready. What is stored is checked again: a row alone leads nowhere.
/// Thread-safe.
class AgentEndpoint {
 public:
  using Settings = std::function<EndpointSettings()>;
  /// `settings` never waits and is thread-safe.
  explicit AgentEndpoint(Settings settings) : settings_(std::move(settings)) {}

  ResolvedEndpoint resolve(const AgentRow& agent) const;
  ResolvedEndpoint resolve(const EndpointFacts& agent) const;

 private:
  Settings settings_;
};

}  // namespace ee::cp
