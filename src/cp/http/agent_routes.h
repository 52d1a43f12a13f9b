#pragma once
#include <boost/describe.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/route.h"
#include "cp/service/agent_service.h"
#include "cp/service/enrollment_tokens.h"

namespace ee::cp {

/// What owners and administrators do with agents. Each route stands in the table twice: under `/api/v1/agents` an
/// administrator sees all agents, under `/api/v1/me/agents` everybody sees their own.
struct AgentRoutes {
  AgentService& agents;
  EnrollmentTokens& tokens;
  const CursorCodec& cursors;
  std::function<bool()> destructive_requires_oidc;  ///< agents.destructive_requires_oidc; never waits
};

void add_agent_routes(std::vector<Route>& table, AgentRoutes& context);
void add_enrollment_token_routes(std::vector<Route>& table, AgentRoutes& context);

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

struct AgentDrainRequest {
  std::optional<std::string> reason;
  std::optional<bool> migrate;
};
BOOST_DESCRIBE_STRUCT(AgentDrainRequest, (), (reason, migrate))
constexpr auto json_rules(json::For<AgentDrainRequest> /*type*/) {
  return std::array{json::field("reason").length(0, 200)};
}
constexpr std::string_view json_name(json::For<AgentDrainRequest> /*type*/) { return "AgentDrain"; }

struct AgentOwnerRequest {
  std::optional<std::optional<std::string>> account_id;
  std::optional<std::optional<std::int64_t>> github_owner_id;
  std::optional<std::string> github_owner;
  std::optional<PlacementScope> placement_scope;
};
BOOST_DESCRIBE_STRUCT(AgentOwnerRequest, (), (account_id, github_owner_id, github_owner, placement_scope))
constexpr auto json_rules(json::For<AgentOwnerRequest> /*type*/) {
  return std::array{json::field("account_id").uuid(), json::field("github_owner_id").at_least(1),
                    json::field("github_owner").length(1, 100)};
}
constexpr std::string_view json_name(json::For<AgentOwnerRequest> /*type*/) { return "AgentOwner"; }

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

/// What owners are shown.
struct AgentPage {
  std::vector<AgentObject> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AgentPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<AgentPage> /*type*/) { return "AgentPage"; }

/// What administrators are shown.
struct AdminAgentPage {
  std::vector<AdminAgentObject> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AdminAgentPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<AdminAgentPage> /*type*/) { return "AdminAgentPage"; }

struct EnrollmentTokenPage {
  std::vector<EnrollmentTokenView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(EnrollmentTokenPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<EnrollmentTokenPage> /*type*/) { return "EnrollmentTokenPage"; }

}  // namespace ee::cp
