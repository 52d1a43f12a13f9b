#include "tests/e2e/agent_process.h"

#include <signal.h>

namespace ee::testing {

AgentProcess::AgentProcess(const ControlPlaneProcess& control_plane, int number,
                           std::map<std::string, std::string> environment)
    : name_("dev-agent-" + std::to_string(number)),
      address_("127.0.1." + std::to_string(number)),
      environment_(std::move(environment)) {
  const std::filesystem::path data = dir_ / "agent";
  std::filesystem::create_directories(data / "run");
  std::map<std::string, std::string> defaults = {{"EE_AGENT_ENV", "dev"},
                                                 {"EE_ALLOW_EMULATED_TDX", "1"},
                                                 {"EE_AGENT_CONTROL_PLANE_URL", control_plane.url()},
                                                 {"EE_AGENT_VM_NAME", name_},
                                                 {"EE_AGENT_NODE_SIZE", "tiny"},
                                                 {"EE_AGENT_DATACENTER", "baremetal:local"},
                                                 {"EE_AGENT_CONTAINER_RUNTIME", "fake"},
                                                 {"EE_AGENT_LISTEN", address_ + ":" + std::to_string(free_port())},
                                                 {"EE_AGENT_DATA_DIR", data},
                                                 {"EE_AGENT_RUN_DIR", data / "run"}};
  environment_.merge(defaults);
}

void AgentProcess::start() {
  process_ = std::make_unique<ChildProcess>(std::vector<std::string>{program("ee-agent"), "run"}, environment_,
                                            dir_ / "agent.log");
}

void AgentProcess::kill_hard() {
  process_->signal(SIGKILL);
  process_->wait(10000);
}

std::optional<int> AgentProcess::stop() {
  process_->signal(SIGTERM);
  return process_->wait(60000);
}

}  // namespace ee::testing
