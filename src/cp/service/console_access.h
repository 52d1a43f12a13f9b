#pragma once
#include <array>
#include <boost/describe.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "cp/domain/principal.h"
#include "cp/service/actor.h"
#include "cp/service/agent_endpoint.h"
#include "cp/service/agent_relay.h"
#include "cp/service/agent_scope.h"
#include "cp/service/deployment_hooks.h"
#include "cp/service/signing_keys.h"
#include "cp/store/audit_log_store.h"
#include "db/database.h"

namespace ee::cp {

/// What a console token opens at the agent.
enum class ConsoleScope : std::uint8_t { logs, stats, status, reattest };
BOOST_DESCRIBE_ENUM(ConsoleScope, logs, stats, status, reattest)

struct ConsoleAccessRequest {
  std::int64_t ttl_seconds = 900;
  std::optional<std::vector<ConsoleScope>> scopes = {};  ///< absent: logs, stats and status, as far as the caller may
};
BOOST_DESCRIBE_STRUCT(ConsoleAccessRequest, (), (ttl_seconds, scopes))
constexpr auto json_rules(json::For<ConsoleAccessRequest> /*type*/) {
  return std::array{json::field("ttl_seconds").between(60, 3600).defaulted(), json::field("scopes").items(1, 4)};
}
constexpr std::string_view json_name(json::For<ConsoleAccessRequest> /*type*/) { return "ConsoleAccessRequest"; }

struct ConsoleAccessAnswer {
  std::string agent_id;
  std::string base_url;
  std::string token;
  std::string token_type = "Bearer";
  std::vector<ConsoleScope> scopes;
  UtcTime expires_at = {};
  std::string console_url;
};
BOOST_DESCRIBE_STRUCT(ConsoleAccessAnswer, (), (agent_id, base_url, token, token_type, scopes, expires_at, console_url))
constexpr std::string_view json_name(json::For<ConsoleAccessAnswer> /*type*/) { return "ConsoleAccess"; }

/// Gives out tokens by which a browser talks to an agent itself (02 section 9). Thread-safe.
class ConsoleAccess {
 public:
  struct Parts {
    db::Database& database;
    DeploymentHooks& deployments;
    const AgentEndpoint& endpoint;
    const SigningKeys& signing_keys;
    Clock& clock;
    Random& random;
    std::string public_url;  ///< of the control plane: an origin
  };
  explicit ConsoleAccess(Parts parts) : parts_(std::move(parts)) {}

  /// Errors: `agent_not_found`, `invalid_agent_state` (deleting, or without trust), `agent_unreachable` (no address),
  /// `scope_not_allowed`.
  Result<ConsoleAccessAnswer> issue(const Principal& caller, const AgentScope& scope, const AgentId& id,
                                    const ConsoleAccessRequest& wanted, const Actor& actor);

 private:
  Parts parts_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
