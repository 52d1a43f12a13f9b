#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "cp/domain/principal.h"
#include "cp/service/agent_client.h"
#include "cp/service/agent_log_records.h"
#include "cp/service/deployments.h"
#include "cp/service/services.h"

namespace ee::cp {

/// Which lines are wanted (03 section 10.2). Ranges and forms are the route's; times as an agent reads them.
struct ContainerLogsWanted {
  std::string container = {};
  std::string since = {};
  std::string until = {};
  std::int64_t tail = 200;  ///< the newest
  std::string stream = {};  ///< empty: both
  std::string search = {};
  bool shorten = true;  ///< fewer of an agent's lines when all are too many; else body_too_large of it
};

/// Whose lines. Exactly one is set.
struct LogSelection {
  std::optional<DeploymentId> deployment = {};
  std::optional<std::string> service = {};
  std::optional<std::string> group_id = {};
  std::optional<AgentId> agent = {};  ///< for administrators
};

/// An agent to be asked, and for what.
struct LogTarget {
  std::string deployment_id = {};  ///< its lines alone; empty: the agent's own
  AgentRow agent = {};
};

struct LogTargets {
  std::vector<LogTarget> live = {};
  std::vector<std::string> deployments = {};  ///< not final ones that were selected, placed or not
  bool over = false;                          ///< all that was selected is final
  bool cut = false;                           ///< more agents than are asked
  std::optional<DeploymentRow> ended = {};    ///< a single deployment that is final
};

/// A line of a container. Of a deployment that has ended only the end of what it wrote is kept, without times and
/// streams.
struct ContainerLogLine {
  std::optional<std::string> at;
  std::optional<std::string> agent_id;
  std::optional<std::string> deployment_id;
  std::string container;
  std::optional<std::string> stream;
  std::string line;
  bool truncated = false;
};
BOOST_DESCRIBE_STRUCT(ContainerLogLine, (), (at, agent_id, deployment_id, container, stream, line, truncated))
constexpr std::string_view json_name(json::For<ContainerLogLine> /*type*/) { return "ContainerLogLine"; }

/// What one agent gave, judged.
struct AgentLines {
  AgentLogAnswer answer = {};         ///< also what came before it failed
  std::optional<Error> failure = {};  ///< agent_unreachable, agent_bad_response, body_too_large
  bool shortened = false;             ///< older lines are missing
};

/// An agent that failed; what it gave before is among the lines.
struct AgentLogFailure {
  std::string agent_id;
  std::string code;  ///< `agent_unreachable` or `agent_bad_response`
};
BOOST_DESCRIBE_STRUCT(AgentLogFailure, (), (agent_id, code))
constexpr std::string_view json_name(json::For<AgentLogFailure> /*type*/) { return "AgentLogFailure"; }

struct ContainerLogPage {
  std::vector<ContainerLogLine> items;
  bool truncated = false;    ///< older lines were left out
  std::int64_t dropped = 0;  ///< lines that agents themselves had lost
  std::vector<AgentLogFailure> errors;
};
BOOST_DESCRIBE_STRUCT(ContainerLogPage, (), (items, truncated, dropped, errors))
constexpr std::string_view json_name(json::For<ContainerLogPage> /*type*/) { return "ContainerLogs"; }

/// What containers write, read from the agents that run them; the control plane keeps none of it. Thread-safe; calls
/// block on the database and on agents.
class ContainerLogs {
 public:
  static constexpr std::size_t kMaxAgents = 64;
  static constexpr std::size_t kAgentsAtOnce = 16;
  static constexpr std::size_t kMaxBytes = 16UL * 1024 * 1024;  ///< of all agents' answers together
  static constexpr std::int64_t kMaxTail = 10'000;
  static constexpr std::string_view kAgentLines = "_agent";

  struct Parts {
    db::Database& database;
    Deployments& deployments;
    Services& services;
    AgentClient& client;
  };
  explicit ContainerLogs(Parts parts) : parts_(parts) {}

  /// Errors: deployment_not_found, service_not_found, agent_not_found (also for whoever operates the agent: these are
  /// its tenant's lines), admin_required (the agent's own lines).
  Result<LogTargets> find(const Principal& principal, const LogSelection& selection, std::string_view container) const;
  /// The lines of all targets by time and agent, and those that failed. Errors: logs_gone (a final deployment of which
  /// nothing was kept); agent_unreachable, agent_bad_response when all failed and nothing came.
  Result<ContainerLogPage> read(const LogTargets& targets, const ContainerLogsWanted& wanted,
                                const std::stop_token& stop) const;
  /// One agent's answer, of at most `max_bytes`.
  AgentLines ask(const LogTarget& target, const ContainerLogsWanted& wanted, std::size_t max_bytes,
                 const std::stop_token& stop) const;
  /// The same of all targets, in their order; kAgentsAtOnce are asked at once.
  std::vector<AgentLines> ask_all(const std::vector<LogTarget>& targets, const ContainerLogsWanted& wanted,
                                  std::size_t max_bytes, const std::stop_token& stop) const;

 private:
  Result<LogTargets> of_rows(std::vector<DeploymentRow> rows, std::string_view container) const;
  Result<LogTargets> of_agent(const Principal& principal, const AgentId& id, std::string_view container) const;

  Parts parts_;
};

/// The end of what a final deployment wrote: `container: line` in base64, as its last report had it. Nothing when it
/// cannot be read.
std::optional<ContainerLogPage> parse_log_tail(std::string_view log_tail, const std::string& deployment_id);

/// `line` of `record` as the API shows it.
ContainerLogLine shown_line(AgentLogRecord record, const LogTarget& target);

}  // namespace ee::cp
