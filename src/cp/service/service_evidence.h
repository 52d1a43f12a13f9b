#pragma once
#include <optional>
#include <stop_token>
#include <string>

#include "cp/service/agent_client.h"
#include "cp/service/route_table.h"
#include "cp/store/agent_store.h"

namespace ee::cp {

/// Evidence of what serves a service, asked of its agent for a relying party and passed on as it is: the party's nonce
/// and the quote make the way of no matter (02 section 15.5). Thread-safe; blocks up to ten seconds.
class ServiceEvidence {
 public:
  struct Parts {
    db::Database& database;
    RouteSnapshots& routes;
    AgentClient& client;
  };
  explicit ServiceEvidence(Parts parts) : parts_(parts) {}

  /// The agent's answer, JSON. `nonce`: 64 hex digits. `deployment`: which backend; else the first.
  /// Errors: service_not_found, deployment_not_found (none of its backends), service_unavailable (no backend),
  /// service_attestation_failed, routing_unavailable, tdx_unavailable, rate_limited, those of AgentClient.
  Result<std::string> get(const std::string& service, const std::string& nonce,
                          const std::optional<std::string>& deployment, std::stop_token stop);

 private:
  Parts parts_;
  AgentStore agents_;
};

}  // namespace ee::cp
