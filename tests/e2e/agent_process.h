#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tests/e2e/control_plane_process.h"

namespace ee::testing {

/// The real ee-agent program with emulated TDX beside a `ControlPlaneProcess`, in directories of its own. Survives
/// being killed: `start` again goes on with the same data and ports.
class AgentProcess {
 public:
  /// Named `dev-agent-<number>`, listening on `127.0.1.<number>`, where its workload's ports are published too.
  /// `environment` goes before the defaults; without it containers are only pretended.
  AgentProcess(const ControlPlaneProcess& control_plane, int number,
               std::map<std::string, std::string> environment = {});

  void start();
  void kill_hard();
  /// SIGTERM; the exit code.
  std::optional<int> stop();

  const std::string& name() const { return name_; }
  /// Of its listener and its workload's ports.
  const std::string& address() const { return address_; }
  std::string url() const { return "http://" + environment_.at("EE_AGENT_LISTEN"); }
  /// Its data; `run` in it is its directory for what does not survive a boot.
  std::filesystem::path folder() const { return dir_ / "agent"; }
  ChildProcess* process() { return process_.get(); }
  std::string output() const { return process_ ? process_->output() : std::string(); }

 private:
  std::string name_;
  std::string address_;
  TempDir dir_;
  std::map<std::string, std::string> environment_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace ee::testing
