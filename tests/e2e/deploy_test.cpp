// What a user does, with the real programs over real sockets and a real container engine: deploy, call, upgrade, stop;
// and both programs killed meanwhile.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>

#include "common/json.h"
#include "tests/e2e/agent_process.h"
#include "tests/e2e/deployer.h"
#include "tests/support/real_engine.h"

namespace ee::testing {
namespace {

class DeployTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto engine = RealEngine::start();
    if (!engine) GTEST_SKIP() << engine.error();
    engine_ = std::move(*engine);
    image_ = engine_->push({.name = "sample"});
    control_plane_.emplace();
    control_plane_->start();
    admin_ = control_plane_->sign_in();
    user_.emplace(*control_plane_);
    agent_.emplace(*control_plane_, 3,
                   std::map<std::string, std::string>{{"EE_AGENT_CONTAINER_RUNTIME", "docker"},
                                                      {"EE_AGENT_CONTAINER_SOCKET", engine_->socket()},
                                                      {"EE_AGENT_ORPHAN_GRACE_SECONDS", "1"}});
    agent_->start();
    ASSERT_TRUE(eventually([&] { return agent("health_status=healthy&status=undeployed").is_object(); }, 60000))
        << logs();
  }
  void TearDown() override {
    if (agent_ && agent_->process()->running()) {
      EXPECT_EQ(agent_->stop(), 0) << agent_->output();
    }
    if (control_plane_) {
      EXPECT_EQ(control_plane_->stop(), 0) << control_plane_->process()->output();
    }
  }

  /// The agent as administrators see it, if it matches; else null.
  boost::json::value agent(const std::string& query) {
    const auto answer =
        control_plane_->call("GET", "/api/v1/agents?" + query, "", {{"Authorization", "Bearer " + admin_}});
    const auto list = json::parse(answer.body);
    if (answer.status != 200 || !list) return nullptr;
    boost::system::error_code error;
    const auto* const first = list->find_pointer("/items/0", error);
    return first != nullptr ? *first : nullptr;
  }

  /// A web server that starts when the service that it needs is healthy, which takes some seconds; `start` runs first.
  std::string compose(const std::string& folder, const std::string& start) const {
    return R"(services:
  store:
    image: )" +
           image_ + R"(
    command: [/bin/sh, -c, "sleep 2; touch /tmp/ready; while true; do sleep 1; done"]
    init: true
    healthcheck: {test: [CMD-SHELL, "test -e /tmp/ready"], interval: 1s, timeout: 2s, retries: 30}
    volumes: ["data:/data"]
  web:
    image: )" +
           image_ + R"(
    command: [/bin/sh, -c, ")" +
           start + "; exec httpd -f -p 80 -h " + folder + R"("]
    init: true
    depends_on: {store: {condition: service_healthy}}
    ports: [")" +
           std::to_string(port_) + R"(:80"]
volumes: {data: {}}
)";
  }
  std::string first_revision() const { return compose("/www", "echo the web server starts"); }

  /// All that the engine has of a kind, less its own.
  boost::json::array engine_list(const std::string& target) const {
    const auto answer = json::parse(engine_->call("GET", target).body);
    return answer && answer->is_array() ? answer->as_array() : boost::json::array{};
  }
  boost::json::array containers() const { return engine_list("/v1.41/containers/json?all=true"); }
  std::size_t networks() const {
    return engine_list(R"(/v1.41/networks?filters=%7B%22type%22%3A%5B%22custom%22%5D%7D)").size();
  }
  std::string volumes() const { return engine_->call("GET", "/v1.41/volumes").body; }
  /// Name and start of each running container, in an order of their own.
  std::map<std::string, std::string> started() const {
    std::map<std::string, std::string> all;
    for (const auto& each : containers()) {
      const auto state = json::parse(engine_->call("GET", "/v1.41/containers/" + text_at(each, "/Id") + "/json").body);
      if (!state || text_at(*state, "/State/Status") == "created") continue;
      all[text_at(each, "/Id")] = text_at(*state, "/State/StartedAt");
    }
    return all;
  }
  std::string logs() {
    return "control plane:\n" + control_plane_->process()->output() + "\nagent:\n" + agent_->output();
  }

  const std::uint16_t port_ = free_port();
  std::unique_ptr<RealEngine> engine_;
  std::string image_;
  std::optional<ControlPlaneProcess> control_plane_;
  std::string admin_;  ///< an administrator's session
  std::optional<Deployer> user_;
  std::optional<AgentProcess> agent_;
};

