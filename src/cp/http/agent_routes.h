#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/route.h"
#include "cp/service/agent_service.h"

namespace ee::cp {

/// What administrators do with agents.
struct AgentRoutes {
  AgentService& agents;
  const CursorCodec& cursors;
};

void add_agent_routes(std::vector<Route>& table, AgentRoutes& context);

struct AgentResetRequest {
  std::optional<bool> stop_workload;
};
BOOST_DESCRIBE_STRUCT(AgentResetRequest, (), (stop_workload))
constexpr std::string_view json_name(json::For<AgentResetRequest> /*type*/) { return "AgentReset"; }

struct AgentUndeployRequest {
  std::optional<std::string> reason;
};
BOOST_DESCRIBE_STRUCT(AgentUndeployRequest, (), (reason))
constexpr auto json_rules(json::For<AgentUndeployRequest> /*type*/) {
  return std::array{json::field("reason").length(0, 200)};
}
constexpr std::string_view json_name(json::For<AgentUndeployRequest> /*type*/) { return "AgentUndeploy"; }

struct AgentDeleting {
  std::string id;
  std::string status;
};
BOOST_DESCRIBE_STRUCT(AgentDeleting, (), (id, status))
constexpr std::string_view json_name(json::For<AgentDeleting> /*type*/) { return "AgentDeleting"; }

struct AgentUndeployed {
  bool changed = false;
};
BOOST_DESCRIBE_STRUCT(AgentUndeployed, (), (changed))
constexpr std::string_view json_name(json::For<AgentUndeployed> /*type*/) { return "AgentUndeployed"; }

struct AgentPage {
  std::vector<AdminAgentObject> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AgentPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<AgentPage> /*type*/) { return "AgentPage"; }

}  // namespace ee::cp
