#pragma once
#include <array>
#include <boost/describe.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"

/// JSON bodies of the clean-up's routes (05 section 11.1).
namespace ee::cp {

/// What a clean-up looks at, in the order of the work: agents before machines before tunnels before names.
enum class CleanupScope : std::uint8_t { stale_agents, gcp_instances, tunnels, dns };
BOOST_DESCRIBE_ENUM(CleanupScope, stale_agents, gcp_instances, tunnels, dns)

/// `POST /api/v1/admin/cleanup`.
struct CleanupRequest {
  bool dry_run = true;
  std::vector<CleanupScope> scopes = {CleanupScope::stale_agents, CleanupScope::gcp_instances, CleanupScope::tunnels,
                                      CleanupScope::dns};
  std::optional<std::int64_t> stale_hours = {};  ///< nothing: setting `agents.stale_hours`
  bool include_deployed = false;                 ///< also agents that hold a deployment
  std::int64_t max_deletes = 50;
  std::optional<std::string> expected_plan = {};  ///< of a dry run: nothing is done when it would be another now
  bool confirm_mass = false;
  std::string reason = {};
};
BOOST_DESCRIBE_STRUCT(CleanupRequest, (),
                      (dry_run, scopes, stale_hours, include_deployed, max_deletes, expected_plan, confirm_mass,
                       reason))
constexpr auto json_rules(json::For<CleanupRequest>) {
  return std::array{json::field("dry_run").defaulted(),
                    json::field("scopes").items(1, 4).defaulted(),
                    json::field("stale_hours").between(1, 720),
                    json::field("include_deployed").defaulted(),
                    json::field("max_deletes").between(1, 500).defaulted(),
                    json::field("expected_plan").hex(64),
                    json::field("confirm_mass").defaulted(),
                    json::field("reason").length(0, 200).defaulted()};
}
constexpr std::string_view json_name(json::For<CleanupRequest>) { return "CleanupRequest"; }

struct CleanupCandidate {
  std::string id = {};
  std::string name = {};
  std::string why = {};
};
BOOST_DESCRIBE_STRUCT(CleanupCandidate, (), (id, name, why))
constexpr std::string_view json_name(json::For<CleanupCandidate>) { return "CleanupCandidate"; }

struct CleanupSkipped {
  CleanupScope scope = CleanupScope::tunnels;
  std::string id = {};
  std::string why = {};
};
BOOST_DESCRIBE_STRUCT(CleanupSkipped, (), (scope, id, why))
constexpr std::string_view json_name(json::For<CleanupSkipped>) { return "CleanupSkipped"; }

/// A scope that was left out.
struct CleanupScopeError {
  CleanupScope scope = CleanupScope::tunnels;
  std::string code = {};
};
BOOST_DESCRIBE_STRUCT(CleanupScopeError, (), (scope, code))
constexpr std::string_view json_name(json::For<CleanupScopeError>) { return "CleanupScopeError"; }

/// Of a dry run. The plan is the SHA-256 of the sorted ids of all candidates.
struct CleanupPlanView {
  std::string plan = {};
  std::map<std::string, std::vector<CleanupCandidate>> candidates = {};  ///< by scope
  std::vector<CleanupSkipped> skipped = {};
  std::vector<CleanupScopeError> errors = {};
  bool truncated = false;  ///< there are more than `max_deletes`
};
BOOST_DESCRIBE_STRUCT(CleanupPlanView, (), (plan, candidates, skipped, errors, truncated))
constexpr std::string_view json_name(json::For<CleanupPlanView>) { return "CleanupPlan"; }

struct CleanupFailure {
  CleanupScope scope = CleanupScope::tunnels;
  std::string id = {};
  std::string code = {};
};
BOOST_DESCRIBE_STRUCT(CleanupFailure, (), (scope, id, code))
constexpr std::string_view json_name(json::For<CleanupFailure>) { return "CleanupFailure"; }

enum class CleanupStatus : std::uint8_t { running, done, partial, failed, cancelled };
BOOST_DESCRIBE_ENUM(CleanupStatus, running, done, partial, failed, cancelled)

struct CleanupRunView {
  std::string id = {};
  CleanupStatus status = CleanupStatus::running;
  std::string plan = {};
  std::map<std::string, std::int64_t> deleted = {};  ///< by scope
  std::vector<CleanupFailure> failed = {};
  std::vector<CleanupSkipped> skipped = {};
  UtcTime started_at = {};
  std::optional<UtcTime> finished_at = {};
  std::string requested_by = {};
  std::string reason = {};
};
BOOST_DESCRIBE_STRUCT(CleanupRunView, (),
                      (id, status, plan, deleted, failed, skipped, started_at, finished_at, requested_by, reason))
constexpr std::string_view json_name(json::For<CleanupRunView>) { return "CleanupRun"; }

struct CleanupRunPage {
  std::vector<CleanupRunView> items = {};
  std::optional<std::string> next_cursor = {};
};
BOOST_DESCRIBE_STRUCT(CleanupRunPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<CleanupRunPage>) { return "CleanupRunPage"; }

/// `POST /api/v1/admin/agents/{agent_id}/cleanup`.
struct AgentCleanupRequest {
  bool dry_run = true;
  bool force = false;
  std::string reason = {};
};
BOOST_DESCRIBE_STRUCT(AgentCleanupRequest, (), (dry_run, force, reason))
constexpr auto json_rules(json::For<AgentCleanupRequest>) {
  return std::array{json::field("dry_run").defaulted(), json::field("force").defaulted(),
                    json::field("reason").length(1, 200)};
}
constexpr std::string_view json_name(json::For<AgentCleanupRequest>) { return "AgentCleanupRequest"; }

struct AgentCleanupStep {
  std::string step = {};    ///< workload, agent, tunnel, dns
  std::string target = {};  ///< its id or name
  std::string action = {};  ///< stop, delete
};
BOOST_DESCRIBE_STRUCT(AgentCleanupStep, (), (step, target, action))
constexpr std::string_view json_name(json::For<AgentCleanupStep>) { return "AgentCleanupStep"; }

struct AgentCleanupView {
  std::string agent_id = {};
  std::vector<AgentCleanupStep> steps = {};
};
BOOST_DESCRIBE_STRUCT(AgentCleanupView, (), (agent_id, steps))
constexpr std::string_view json_name(json::For<AgentCleanupView>) { return "AgentCleanup"; }

}  // namespace ee::cp
