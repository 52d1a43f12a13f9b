#pragma once
#include <expected>
#include <memory>
#include <stop_token>
#include <string>

#include "agent/agent.h"
#include "agent/config.h"

namespace ee::agent {

/// `ee-agent run` in mode `cp-bootstrap`: starts `ee-cp` in this TD and its tunnel, and keeps both running (agent
/// contract, section 18). No registration and no workloads; the local API has only the health.
class ControlPlaneHost {
 public:
  /// Takes the directories, proves what is about to be started in `run_dir/cp-boot-evidence.json`, and listens.
  /// `config` as `load_config` gave it.
  static std::expected<std::unique_ptr<ControlPlaneHost>, StartFailure> start(AgentConfig config, World world);
  ~ControlPlaneHost();

  /// Works until `stop`; then cloudflared is stopped, so that no new request comes, and the control plane after it.
  /// From the thread that lives longest.
  ExitCode run(const std::stop_token& stop);

  /// Where the local API listens.
  std::string local_url() const;

 private:
  struct Parts;
  explicit ControlPlaneHost(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ee::agent
