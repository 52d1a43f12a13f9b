// The main job with the real programs: a control plane and two agents; what `make run` promises.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/e2e/control_plane_process.h"

namespace ee::testing {
namespace {

std::unique_ptr<ChildProcess> start_agent(const ControlPlaneProcess& control_plane, const TempDir& dir, int number) {
  const std::string n = std::to_string(number);
  const std::filesystem::path data = dir / ("agent-" + n);
  std::filesystem::create_directories(data / "run");
  return std::make_unique<ChildProcess>(
      std::vector<std::string>{program("ee-agent"), "run"},
      std::map<std::string, std::string>{{"EE_AGENT_ENV", "dev"},
                                         {"EE_ALLOW_EMULATED_TDX", "1"},
                                         {"EE_AGENT_CONTROL_PLANE_URL", control_plane.url()},
                                         {"EE_AGENT_VM_NAME", "dev-agent-" + n},
                                         {"EE_AGENT_NODE_SIZE", "tiny"},
                                         {"EE_AGENT_DATACENTER", "baremetal:local"},
                                         {"EE_AGENT_CONTAINER_RUNTIME", "fake"},
                                         {"EE_AGENT_LISTEN", "127.0.1." + n + ":" + std::to_string(free_port())},
                                         {"EE_AGENT_DATA_DIR", data},
                                         {"EE_AGENT_RUN_DIR", data / "run"}},
      dir / ("agent-" + n + ".log"));
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

// covers: S01_EMU_002, S02_AGT_REG_001, S02_AGT_HB_001
TEST(Run, TwoAgentsRegisterHeartbeatAndStopCleanly) {
  ControlPlaneProcess control_plane;
  control_plane.start();
  TempDir dir;
  auto first = start_agent(control_plane, dir, 1);
  auto second = start_agent(control_plane, dir, 2);
  const std::string token = control_plane.sign_in();
  const auto healthy = [&] {
    return count(control_plane.agents(token, "&status=undeployed&health_status=healthy"), R"("vm_name":"dev-agent-)");
  };
  ASSERT_TRUE(eventually([&] { return healthy() == 2; }, 60000)) << first->output() << "\n"
                                                                 << second->output() << "\n"
                                                                 << control_plane.process()->output();
  EXPECT_EQ(count(control_plane.agents(token), R"("evidence_kind")"), 0U) << "not a member of the agent object";

  // A killed agent comes back under its name and its id.
  const std::string before = control_plane.agents(token, "&vm_name=dev-agent-1");
  first->signal(SIGKILL);
  ASSERT_TRUE(first->wait(10000));
  first = start_agent(control_plane, dir, 1);
  const std::string id = before.substr(before.find(R"("id":")") + 6, 36);
  ASSERT_TRUE(eventually(
      [&] {
        const std::string now = control_plane.agents(token, "&vm_name=dev-agent-1&health_status=healthy");
        return count(now, id) == 1 && now.find(before.substr(before.find("registered_at"), 40)) == std::string::npos;
      },
      60000))
      << first->output();

  for (auto* agent : {first.get(), second.get()}) {
    agent->signal(SIGTERM);
    EXPECT_EQ(agent->wait(60000), 0) << agent->output();
  }
  EXPECT_EQ(control_plane.stop(), 0) << control_plane.process()->output();
}

// covers: S01_EMU_001
TEST(Run, EmulationNeedsBothSwitches) {
  ControlPlaneProcess without_switch(std::map<std::string, std::string>{{"EE_ALLOW_EMULATED_TDX", "0"}});
  without_switch.start();  // dev without TDX runs, but takes no emulated evidence
  EXPECT_EQ(without_switch.call("GET", "/api/v1/attestation").status, 503);
  EXPECT_EQ(without_switch.stop(), 0);
}

}  // namespace
}  // namespace ee::testing
