// Stops: in every state, confirmed or not, by whoever may ask.
#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

class StopsTest : public DeploymentFixture {
 protected:
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
  std::string stop_path(const std::string& id) { return "/api/v1/deployments/" + id + "/stop"; }
};

// covers: S03_FSM_102
TEST_F(StopsTest, AStopThatNobodyConfirmsEndsAfterItsTime) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  agent.script.unreachable = true;
  ASSERT_EQ(as(account.key, "POST", stop_path(id), "{}").status, 202);
  reconcile();
  EXPECT_EQ(state(id), "stopping");
  cp.clock.advance(Seconds(601));
  reconcile();
  EXPECT_EQ(state(id), "stopped");
  EXPECT_EQ(agent_status(agent), "quarantined") << "nothing is placed there until it is empty";
  agent.drop();
  agent.beat();
  EXPECT_EQ(agent_status(agent), "undeployed");
  expect_sound();
}

// covers: S03_FSM_101
TEST_F(StopsTest, AStopWorksInEveryStateAndTwice) {
  join();
  const std::vector<std::string> wanted = {"pending", "assigned", "deploying", "running", "updating"};
  for (const std::string& at : wanted) {
    SCOPED_TRACE(at);
    if (at == "pending") {
      agents.at(0).healthy = false;
      for (int i = 0; i < 4; ++i) agents.at(0).beat();
    }
    const std::string id = deploy_one(R"("wait_for_capacity_seconds":600)");
    if (at == "deploying") reconcile();
    if (at == "running" || at == "updating") start(id);
    if (at == "updating")
      ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/redeploy", "{}").status, 202);
    ASSERT_EQ(state(id), at);
    EXPECT_EQ(as(account.key, "POST", stop_path(id), "{}").status, 202);
    EXPECT_EQ(open_segments(id), 0);
    EXPECT_EQ(as(account.key, "POST", stop_path(id), "{}").status, 200);
    reconcile();
    EXPECT_EQ(state(id), "stopped");
    EXPECT_EQ(as(account.key, "POST", stop_path(id), "{}").status, 200);
    if (at == "pending") {
      agents.at(0).healthy = true;
      for (int i = 0; i < 4; ++i) agents.at(0).beat();
    }
    expect_sound();
  }
}

TEST_F(StopsTest, TheFirstReasonStays) {
  join();
  const std::string id = deploy_one();
  start(id);
  ASSERT_EQ(as(account.key, "POST", stop_path(id), "{}").status, 202);
  cp.execute("UPDATE deployments SET expires_at=1 WHERE id=:id", {{"id", id}});
  run("ttl_expiry");
  reconcile();
  EXPECT_EQ(state(id), "stopped");
  EXPECT_EQ(text(get(id), "termination_reason"), "user");
}

TEST_F(StopsTest, AnUndeployByTheOperatorEndsItAsTerminated) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  ASSERT_EQ(cp.admin("POST", "/api/v1/agents/" + agent.id() + "/undeploy", R"({"reason":"x"})").status, 202);
  reconcile();
  EXPECT_EQ(state(id), "terminated");
  EXPECT_EQ(text(get(id), "termination_reason"), "admin");
  EXPECT_EQ(agent_status(agent), "undeployed");
  expect_sound();
}

}  // namespace
}  // namespace ee::testing
