// `ee-agent` in mode cp-bootstrap with the real programs: it starts ee-cp and its tunnel, restarts what crashes, and
// ends both in order.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "common/json.h"
#include "tests/e2e/control_plane_process.h"
#include "tests/e2e/deployer.h"
#include "tests/standins/cloudflare/cloudflare.h"

namespace ee::testing {
namespace {

class BootstrapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cloudflare_.start();
    const auto& ids = cloudflare_.fake().config();
    const auto script = cloudflare_.write_cloudflared(dir_.path(), program("tests/standin-cloudflared"), cp_url_);
    const std::string cp_env =
        R"({"EE_BIND":"127.0.0.1:)" + std::to_string(cp_port_) +
        R"(","EE_ALLOW_EMULATED_TDX":"1","EE_CLUSTER_ID":"dev","EE_PUBLIC_URL":"https://cp.dev.example.com",)" +
        R"("CLOUDFLARE_ACCOUNT_ID":")" + ids.account_id + R"(","CLOUDFLARE_ZONE_ID":")" + ids.zone_id +
        R"(","CLOUDFLARE_API_TOKEN":")" + ids.api_token + R"(","CLOUDFLARE_DOMAIN":"dev.example.com",)" +
        R"("EE_CLOUDFLARE_API_URL":")" + cloudflare_.api_url() + "\"}";
    environment_ = {
        {"EE_AGENT_MODE", "cp-bootstrap"},     {"EE_AGENT_ENV", "dev"},
        {"EE_ALLOW_EMULATED_TDX", "1"},        {"EE_AGENT_LISTEN", "127.0.1.8:" + std::to_string(port_)},
        {"EE_AGENT_DATA_DIR", dir_ / "agent"}, {"EE_AGENT_RUN_DIR", dir_ / "run"},
        {"EE_AGENT_CP_DATA_DIR", dir_ / "cp"}, {"EE_AGENT_CP_COMMAND", "[\"" + program("ee-cp") + "\",\"serve\"]"},
        {"EE_AGENT_CP_ENV", cp_env},           {"EE_AGENT_CLOUDFLARED_PATH", script}};
  }
  ChildProcess start() { return ChildProcess({program("ee-agent"), "run"}, environment_, dir_ / "agent.log"); }
  int status_of(const std::string& url) {
    const auto answer = http_.send({.url = url});
    return answer ? answer->status : 0;
  }
  std::string health() {
    const auto answer = http_.send({.url = "http://127.0.1.8:" + std::to_string(port_) + "/.easyenclave/v1/health"});
    return answer ? answer->body : "";
  }
  bool is_ok() {
    return eventually([&] { return health().find(R"("status":"ok")") != std::string::npos; }, 60000);
  }
  bool tunnel_connected() {
    return eventually(
        [&] {
          const auto tunnels = cloudflare_.fake().live_tunnels();
          return tunnels.size() == 1 && tunnels.front().connections > 0;
        },
        60000);
  }
  /// The process that listens there: a child of the agent.
  static std::optional<pid_t> child_of(pid_t parent, const std::string& name) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::ifstream file(entry.path() / "stat");
      std::string pid, comm, state;
      pid_t above = 0;
      if (file >> pid >> comm >> state >> above && above == parent && comm == "(" + name + ")") return std::stoi(pid);
    }
    return std::nullopt;
  }

  const std::uint16_t port_ = free_port();
  const std::uint16_t cp_port_ = free_port();
  const std::string cp_url_ = "http://127.0.0.1:" + std::to_string(cp_port_);
  TempDir dir_;
  standins::CloudflareStandIn cloudflare_;
  net::CurlHttpClient http_;
  std::map<std::string, std::string> environment_;
};

// covers: S02_EEA_CP_001
TEST_F(BootstrapTest, S02_EEA_CP_001_a_control_plane_comes_up_behind_its_tunnel) {
  auto agent = start();
  ASSERT_TRUE(is_ok()) << agent.output();
  EXPECT_EQ(status_of(cp_url_ + "/ready"), 200);
  ASSERT_TRUE(tunnel_connected()) << agent.output();
  EXPECT_EQ(cloudflare_.fake().live_tunnels().front().name, "ee-dev-control-plane");
  ASSERT_EQ(cloudflare_.fake().records().size(), 1U);
  EXPECT_EQ(cloudflare_.fake().records().front().name, "cp.dev.example.com");
  const auto through = http_.send({.url = cloudflare_.url() + "/health", .headers = {{"Host", "cp.dev.example.com"}}});
  ASSERT_TRUE(through);
  EXPECT_EQ(through->status, 200) << through->body;
  EXPECT_TRUE(std::filesystem::exists(dir_ / "cp/easyenclave.db"));
  EXPECT_TRUE(std::filesystem::exists(dir_ / "run/cp-boot-evidence.json"));
  EXPECT_EQ(agent.output().find(cloudflare_.fake().config().api_token), std::string::npos) << "secrets are not logged";

  // The control plane is killed: it comes back, on the same data, and the tunnel is not touched.
  const auto first = child_of(agent.pid(), "ee-cp");
  ASSERT_TRUE(first) << agent.output();
  ::kill(*first, SIGKILL);
  EXPECT_TRUE(eventually([&] { return health().find("degraded") != std::string::npos; })) << agent.output();
  ASSERT_TRUE(is_ok()) << agent.output();
  EXPECT_EQ(status_of(cp_url_ + "/ready"), 200);
  EXPECT_TRUE(tunnel_connected());

  agent.signal(SIGTERM);
  EXPECT_EQ(agent.wait(60000), 0) << agent.output();
  EXPECT_EQ(status_of(cp_url_ + "/ready"), 0) << "nothing is left";
  EXPECT_EQ(cloudflare_.fake().live_tunnels().front().connections, 0);
}

// covers: S02_EEA_CP_003
TEST_F(BootstrapTest, S02_EEA_CP_003_nothing_outlives_a_killed_agent) {
  auto agent = start();
  ASSERT_TRUE(is_ok()) << agent.output();
  agent.signal(SIGKILL);
  EXPECT_EQ(agent.wait(10000), 128 + SIGKILL);
  EXPECT_TRUE(eventually([&] { return status_of(cp_url_ + "/ready") == 0; }));
}

// covers: S02_EEA_CP_002
TEST_F(BootstrapTest, S02_EEA_CP_002_an_image_by_tag_is_refused_at_once) {
  environment_.erase("EE_AGENT_CP_COMMAND");
  environment_["EE_AGENT_CP_IMAGE"] = "ghcr.io/acme/ee-cp:1.2";
  auto agent = start();
  EXPECT_EQ(agent.wait(20000), 2) << agent.output();
  EXPECT_NE(agent.output().find("sha256"), std::string::npos) << agent.output();
}

// covers: S02_EEA_CP_004
TEST_F(BootstrapTest, S02_EEA_CP_004_it_serves_without_its_tunnel_and_gets_it_later) {
  cloudflare_.fake().inject({.path_contains = "cfd_tunnel", .times = 3, .status = 403, .code = 10000});
  auto agent = start();
  ASSERT_TRUE(eventually([&] { return status_of(cp_url_ + "/ready") == 200; }, 60000)) << agent.output();
  ASSERT_TRUE(tunnel_connected()) << agent.output();
  EXPECT_TRUE(is_ok()) << agent.output();
  agent.signal(SIGTERM);
  EXPECT_EQ(agent.wait(60000), 0) << agent.output();
}

}  // namespace
}  // namespace ee::testing
