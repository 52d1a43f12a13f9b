#pragma once
#include <functional>
#include <vector>

#include "cp/http/rate_limits.h"
#include "cp/http/route.h"
#include "cp/service/agent_channel.h"
#include "cp/service/attestation_refresh.h"
#include "cp/service/authenticator.h"
#include "cp/service/challenge_service.h"
#include "cp/service/credential_rotation.h"
#include "cp/service/heartbeat.h"
#include "cp/service/registration.h"

namespace ee::cp {

/// What the routes that agents call need: challenge, register, heartbeat, tunnel, keys, status.
struct AgentProtocolRoutes {
  const ChallengeService& challenges;
  std::function<ChallengePolicy()> challenge_policy;
  RegistrationService& registration;
  HeartbeatService& heartbeats;
  Authenticator& authenticator;
  RateLimits& limits;
  AgentChannel& channel;
  AttestationRefresh& refresh;
  CredentialRotation& rotation;
  Clock& clock;
  std::function<void(std::string_view purpose)> challenge_issued = {};  ///< for metrics
};

void add_agent_protocol_routes(std::vector<Route>& table, AgentProtocolRoutes& context);

}  // namespace ee::cp
