// Drains that move what runs, and documents of raw files with tags.
#include "common/crypto.h"
#include "cp/deployment_fixture.h"
#include "cp/service/deployment_assignments.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

class MigrationTest : public DeploymentFixture {
 protected:
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
  void drain(const FakeAgent& agent) {
    const TestAnswer answer =
        cp.admin("POST", "/api/v1/agents/" + agent.id() + "/drain", R"({"reason":"repair","migrate":true})");
    ASSERT_EQ(answer.status, 200) << answer.body;
  }
  std::vector<std::string> replacements(const std::string& id) {
    return cp.values<std::string>("SELECT id FROM deployments WHERE replaces_deployment_id=:id ORDER BY created_at",
                                  {{"id", id}});
  }
  std::int64_t events(const std::string& id, const std::string& kind) {
    return cp
        .values<std::int64_t>("SELECT COUNT(*) FROM deployment_events WHERE deployment_id=:id AND kind=:kind",
                              {{"id", id}, {"kind", kind}})
        .front();
  }
};

TEST_F(MigrationTest, ADrainedAgentsDeploymentMovesWhenThereIsRoom) {
  FakeAgent& drained = join();
  const std::string id = deploy_one(R"("env":{"A":"1"},"secrets":{"S":"kept"},"ttl_seconds":86400)");
  start(id);
  drain(drained);
  run("capacity_waiter");
  EXPECT_EQ(events(id, "migration_waiting"), 1);
  cp.clock.advance(Seconds(61));
  run("capacity_waiter");
  EXPECT_EQ(events(id, "migration_waiting"), 1) << "told once";
  EXPECT_EQ(state(id), "running");

  FakeAgent& other = join();
  run("capacity_waiter");
  EXPECT_TRUE(replacements(id).empty()) << "tried once a minute";
  cp.clock.advance(Seconds(61));
  run("capacity_waiter");
  ASSERT_EQ(replacements(id).size(), 1U);
  const std::string made = replacements(id).front();
  EXPECT_EQ(column<std::string>(made, "agent_id"), other.id());
  EXPECT_EQ(column<std::string>(made, "group_id"), column<std::string>(id, "group_id"));
  EXPECT_EQ(column<std::int64_t>(made, "expires_at"), column<std::int64_t>(id, "expires_at"));
  EXPECT_EQ(events(id, "migration_started"), 1);
  cp.clock.advance(Seconds(61));
  run("capacity_waiter");
  EXPECT_EQ(replacements(id).size(), 1U) << "one at a time";
  start(made);
  EXPECT_EQ(other.held()->env.at("A"), "1");
  EXPECT_NE(other.secrets().find(to_base64(bytes_of(std::string_view("kept")))), std::string::npos);
  EXPECT_EQ(open_segments(id) + open_segments(made), 2);
  cp.clock.advance(Seconds(11));
  run("replace_finisher");
  cp.clock.advance(Seconds(5));
  reconcile();
  EXPECT_EQ(state(id), "stopped");
  EXPECT_EQ(text(get(id), "termination_reason"), "replaced");
  EXPECT_EQ(agent_status(drained), "undeployed");
  EXPECT_EQ(state(made), "running");
  expect_sound();
}

TEST_F(MigrationTest, AnUndrainPinnedOrPoorOneStays) {
  FakeAgent& drained = join();
  const std::string id = deploy_one();
  start(id);
  drain(drained);
  join();
  ASSERT_EQ(cp.admin("POST", "/api/v1/agents/" + drained.id() + "/undrain", "{}").status, 200);
  run("capacity_waiter");
  EXPECT_TRUE(replacements(id).empty()) << "drained no more";
  drain(drained);
  fund(account, 180'000);  // no money for two
  run("capacity_waiter");
  EXPECT_TRUE(replacements(id).empty());
  EXPECT_EQ(events(id, "migration_waiting"), 1);
  EXPECT_EQ(state(id), "running");
  fund(account, 1'000'000'000);
  FakeAgent& third = join();
  const std::string pinned = deploy_one(R"("agent_name":")" + third.name() + "\"", "pinned");
  start(pinned);
  drain(third);
  EXPECT_EQ(events(pinned, "migration_asked"), 0);
  expect_sound();
}

TEST_F(MigrationTest, AStopByItsOwnerEndsWhatTakesItsPlaceToo) {
  FakeAgent& drained = join();
  const std::string id = deploy_one();
  start(id);
  join();
  drain(drained);
  run("capacity_waiter");
  ASSERT_EQ(replacements(id).size(), 1U);
  const std::string made = replacements(id).front();
  start(made);
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 202);
  EXPECT_EQ(state(made), "stopping");
  EXPECT_EQ(open_segments(id) + open_segments(made), 0);
  reconcile();
  EXPECT_EQ(state(id), "stopped");
  EXPECT_EQ(state(made), "stopped");
  expect_sound();
}

