#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent/runtime/container_stats.h"
#include "agent/runtime/log_ring.h"
#include "agent/workload/reconciler.h"
#include "common/agent_api.h"
#include "common/clock.h"
#include "common/error.h"
#include "net/http.h"

namespace ee::agent {

/// The routes of the local API that are about the workload, once the caller was let in: 02 section 15.3. Thread-safe.
class WorkloadApi {
 public:
  static constexpr std::size_t kMaxFollowers = 4;
  static constexpr Seconds kFollowTime{300};

  struct Hooks {
    std::function<agent_api::HostStats()> host_stats = [] { return agent_api::HostStats{}; };
    /// By service.
    std::function<std::map<std::string, ContainerStats>()> container_stats = [] {
      return std::map<std::string, ContainerStats>();
    };
  };
  /// All references outlive the object. `agent_log` has the agent's own lines as source `_agent`.
  WorkloadApi(Reconciler& reconciler, LogRing& logs, LogRing& agent_log, Hooks hooks, Clock& clock);
  ~WorkloadApi();

  /// What a caller of `GET /logs` may see.
  struct LogAccess {
    bool control = false;                             ///< also the agent's own log
    std::optional<std::string> only_deployment = {};  ///< of a console token that is restricted to one
  };

  /// Errors as 02 section 15.3 names them.
  Result<net::Response> put_deployment(const net::Request& request);
  Result<net::Response> delete_deployment(const net::Request& request);
  Result<net::Response> get_deployment();
  Result<net::Response> get_logs(const net::Request& request, const LogAccess& access);
  Result<net::Response> get_stats();

 private:
  struct Follower;
  Result<net::Response> follow(LogQuery query, LogRing& ring, const LogPage& first);

  Reconciler& reconciler_;
  LogRing& logs_;
  LogRing& agent_log_;
  Hooks hooks_;
  Clock& clock_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Follower>> followers_;
};

/// `a=b&c=d`, percent-decoded. Error: invalid_request for a name that is not in `known`, one that is given twice, or a
/// broken escape.
Result<std::map<std::string, std::string>> read_query(std::string_view query, const std::vector<std::string>& known);

}  // namespace ee::agent
