// The main job with the real programs: a control plane and two agents; what `make run` promises.
#include <gtest/gtest.h>

#include "tests/e2e/agent_process.h"
#include "tests/e2e/deployer.h"

namespace ee::testing {
namespace {

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

// covers: S01_EMU_002, S02_AGT_REG_001, S02_AGT_HB_001
TEST(Run, TwoAgentsRegisterHeartbeatAndStopCleanly) {
  ControlPlaneProcess control_plane;
  control_plane.start();
  AgentProcess first(control_plane, 1);
  AgentProcess second(control_plane, 2);
  first.start();
  second.start();
  const std::string token = control_plane.sign_in();
  const auto healthy = [&] {
    return count(control_plane.agents(token, "&status=undeployed&health_status=healthy"), R"("vm_name":"dev-agent-)");
  };
  ASSERT_TRUE(eventually([&] { return healthy() == 2; }, 60000)) << first.output() << "\n"
                                                                 << second.output() << "\n"
                                                                 << control_plane.process()->output();
  EXPECT_EQ(count(control_plane.agents(token), R"("evidence_kind")"), 0U) << "not a member of the agent object";

  // A killed agent comes back under its name and its id.
  const std::string before = control_plane.agents(token, "&vm_name=dev-agent-1");
  first.kill_hard();
  first.start();
  const std::string id = before.substr(before.find(R"("id":")") + 6, 36);
  ASSERT_TRUE(eventually(
      [&] {
        const std::string now = control_plane.agents(token, "&vm_name=dev-agent-1&health_status=healthy");
        return count(now, id) == 1 && now.find(before.substr(before.find("registered_at"), 40)) == std::string::npos;
      },
      60000))
      << first.output();

  // The sample: deployed by API key, it answers through the proxy until it is stopped.
  Deployer user(control_plane);
  const std::uint16_t port = free_port();
  const std::string image = "127.0.0.1:5000/hello@sha256:" + std::string(64, 'a');
  const std::string sample = user.deploy(
      "hello", "services: {web: {image: \"" + image + "\", ports: [\"" + std::to_string(port) + ":80\"]}}", port);
  ASSERT_TRUE(user.reaches(sample, "running")) << control_plane.process()->output();
  const std::string page = R"({"service":"web","image":")" + image + "\"}\n";
  EXPECT_TRUE(eventually([&] { return user.visit("hello").body == page; })) << control_plane.process()->output();
  (void)user.need(202, "POST", "/api/v1/deployments/" + sample + "/stop", "{}");
  EXPECT_TRUE(user.reaches(sample, "stopped")) << control_plane.process()->output();
  EXPECT_TRUE(eventually([&] { return user.visit("hello").status == 503; }));

  for (auto* agent : {&first, &second}) EXPECT_EQ(agent->stop(), 0) << agent->output();
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
