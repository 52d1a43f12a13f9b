#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/board.h"
#include "agent/config.h"
#include "agent/control_token.h"
#include "common/agent_api.h"
#include "common/clock.h"
#include "common/random.h"
#include "net/rate_limiter.h"
#include "net/server.h"

namespace ee::agent {

/// The agent's own HTTP API under `/.easyenclave/v1`, reached through the tunnel or, in development, directly. Every
/// other path is the workload's: 503 workload_not_running while there is none. Every answer bears `X-EE-Agent` (once
/// there is an id), every error `X-EE-Agent-Error`. Thread-safe.
class LocalApi final : public net::Application {
 public:
  struct Hooks {
    std::function<void()> sync = [] {};                    ///< heartbeat and pull now
    std::function<bool()> reattest = [] { return true; };  ///< evidence now; false: asked for less than 60 s ago
    std::function<agent_api::TunnelReport()> tunnel = [] { return agent_api::TunnelReport{}; };
    std::function<std::optional<agent_api::WorkloadReport>()> workload = [] {
      return std::optional<agent_api::WorkloadReport>();
    };
  };
  /// All references outlive the object.
  LocalApi(const AgentConfig& config, std::string vm_name, Board& board, Hooks hooks, const Clock& clock);
  ~LocalApi() override;

  net::Admission admit(const net::RequestHead& head) override;
  net::Response handle(net::Request&& request) override;

  /// The limits of 02 section 15.1.
  static net::ServerConfig server_config(const Endpoint& listen);

 private:
  net::Response health(std::string_view request_id);
  net::Response status();
  net::Response sync(const net::Request& request);
  net::Response reattest(const net::Request& request);
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

/// How a path is meant: decoded and normalised once (dot segments, repeated slashes). `evasive`: it would name the
/// reserved prefix only after a second decoding, or cannot be decoded.
enum class PathKind : std::uint8_t { reserved, workload, evasive };
struct ClassifiedPath {
  PathKind kind = PathKind::workload;
  std::string normal = {};  ///< decoded and normalised
};
ClassifiedPath classify_path(std::string_view raw_path);

}  // namespace ee::agent
