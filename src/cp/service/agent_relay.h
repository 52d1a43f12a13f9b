#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "cp/service/agent_client.h"
#include "cp/service/agent_log_records.h"
#include "cp/service/agent_scope.h"
#include "cp/service/deployment_hooks.h"
#include "cp/service/live_map.h"
#include "cp/store/agent_live_store.h"
#include "cp/store/agent_store.h"
#include "db/database.h"

namespace ee::cp {

/// How a caller stands to an agent.
struct AgentStanding {
  AgentRow agent;
  bool owns = false;                     ///< the agent is in the caller's scope
  std::optional<AccountId> tenant = {};  ///< the account of the running deployment, if the caller acts for it
};

/// The agent, for a caller who may know of it: its owner, the account of what it runs, an administrator. Errors:
/// `agent_not_found`.
Result<AgentStanding> standing_of(db::Transaction& tx, DeploymentHooks& deployments, const AgentScope& scope,
                                  const AgentId& id);

/// Which lines are wanted. Ranges are the route's.
struct AgentLogsWanted {
  std::string container = {};
  std::string since = {};
  std::int64_t tail = 200;
  std::size_t max_bytes = 1024UL * 1024;
};

struct AgentLogs {
  std::vector<AgentLogLine> items;
  bool truncated = false;    ///< older lines were left out, or the agent stopped in the middle
  std::int64_t dropped = 0;  ///< lines that the agent itself had lost
};
BOOST_DESCRIBE_STRUCT(AgentLogs, (), (items, truncated, dropped))
constexpr std::string_view json_name(json::For<AgentLogs> /*type*/) { return "AgentLogs"; }

/// Reads an agent's answer, one JSON record a line, the last of them `{"end":true,"dropped":n}`. Of more than
/// `max_bytes` the newest lines are kept. Errors: `agent_bad_response`.
Result<AgentLogs> parse_agent_logs(std::string_view ndjson, std::size_t max_bytes);

/// What is passed on from agents: logs and statistics (02 section 8). Thread-safe; a call blocks up to ten seconds.
class AgentRelay {
 public:
  static constexpr std::string_view kAgentLines = "_agent";

  struct Parts {
    db::Database& database;
    LiveMap& live;
    DeploymentHooks& deployments;
    AgentClient& client;
    const Clock& clock;
  };
  explicit AgentRelay(Parts parts) : parts_(parts) {}

  /// For administrators, and for the account of the running deployment; the agent's operator does not see a tenant's
  /// lines. Errors: `agent_not_found`, `admin_required` (the agent's own lines), those of AgentClient.
  /// A tenant gets the lines of its running deployment alone, never those of who ran there before.
  Result<AgentLogs> logs(const AgentScope& scope, const AgentId& id, const AgentLogsWanted& wanted,
                         const std::stop_token& stop);
  /// JSON: the last that a heartbeat brought, or, `live`, what the agent says now. Errors: `agent_not_found`, those of
  /// AgentClient.
  Result<std::string> stats(const AgentScope& scope, const AgentId& id, bool live, std::stop_token stop);

 private:
  Result<AgentStanding> standing(const AgentScope& scope, const AgentId& id);
  Result<AgentLogs> ask(const AgentRow& agent, const std::string& deployment, const AgentLogsWanted& wanted,
                        const std::stop_token& stop);
  Result<std::string> stored_stats(const AgentRow& agent);

  Parts parts_;
  AgentLiveStore live_rows_;
};

}  // namespace ee::cp
