#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/agent_api.h"
#include "cp/http/route.h"
#include "cp/service/agent_relay.h"
#include "cp/service/console_access.h"

namespace ee::cp {

/// What is passed on from agents, and tokens to talk to them directly.
struct AgentRelayRoutes {
  AgentRelay& relay;
  ConsoleAccess& console;
};

void add_agent_relay_routes(std::vector<Route>& table, AgentRelayRoutes& context);

}  // namespace ee::cp
