// Documents that are sent once more, and the routes that follow.
#include <algorithm>

#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

class DocumentsTest : public DeploymentFixture {};

TEST_F(DocumentsTest, AnAgentThatKnowsSomethingNewerIsCountedAndAskedAgain) {
  FakeAgent& agent = agents.add();
  agent.join();
  agent.script.put_status = 412;
  const std::string id = deploy_one();
  const auto counted = [&](int times) {
    const std::string metrics = cp.call("GET", "/metrics", "", {}, "127.0.0.1").body;
    return metrics.find("ee_deployment_stale_reports_total " + std::to_string(times)) != std::string::npos;
  };
  EXPECT_TRUE(counted(0));
  reconcile();
  EXPECT_EQ(state(id), "assigned");
  EXPECT_TRUE(counted(1));
  agent.script = {};
  cp.clock.advance(Seconds(5));
  reconcile();
  EXPECT_EQ(state(id), "deploying");
  EXPECT_TRUE(counted(1));
}

TEST_F(DocumentsTest, TheRoutesAreReadByAJobThatOperatorsSee) {
  EXPECT_NE(cp.admin("GET", "/api/v1/admin/jobs").body.find("\"route_snapshot\""), std::string::npos);
  agents.add().join();
  start(deploy_one());
  run("route_snapshot");
  cp.execute("ALTER TABLE route_epoch RENAME TO away");
  EXPECT_FALSE(cp.app().run_job("route_snapshot"));
  cp.execute("ALTER TABLE away RENAME TO route_epoch");
  EXPECT_TRUE(cp.app().run_job("route_snapshot"));
}

TEST_F(DocumentsTest, AgentsAreToldWhoMayCall) {
  FakeAgent& agent = agents.add();
  agent.join();
  const std::string id = deploy_one(R"("access":"public")");
  start(id);
  EXPECT_EQ(agent.held()->access, agent_api::WorkloadAccess::public_);
  const auto pushes = [&] {
    const auto all = agent.requests();
    return std::ranges::count(all, "PUT /.easyenclave/v1/deployment");
  };
  const auto before = pushes();
  const auto change = [&](const std::string& access) {
    ASSERT_EQ(as(account.key, "PATCH", "/api/v1/services/web", R"({"access":")" + access + "\"}").status, 200);
  };
  change("public");
  reconcile();
  EXPECT_EQ(pushes(), before) << "nothing has changed";
  agent.script.put_status = 422;
  change("account");
  reconcile();
  EXPECT_EQ(pushes(), before + 1);
  EXPECT_EQ(state(id), "running") << "a refusal ends nothing that runs";
  agent.script = {};
  cp.clock.advance(Seconds(60));
  reconcile();
  EXPECT_EQ(agent.held()->access, agent_api::WorkloadAccess::account) << "tried until it has arrived";
  EXPECT_EQ(column<std::int64_t>(id, "document_changed"), 0);
  cp.clock.advance(Seconds(60));
  reconcile();
  EXPECT_EQ(pushes(), before + 2);
  EXPECT_EQ(agent.held()->revision, 1);
  expect_sound();
}

}  // namespace
}  // namespace ee::testing