TEST_F(MigrationTest, AReplacementThatFailsIsTriedAgainLater) {
  FakeAgent& drained = join();
  const std::string id = deploy_one();
  start(id);
  join();
  drain(drained);
  run("capacity_waiter");
  ASSERT_EQ(replacements(id).size(), 1U);
  const std::string made = replacements(id).front();
  reconcile();
  ASSERT_EQ(agent_of(made).report(Phase::failed, "container_exited").status, 200);
  reconcile();
  EXPECT_EQ(state(made), "failed");
  EXPECT_EQ(state(id), "running");
  cp.clock.advance(Seconds(61));
  run("capacity_waiter");
  ASSERT_EQ(replacements(id).size(), 2U);
  reconcile();
  ASSERT_EQ(agent_of(replacements(id).back()).report(Phase::failed, "container_exited").status, 200);
  reconcile();
  cp.clock.advance(Seconds(61));
  run("capacity_waiter");
  EXPECT_EQ(replacements(id).size(), 2U) << "it waits longer each time";
  cp.clock.advance(Seconds(61));
  run("capacity_waiter");
  EXPECT_EQ(replacements(id).size(), 3U);
  expect_sound();
}

TEST_F(MigrationTest, AContradictionIsAnErrorAndIsMended) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  cp.execute("UPDATE agents SET status='undeployed' WHERE id=:id", {{"id", agent.id()}});
  const auto version = column<std::int64_t>(id, "row_version");
  EXPECT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 500);
  EXPECT_EQ(column<std::int64_t>(id, "row_version"), version) << "nothing happened";
  EXPECT_EQ(open_segments(id), 1);
  EXPECT_EQ(run("placement_check").value("holders"), 1);
  EXPECT_EQ(state(id), "terminated");
  EXPECT_EQ(open_segments(id), 0);
  EXPECT_EQ(agent_status(agent), "quarantined") << "until it says that nothing runs";
  EXPECT_FALSE(run("placement_check").did_work());
  agent.drop();
  agent.beat();
  EXPECT_EQ(agent_status(agent), "undeployed");

  const std::string next = deploy_one();
  cp.execute("UPDATE agents SET current_deployment_id=NULL WHERE id=:id", {{"id", agent.id()}});
  reconcile();
  EXPECT_EQ(run("placement_check").value("holders"), 1);
  EXPECT_EQ(state(next), "terminated");
  expect_sound();
}

TEST_F(MigrationTest, DocumentsOfDroppedRevisionsStayKnown) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  const std::string first =
      to_hex(sha256(bytes_of(cp.values<std::string>("SELECT resolved_compose FROM deployment_revisions").front())));
  const std::string path = "/api/v1/deployments/" + id + "/upgrade";
  const std::string other = R"(services:\n  web:\n    image: nginx@)" + std::string(kDigest) +
                            R"(\n    ports: [\"8080:8080\"]\n    user: \"7\"\n)";
  for (int i = 0; i < 51; ++i) {
    cp.clock.advance(Seconds(5));
    ASSERT_EQ(
        as(account.key, "POST", path, R"({"compose":")" + other + R"(","env":{"A":")" + std::to_string(i) + "\"}}")
            .status,
        202);
    reconcile();
    ASSERT_EQ(agent.report(Phase::running).status, 200);
  }
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployment_revisions WHERE revision=1").front(), 0);
  const auto known = [&](const std::string& hash) {
    return cp.app()
        .database()
        .read<bool>([&](db::Transaction& tx) {
          return cp::DeploymentAssignments().was_assigned(tx, AgentId(agent.id()), id, hash);
        })
        .value();
  };
  EXPECT_TRUE(known(first));
  EXPECT_TRUE(known(agent.held()->compose_sha256));
  EXPECT_FALSE(known(std::string(64, '0')));
}

TEST_F(MigrationTest, RefusalsAreAuditedAndCounted) {
  join();
  EXPECT_EQ(deploy(raw(R"("what":1)")).code(), "invalid_request");
  EXPECT_EQ(audited("deploy_refused"), 0) << "what cannot be read says nothing";
  fund(account, 0);
  EXPECT_EQ(deploy(raw()).code(), "insufficient_funds");
  EXPECT_EQ(audited("deploy_refused"), 1);
  EXPECT_EQ(
      cp.values<std::string>("SELECT object_id||' '||reason_code FROM audit_log WHERE action='deploy_refused'").front(),
      account.id + " insufficient_funds");
  fund(account, 1'000'000'000);
  start(deploy_one());
  const std::string metrics = cp.call("GET", "/metrics", "", {}, "127.0.0.1").body;
  for (const char* line :
       {"ee_deploy_requests_total{code=\"insufficient_funds\",result=\"refused\"} 1",
        "ee_deploy_requests_total{code=\"ok\",result=\"accepted\"} 1", "ee_deployments{state=\"running\"}",
        "ee_deploy_claim_seconds_count 2", "ee_deploy_to_running_seconds_count 1", "ee_reconciler_lag_seconds 0"})
    EXPECT_NE(metrics.find(line), std::string::npos) << line;
}

}  // namespace
}  // namespace ee::testing
