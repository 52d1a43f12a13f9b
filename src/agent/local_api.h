#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/board.h"
#include "agent/config.h"
#include "agent/control_token.h"
#include "agent/request_path.h"
#include "agent/workload/public_evidence.h"
#include "agent/workload_api.h"
#include "common/agent_api.h"
#include "common/clock.h"
#include "common/random.h"
#include "net/rate_limiter.h"
#include "net/server.h"
#include "net/stream.h"

namespace ee::agent {

/// What a console token lets its holder see.
struct ConsoleAccess {
  std::optional<std::string> only_deployment = {};  ///< logs are restricted to it
};

/// The agent's own HTTP API under `/.easyenclave/v1`, reached through the tunnel or, in development, directly. Every
/// other path is the workload's, and is passed on by `open_stream`: 503 workload_not_running while there is none. Every
/// answer bears `X-EE-Agent` (once there is an id), every error `X-EE-Agent-Error`. In mode `cp-bootstrap` only the
/// health is there. Thread-safe.
class LocalApi final : public net::Application {
 public:
  struct Hooks {
    std::function<void()> sync = [] {};                    ///< heartbeat and pull now
    std::function<bool()> reattest = [] { return true; };  ///< evidence now; false: asked for less than 60 s ago
    std::function<agent_api::TunnelReport()> tunnel = [] { return agent_api::TunnelReport{}; };
    std::function<std::optional<agent_api::WorkloadReport>()> workload = [] {
      return std::optional<agent_api::WorkloadReport>();
    };
    std::string runtime = {};  ///< name and version of the container engine, for the status
    /// Checks `Authorization: Bearer <console token>` for a scope. Nothing: no such token is accepted. Errors:
    /// invalid_token, insufficient_scope, rate_limited.
    std::function<Result<ConsoleAccess>(std::string_view authorization, std::string_view scope)> console = {};
    /// What requests for the workload are handed to; nothing: they are refused.
    std::function<std::shared_ptr<net::StreamHandler>(const net::RequestHead&, const ClassifiedPath&)> traffic = {};
    WorkloadApi* workload_api = nullptr;  ///< null: this agent has no container engine
    PublicEvidence* evidence = nullptr;   ///< null: not available
  };
  /// All references outlive the object.
  LocalApi(const AgentConfig& config, std::string vm_name, Board& board, Hooks hooks, const Clock& clock);
  ~LocalApi() override;

  std::shared_ptr<net::StreamHandler> open_stream(const net::RequestHead& head) override;
  net::Admission admit(const net::RequestHead& head) override;
  net::Response handle(net::Request&& request) override;
  bool allows_origin(std::string_view origin) override { return origin == config_.control_plane_url; }

  /// The limits of 02 section 15.1.
  static net::ServerConfig server_config(const Endpoint& listen);

 private:
  /// Who makes a call: the control plane, or the holder of a console token.
  struct Caller {
    bool control = false;
    ConsoleAccess console = {};
  };
  Result<Caller> authenticate(const net::Request& request);
  /// Whether a caller who may see one deployment only may see what runs now.
  bool sees_what_runs(const Caller& caller) const;
  Result<net::Response> dispatch(const net::Request& request, const Caller& caller);
  net::Response health(std::string_view request_id);
  net::Response status();
  Result<net::Response> evidence(const net::Request& request);
  Result<net::Response> sync();
  Result<net::Response> reattest();
  net::Response error(ErrorCode code, std::string detail, std::string_view request_id);
  net::Response error(const Error& error, std::string_view request_id);
  net::Response answer(int status, std::string body);
  /// Adds what every answer of the agent bears.
  net::Response finish(net::Response response) const;

  const AgentConfig& config_;
  std::string vm_name_;
  Board& board_;
  Hooks hooks_;
  const Clock& clock_;
  ControlTokens tokens_;
  net::RateLimiter health_limit_;
  net::RateLimiter sync_limit_;
};

}  // namespace ee::agent
