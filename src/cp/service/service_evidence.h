#pragma once
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "cp/service/agent_client.h"
#include "cp/store/agent_store.h"
#include "cp/store/deployment_store.h"
#include "cp/store/service_list_store.h"
#include "db/database.h"

namespace ee::cp {

/// Fetches, for whoever asks, the evidence of an agent behind a service over that party's own nonce (02 section 15.5).
/// The answer is passed on as it came: nonce and quote make the way it took harmless. Thread-safe; blocks on the
/// database and on at most `kMostAsked` agents.
class ServiceEvidence {
 public:
  static constexpr std::size_t kMostAsked = 2;

  ServiceEvidence(db::Database& database, AgentClient& client) : database_(database), client_(client) {}

  /// JSON text. `deployment`: of the agent that this one is on. Errors: invalid_request (the nonce), service_not_found,
  /// service_unavailable (nothing runs, or not that one), rate_limited, tdx_unavailable, agent_not_active,
  /// agent_unreachable, agent_bad_response.
  Result<std::string> fetch(std::string_view service, const std::optional<DeploymentId>& deployment,
                            std::string_view nonce, const std::stop_token& stop);

 private:
  Result<std::vector<AgentRow>> backends(std::string_view service, const std::optional<DeploymentId>& deployment) const;
  Result<std::string> ask(const AgentRow& agent, std::string_view nonce, const std::stop_token& stop);

  db::Database& database_;
  AgentClient& client_;
  ServiceListStore services_;
  DeploymentStore deployments_;
};

}  // namespace ee::cp
