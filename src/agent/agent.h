#pragma once
#include <expected>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "agent/config.h"
#include "agent/host.h"
#include "agent/runtime/log_ring.h"
#include "agent/sd_notify.h"
#include "attestation/tsm/quote_source.h"
#include "common/clock.h"
#include "common/http_client.h"
#include "common/random.h"
#include "common/subprocess.h"

namespace ee::agent {

/// Where the agent meets its surroundings. All outlive it.
struct World {
  Clock& clock;
  Random& random;
  HttpClient& http;
  SubprocessLauncher& subprocesses;
  const Host& host;
  const ServiceManager& manager;
  std::function<void()> power_off = [] {};  ///< asks for a clean power-off and returns
  /// Whether the whole system is going down, not only this service.
  std::function<bool()> system_stopping = [] { return false; };
  LogRing* agent_log = nullptr;  ///< the agent's own lines as source `_agent`; null: none are kept
};

/// Why an agent could not start.
struct StartFailure {
  ExitCode exit_code = ExitCode::internal;
  std::string reason;
};

/// `ee-agent run` in mode `agent`: registration, heartbeats, tunnel, evidence, local API.
class Agent {
 public:
  /// Takes the directories and the lock, makes the keys, finds the TDX and listens. `config` as `load_config` gave it.
  static std::expected<std::unique_ptr<Agent>, StartFailure> start(AgentConfig config, World world);
  ~Agent();

  /// Works until `stop`, or until the control plane has deleted this agent. Then the last heartbeat (2 s), the end of
  /// cloudflared and of all threads; all within 60 s.
  ExitCode run(const std::stop_token& stop);

  /// Where the local API listens, `http://127.0.0.1:8088`.
  std::string local_url() const;

 private:
  struct Parts;
  explicit Agent(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ee::agent
