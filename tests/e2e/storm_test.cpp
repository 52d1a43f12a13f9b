// More deploys at once than there is room for, through the real control plane; and the same while it is killed.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "common/json.h"
#include "tests/e2e/agent_process.h"
#include "tests/e2e/deployer.h"

namespace ee::testing {
namespace {

constexpr int kAgents = 10;
constexpr int kClients = 64;
constexpr int kAccounts = 8;  // an account may ask thirty times a minute
constexpr int kPatienceMs = 120'000;

class StormTest : public ::testing::Test {
 protected:
  void SetUp() override {
    control_plane_.start();
    admin_ = control_plane_.sign_in();
    for (int i = 0; i < kAccounts; ++i)
      users_.push_back(std::make_unique<Deployer>(control_plane_, "storm-" + std::to_string(i), admin_));
    for (int i = 0; i < kAgents; ++i) {
      agents_.push_back(std::make_unique<AgentProcess>(control_plane_, i + 1));
      agents_.back()->start();
    }
    ASSERT_TRUE(
        eventually([&] { return agents("health_status=healthy&status=undeployed").size() == kAgents; }, kPatienceMs))
        << control_plane_.process()->output();
  }
  void TearDown() override {
    for (const auto& agent : agents_) EXPECT_EQ(agent->stop(), 0) << agent->output();
    EXPECT_EQ(control_plane_.stop(), 0) << control_plane_.process()->output();
  }

  boost::json::array list(const std::string& path) {
    const auto found = json::parse(control_plane_.call("GET", path, "", {{"Authorization", "Bearer " + admin_}}).body);
    return found && found->is_object() && found->as_object().contains("items") ? found->at("items").as_array()
                                                                               : boost::json::array{};
  }
  boost::json::array agents(const std::string& query) { return list("/api/v1/agents?limit=200&" + query); }

  /// All clients at once, each under a key of its own; the answers.
  std::vector<HttpClientResponse> storm(const std::string& name) {
    std::vector<HttpClientResponse> answers(kClients);
    std::vector<std::jthread> clients;
    const std::uint16_t port = free_port();
    const std::string image = "127.0.0.1:5000/storm@sha256:" + std::string(64, 'a');
    const std::string compose =
        "services: {web: {image: \"" + image + "\", ports: [\"" + std::to_string(port) + ":80\"]}}";
    clients.reserve(kClients);
    for (int i = 0; i < kClients; ++i)
      clients.emplace_back([&, i] {
        const std::string id = name + "-" + std::to_string(i);
        answers.at(static_cast<std::size_t>(i)) =
            users_.at(static_cast<std::size_t>(i % kAccounts))
                ->insist("POST", "/api/v1/deploy",
                         Deployer::request(compose, port, R"(,"access":"public","service":")" + id + R"(")"), id);
      });
    clients.clear();  // joins
    return answers;
  }

  /// Each agent was given exactly once, whoever got none was told why, and everything that was accepted runs.
  void expect_each_agent_once(const std::vector<HttpClientResponse>& answers) {
    std::set<std::string> given;
    std::size_t placed = 0;
    for (const auto& answer : answers) {
      const auto body = json::parse(answer.body);
      ASSERT_TRUE(body) << answer.status << " " << answer.body;
      if (answer.status == 201) {
        ++placed;
        given.insert(text_at(*body, "/deployments/0/agent/id"));
        accepted_.insert(text_at(*body, "/deployments/0/id"));
        continue;
      }
      EXPECT_EQ(answer.status, 409) << answer.body;
      EXPECT_EQ(text_at(*body, "/code"), "no_capacity") << answer.body;
      const std::string reasons = R"("reasons":{"agent_status_not_deployable":)" + std::to_string(kAgents) + "}";
      EXPECT_NE(answer.body.find(reasons), std::string::npos) << answer.body;
    }
    EXPECT_EQ(placed, kAgents);
    EXPECT_EQ(given.size(), kAgents) << "an agent was given twice";
    EXPECT_TRUE(
        eventually([&] { return list("/api/v1/deployments?state=running&limit=200").size() == kAgents; }, kPatienceMs))
        << control_plane_.process()->output();
    std::set<std::string> running;
    for (const auto& each : list("/api/v1/deployments?state=running&limit=200")) running.insert(text_at(each, "/id"));
    EXPECT_EQ(running, accepted_);
    EXPECT_EQ(list("/api/v1/deployments?limit=200").size(), ended_.size() + kAgents) << "nothing was made beside them";
    std::set<std::string> held;
    for (const auto& each : agents("status=deployed")) held.insert(text_at(each, "/current_deployment_id"));
    EXPECT_EQ(held, accepted_);
  }
  void stop_all() {
    for (const std::string& id : accepted_)
      (void)control_plane_.call("POST", "/api/v1/deployments/" + id + "/stop", "{}",
                                {{"Authorization", "Bearer " + admin_}});
    EXPECT_TRUE(eventually([&] { return agents("status=undeployed").size() == kAgents; }, kPatienceMs))
        << control_plane_.process()->output();
    ended_.merge(accepted_);
    accepted_.clear();
  }

  ControlPlaneProcess control_plane_;
  std::string admin_;
  std::vector<std::unique_ptr<Deployer>> users_;
  std::vector<std::unique_ptr<AgentProcess>> agents_;
  std::set<std::string> accepted_;
  std::set<std::string> ended_;
};

// covers: S03_DSP_001..002
TEST_F(StormTest, SixtyFourDeploysGetTenAgentsOnceEach) {
  expect_each_agent_once(storm("calm"));
  stop_all();

  // The same, killed again and again meanwhile; whoever got no answer asks again under the same key.
  std::atomic<bool> over = false;
  std::jthread killer([&] {
    std::mt19937 random(20260102);
    for (int i = 0; i < 3 && !over; ++i) {
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(10 + random() % 80);
      while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
      control_plane_.kill_hard();
      control_plane_.start();
    }
  });
  const auto answers = storm("killed");
  over = true;
  killer.join();
  expect_each_agent_once(answers);
  stop_all();
}

}  // namespace
}  // namespace ee::testing