TEST_F(DeployTest, FromRegisterToDelete) {
  const std::string agent_id = text_at(agent("status=undeployed"), "/id");
  const std::string id = user_->deploy("hello", first_revision(), port_);
  EXPECT_TRUE(eventually([&] { return user_->state(id) == "deploying"; })) << logs();
  ASSERT_TRUE(user_->reaches(id, "running")) << boost::json::serialize(user_->deployment(id)) << logs();
  EXPECT_EQ(text_at(agent("status=deployed"), "/id"), agent_id);
  EXPECT_TRUE(eventually([&] { return user_->visit("hello").body == "hello from the workload\n"; })) << logs();
  EXPECT_EQ(started().size(), 2U);
  const std::string lines = user_->call("GET", "/api/v1/agents/" + agent_id + "/logs").body;
  EXPECT_NE(lines.find("the web server starts"), std::string::npos) << lines;

  // Killed, the agent finds its containers and its deployment again, and nothing is restarted.
  const auto before = started();
  agent_->kill_hard();
  agent_->start();
  const std::string registered = text_at(agent("vm_name=dev-agent-3"), "/last_heartbeat_at");
  ASSERT_TRUE(eventually(
      [&] {
        const auto now = agent("vm_name=dev-agent-3&status=deployed&health_status=healthy");
        return text_at(now, "/last_heartbeat_at") > registered && user_->visit("hello").status == 200;
      },
      60000))
      << logs();
  EXPECT_EQ(user_->state(id), "running") << logs();
  EXPECT_EQ(started(), before) << logs();

  // A second revision.
  const std::string second = compose("/tmp/w", "mkdir /tmp/w; echo second > /tmp/w/index.html");
  (void)user_->need(202, "POST", "/api/v1/deployments/" + id + "/upgrade", Deployer::request(second, port_));
  ASSERT_TRUE(eventually([&] { return user_->visit("hello").body == "second\n"; }, 60000)) << logs();
  ASSERT_TRUE(user_->reaches(id, "running")) << logs();
  EXPECT_EQ(user_->deployment(id).at("revision").to_number<int>(), 2);

  // Stopped, nothing is left.
  (void)user_->need(202, "POST", "/api/v1/deployments/" + id + "/stop", "{}");
  EXPECT_EQ(user_->state(id), "stopping");
  ASSERT_TRUE(user_->reaches(id, "stopped")) << logs();
  EXPECT_EQ(user_->visit("hello").status, 503);
  EXPECT_TRUE(containers().empty()) << boost::json::serialize(containers());
  EXPECT_EQ(networks(), 0U);
  EXPECT_EQ(volumes().find("\"Name\""), std::string::npos) << volumes();
  EXPECT_EQ(text_at(agent("status=undeployed"), "/id"), agent_id);

  // Deleted, it is nobody's any more.
  const auto deleted =
      control_plane_->call("DELETE", "/api/v1/agents/" + agent_id, "", {{"Authorization", "Bearer " + admin_}});
  EXPECT_EQ(deleted.status, 202) << deleted.body;
  EXPECT_TRUE(eventually([&] { return agent("status=undeployed").is_null(); })) << logs();
}

TEST_F(DeployTest, AControlPlaneThatIsKilledMeanwhileConverges) {
  const std::string id = user_->deploy("hello", first_revision(), port_);
  ASSERT_TRUE(eventually([&] { return started().size() == 1; }, 60000)) << logs();
  EXPECT_EQ(user_->state(id), "deploying");
  control_plane_->kill_hard();
  ASSERT_TRUE(eventually([&] { return started().size() == 2; }, 60000)) << "the agent goes on alone\n" << logs();
  const auto before = started();
  control_plane_->start();
  ASSERT_TRUE(user_->reaches(id, "running", 120000)) << boost::json::serialize(user_->deployment(id)) << logs();
  EXPECT_TRUE(eventually([&] { return user_->visit("hello").body == "hello from the workload\n"; })) << logs();
  EXPECT_EQ(started(), before);

  // Killed right after it took the order to stop: it is carried out.
  (void)user_->need(202, "POST", "/api/v1/deployments/" + id + "/stop", "{}");
  control_plane_->kill_hard();
  control_plane_->start();
  ASSERT_TRUE(user_->reaches(id, "stopped", 120000)) << logs();
  EXPECT_TRUE(containers().empty()) << boost::json::serialize(containers());
  EXPECT_EQ(networks(), 0U);
}

}  // namespace
}  // namespace ee::testing
