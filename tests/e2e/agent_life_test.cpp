// The whole life of an agent with the real programs: tunnel, deployment, logs, undeploy, delete. Cloudflare and the
// container engine are stand-ins, so it runs everywhere.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>

#include "common/json.h"
#include "tests/e2e/agent_process.h"
#include "tests/e2e/deployer.h"
#include "tests/standins/cloudflare/cloudflare.h"

namespace ee::testing {
namespace {

class AgentLifeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cloudflare_.start();
    const auto& ids = cloudflare_.fake().config();
    control_plane_.emplace(std::map<std::string, std::string>{{"CLOUDFLARE_ACCOUNT_ID", ids.account_id},
                                                              {"CLOUDFLARE_ZONE_ID", ids.zone_id},
                                                              {"CLOUDFLARE_API_TOKEN", ids.api_token},
                                                              {"CLOUDFLARE_DOMAIN", "dev.example.com"},
                                                              {"EE_CLOUDFLARE_API_URL", cloudflare_.api_url()}});
    control_plane_->start();
    admin_ = control_plane_->sign_in();
    user_.emplace(*control_plane_);
    const auto script = cloudflare_.write_cloudflared(dir_.path(), program("tests/standin-cloudflared"));
    agent_.emplace(*control_plane_, 9,
                   std::map<std::string, std::string>{{"EE_AGENT_CLOUDFLARED_PATH", script},
                                                      {"EE_AGENT_DATA_DIR", dir_ / "agent"},
                                                      {"EE_AGENT_RUN_DIR", dir_ / "agent/run"}});
    agent_->start();
  }
  void TearDown() override {
    if (agent_ && agent_->process()->running()) (void)agent_->stop();
    if (control_plane_) {
      EXPECT_EQ(control_plane_->stop(), 0) << control_plane_->process()->output();
    }
  }
  /// The agent as administrators see it; null when there is none.
  boost::json::value agent() {
    const auto answer =
        control_plane_->call("GET", "/api/v1/agents?vm_name=dev-agent-9", "", {{"Authorization", "Bearer " + admin_}});
    const auto list = json::parse(answer.body);
    boost::system::error_code error;
    const auto* const first = list ? list->find_pointer("/items/0", error) : nullptr;
    return first != nullptr ? *first : nullptr;
  }
  bool agent_is(const std::string& pointer, const std::string& value) {
    return eventually([&] { return text_at(agent(), pointer) == value; }, 60000);
  }
  std::string logs() {
    return "control plane:\n" + control_plane_->process()->output() + "\nagent:\n" + agent_->output();
  }
  std::string compose() const {
    return "services:\n  web:\n    image: registry.example.com/hello@sha256:" + std::string(64, '1') +
           "\n    ports: [\"" + std::to_string(port_) + ":80\"]\n";
  }

  const std::uint16_t port_ = free_port();
  TempDir dir_;
  standins::CloudflareStandIn cloudflare_;
  std::optional<ControlPlaneProcess> control_plane_;
  std::string admin_;
  std::optional<Deployer> user_;
  std::optional<AgentProcess> agent_;
};

// covers: S02_EEA_E2E_001
TEST_F(AgentLifeTest, S02_EEA_E2E_001_from_register_to_delete) {
  // Registers, beats, gets its tunnel.
  ASSERT_TRUE(agent_is("/status", "undeployed")) << logs();
  ASSERT_TRUE(agent_is("/health_status", "healthy")) << logs();
  ASSERT_TRUE(agent_is("/tunnel_state", "ready")) << logs();
  const std::string agent_id = text_at(agent(), "/id");
  EXPECT_TRUE(eventually(
      [&] {
        const auto tunnels = cloudflare_.fake().live_tunnels();
        return tunnels.size() == 1 && tunnels.front().connections > 0;
      },
      60000))
      << "its cloudflared connects\n"
      << logs();
  EXPECT_EQ(cloudflare_.fake().records().size(), 1U);

  // Deploy, call, read the log.
  const std::string id = user_->deploy("hello", compose(), port_);
  ASSERT_TRUE(user_->reaches(id, "running")) << boost::json::serialize(user_->deployment(id)) << logs();
  EXPECT_TRUE(agent_is("/status", "deployed"));
  EXPECT_TRUE(eventually([&] { return user_->visit("hello").status == 200; })) << logs();
  const auto lines = user_->call("GET", "/api/v1/agents/" + agent_id + "/logs");
  EXPECT_EQ(lines.status, 200) << lines.body;

  // Undeploy: by whom the agent belongs to, here the administrator.
  const auto undeployed = control_plane_->call("POST", "/api/v1/agents/" + agent_id + "/undeploy",
                                               R"({"reason":"enough"})", {{"Authorization", "Bearer " + admin_}});
  EXPECT_EQ(undeployed.status, 202) << undeployed.body;
  ASSERT_TRUE(user_->reaches(id, "terminated")) << boost::json::serialize(user_->deployment(id)) << logs();
  EXPECT_TRUE(agent_is("/status", "undeployed"));
  net::CurlHttpClient http;
  EXPECT_FALSE(http.send({.url = "http://" + agent_->address() + ":" + std::to_string(port_) + "/"}))
      << "nothing answers for the workload any more";

  // Every state, in order, without a gap.
  const auto events = json::parse(user_->call("GET", "/api/v1/deployments/" + id + "/events").body);
  ASSERT_TRUE(events);
  std::vector<std::string> states;
  for (const auto& event : events->at("items").as_array()) {
    const std::string to = text_at(event, "/to_state");
    if (!to.empty() && (states.empty() || states.back() != to)) states.push_back(to);
  }
  EXPECT_EQ(states, (std::vector<std::string>{"assigned", "deploying", "running", "stopping", "terminated"}))
      << boost::json::serialize(*events);

  // Delete: the agent hears it, forgets everything and ends with the code for it; Cloudflare is as it was before.
  const auto deleted =
      control_plane_->call("DELETE", "/api/v1/agents/" + agent_id, "", {{"Authorization", "Bearer " + admin_}});
  EXPECT_EQ(deleted.status, 202) << deleted.body;
  EXPECT_EQ(agent_->process()->wait(60000), 10) << logs();
  EXPECT_FALSE(std::filesystem::exists(dir_ / "agent/state.json"));
  EXPECT_TRUE(eventually(
      [&] { return cloudflare_.fake().live_tunnels().empty() && cloudflare_.fake().records().empty(); }, 60000))
      << cloudflare_.fake().dump_json();
  EXPECT_TRUE(eventually([&] { return agent().is_null(); }, 60000)) << boost::json::serialize(agent());
}

}  // namespace
}  // namespace ee::testing
