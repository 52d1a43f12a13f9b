#pragma once
#include <functional>
#include <map>
#include <stop_token>
#include <string_view>

#include "common/clock.h"
#include "common/http_client.h"
#include "cp/service/agent_endpoint.h"
#include "cp/service/directory.h"
#include "cp/service/job_summary.h"
#include "cp/store/agent_store.h"
#include "db/database.h"

namespace ee::cp {

/// Job `tunnel_probe`: asks agents that hold a deployment for their `/health` through their tunnels, at most 50 a
/// second. Three failures in a row make the agent's `tunnel_reachable` false, one answer makes it true; its health is
/// left alone. A pass that runs out of time is continued by the next one. One runner; not thread-safe.
class TunnelProbe {
 public:
  static constexpr int kFailuresUntilUnreachable = 3;
  static constexpr Milliseconds kBetweenProbes{20};
  static constexpr std::size_t kMaxAnswer = 16UL * 1024;

  struct Parts {
    db::Database& database;
    Directory& directory;
    const AgentEndpoint& endpoint;
    HttpClient& http;
    Clock& clock;
    std::function<Milliseconds()> timeout;  ///< agents.health_timeout_seconds
    /// One probe as it ended: `ok` or `failed`.
    std::function<void(std::string_view result)> observe = {};
  };
  explicit TunnelProbe(Parts parts) : parts_(std::move(parts)) {}

  /// Until `deadline` at most. Counts: `probed`, `failed`, `changed`.
  Result<JobSummary> run(const std::stop_token& stop, SteadyTime deadline);

 private:
  /// Whether the agent answers at its present address, which the table has. Errors: those of the database.
  Result<bool> answers(const AgentId& agent, const std::stop_token& stop);
  /// Whether the row was changed.
  Result<bool> note(const AgentId& agent, bool reachable);

  Parts parts_;
  AgentStore agents_;
  std::map<AgentKey, int> failures_;  ///< in a row; of agents that were probed last time
  AgentKey last_{};                   ///< where the last pass ended
};

}  // namespace ee::cp
