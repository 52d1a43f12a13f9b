// Agents with deployments: who may see them, what a registration finds, what a failed attestation ends.
#include "common/crypto.h"
#include "cp/deployment_fixture.h"
#include "cp/service/deployment_assignments.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

class DeploymentAgentsTest : public DeploymentFixture {
 protected:
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
  std::int64_t route_epoch() { return cp.values<std::int64_t>("SELECT epoch FROM route_epoch").front(); }
  bool was_assigned(const FakeAgent& agent, const std::string& id, const std::string& compose_sha256) {
    return cp.app()
        .database()
        .read<bool>([&](db::Transaction& tx) {
          return cp::DeploymentAssignments().was_assigned(tx, AgentId(agent.id()), id, compose_sha256);
        })
        .value();
  }
};

// covers: S01_API_005
TEST_F(DeploymentAgentsTest, AnAccountSeesTheEvidenceOfTheAgentThatItRunsOn) {
  FakeAgent& agent = join();
  const std::string path = "/api/v1/agents/" + agent.id() + "/attestation";
  const Made stranger = make("stranger");
  EXPECT_EQ(as(account.key, "GET", path).code(), "agent_not_found");
  const std::string id = deploy_one();
  const TestAnswer shown = as(account.key, "GET", path);
  EXPECT_EQ(shown.status, 200) << shown.body;
  EXPECT_EQ(shown.body, cp.admin("GET", path).body);
  EXPECT_EQ(as(stranger.key, "GET", path).code(), "agent_not_found");
  start(id);
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 202);
  reconcile();
  EXPECT_EQ(as(account.key, "GET", path).code(), "agent_not_found") << "only while it runs there";
}

TEST_F(DeploymentAgentsTest, WhatAnAgentWasEverGivenIsKnown) {
  FakeAgent& first = join();
  FakeAgent& second = join();
  first.script.put_status = second.script.put_status = 409;
  const std::string id = deploy_one();
  FakeAgent& refusing = agent_of(id);
  FakeAgent& next = &refusing == &first ? second : first;
  next.script.put_status = 0;
  const std::string document = cp.values<std::string>("SELECT resolved_compose FROM deployment_revisions").front();
  const std::string hash = to_hex(sha256(bytes_of(document)));
  EXPECT_TRUE(was_assigned(refusing, id, hash));
  EXPECT_FALSE(was_assigned(next, id, hash)) << "not yet";
  reconcile();
  ASSERT_EQ(column<std::string>(id, "agent_id"), next.id());
  reconcile();
  ASSERT_TRUE(next.held());
  EXPECT_EQ(next.held()->compose_sha256, hash) << "what the agent measures";
  EXPECT_TRUE(was_assigned(next, id, hash));
  EXPECT_TRUE(was_assigned(refusing, id, hash)) << "it moved, and the first agent may have measured it";
  EXPECT_FALSE(was_assigned(next, id, std::string(64, '0')));
  EXPECT_FALSE(was_assigned(next, "0190a000-0000-7000-8000-000000000009", hash));
}

// covers: S02_OWN_007
TEST_F(DeploymentAgentsTest, TheTenantReadsItsLinesAndTheOperatorDoesNot) {
  FakeAgent& agent = join();
  const Made owner = make("owner", "agent");
  cp.execute("UPDATE agents SET account_id=:account WHERE id=:id", {{"account", owner.id}, {"id", agent.id()}});
  agent.script.logs = R"({"at":"2026-01-01T00:00:00.000Z","container":"web","stream":"stdout","line":"one"})"
                      "\n"
                      R"({"end":true,"dropped":0})"
                      "\n";
  const std::string path = "/api/v1/agents/" + agent.id();
  EXPECT_EQ(as(account.key, "GET", path + "/logs").code(), "agent_not_found") << "it runs nothing of theirs";
  start(deploy_one());
  const TestAnswer lines = as(account.key, "GET", path + "/logs");
  ASSERT_EQ(lines.status, 200) << lines.body;
  EXPECT_EQ(text(body_of(lines).at("items").at(0), "line"), "one");
  EXPECT_EQ(as(owner.key, "GET", path + "/logs").code(), "agent_not_found");
  const TestAnswer denied = as(owner.key, "POST", path + "/console-access", R"({"scopes":["logs"]})");
  EXPECT_EQ(denied.code(), "scope_not_allowed") << denied.body;
  const TestAnswer console = as(account.key, "POST", path + "/console-access", R"({"scopes":["logs"]})");
  EXPECT_EQ(console.status, 201) << console.body;
}

TEST_F(DeploymentAgentsTest, TheOwnerReadsTheLinesOfADeploymentAndTheEndOfOneThatFailed) {
  FakeAgent& agent = join();
  const Made other = make("other");
  const std::string id = deploy_one();
  start(id);
  agent.script.logs = R"({"at":"2026-01-01T00:00:00.000Z","container":"web","stream":"stdout","line":"one"})"
                      "\n"
                      R"({"end":true,"dropped":2})"
                      "\n";
  const std::string path = "/api/v1/deployments/" + id + "/logs";
  const TestAnswer lines = as(account.key, "GET", path + "?tail=5");
  ASSERT_EQ(lines.status, 200) << lines.body;
  EXPECT_EQ(lines.body, R"({"items":[{"at":"2026-01-01T00:00:00.000Z","agent_id":")" + agent.id() +
                            R"(","deployment_id":")" + id +
                            R"(","container":"web","stream":"stdout","line":"one","truncated":false}],)"
                            R"("truncated":false,"dropped":2,"errors":[]})");
  EXPECT_EQ(as(other.key, "GET", path).code(), "deployment_not_found");
  EXPECT_EQ(as(account.key, "GET", path + "?tail=0").code(), "invalid_request");
  agent.script.unreachable = true;
  EXPECT_EQ(as(account.key, "GET", path).code(), "agent_unreachable");
  agent.script.unreachable = false;

  ASSERT_EQ(agent.report(agent_api::WorkloadPhase::failed, "container_exited").status, 200);
  reconcile();
  ASSERT_EQ(state(id), "failed");
  EXPECT_EQ(as(account.key, "GET", path).status, 410) << "nothing was kept";
  cp.execute("UPDATE deployments SET log_tail=:tail WHERE id=:id",
             {{"tail", to_base64(bytes_of(std::string_view("web: it: broke\nweb: bye\n")))}, {"id", id}});
  const auto kept = body_of(as(account.key, "GET", path));
  ASSERT_EQ(kept.at("items").as_array().size(), 2U);
  EXPECT_EQ(text(kept.at("items").at(0), "line"), "it: broke");
  EXPECT_EQ(text(kept.at("items").at(0), "container"), "web");
  EXPECT_TRUE(kept.at("truncated").as_bool());
  EXPECT_EQ(as(other.key, "GET", path).code(), "deployment_not_found");
}

TEST_F(DeploymentAgentsTest, ARegistrationAnswersWhatItsReportMadeOfTheAgent) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  agent.script.unreachable = true;
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 202);
  reconcile();
  ASSERT_EQ(agent_status(agent), "undeploying");
  agent.reboot();
  agent.script.unreachable = false;
  const TestAnswer again = agent.register_agent();
  ASSERT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(state(id), "stopped") << "nothing runs there any more";
  EXPECT_EQ(text(body_of(again), "status"), "undeployed");
  EXPECT_EQ(text(body_of(again).at("desired"), "action"), "none");
  for (int i = 0; i < 3; ++i) ASSERT_EQ(agent.beat().status, 200);
  const std::string next = deploy_one();
  EXPECT_EQ(text(body_of(agent.beat()).at("desired"), "deployment_id"), next);
  expect_sound();
}

TEST_F(DeploymentAgentsTest, AnAgentRegistersAgainWhileItRuns) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  reconcile();
  ASSERT_EQ(state(id), "deploying");
  agent.become(Phase::running);  // and nobody was told
  const TestAnswer again = agent.register_agent(true);
  ASSERT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(text(body_of(again), "status"), "deployed") << "as the report made it";
  EXPECT_EQ(text(body_of(again).at("desired"), "action"), "run");
  EXPECT_EQ(text(body_of(again).at("desired"), "deployment_id"), id);
  EXPECT_EQ(state(id), "running");
  const auto version = column<std::int64_t>(id, "row_version");
  ASSERT_EQ(agent.register_agent(true).status, 200);
  EXPECT_EQ(state(id), "running") << "nothing changes for what goes on";
  EXPECT_EQ(column<std::int64_t>(id, "row_version"), version);
  EXPECT_EQ(agent_status(agent), "deployed");
  EXPECT_EQ(open_segments(id), 1);
  const auto beat = body_of(agent.beat());
  EXPECT_EQ(text(beat.at("desired"), "action"), "run");
  EXPECT_EQ(agent.requests().size(), 1U) << "not sent again";
  expect_sound();
}

// covers: S02_AGT_REG_013
TEST_F(DeploymentAgentsTest, ADatabaseThatLostEverythingGivesTheWorkloadTime) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  const std::string before = agent.id();
  for (const char* table : {"deployment_events", "deployment_revisions", "deployment_segments", "deployments",
                            "agent_live", "agent_control_credentials", "agent_evidence", "agents"})
    cp.execute(std::string("DELETE FROM ") + table);
  cp.stop();
  cp.start();
  EXPECT_EQ(agent.beat().status, 401) << "its credential is unknown";
  const TestAnswer anew = agent.register_agent(true);
  ASSERT_EQ(anew.status, 201) << anew.body;
  EXPECT_NE(agent.id(), before);
  EXPECT_EQ(text(body_of(anew).at("desired"), "action"), "none");
  EXPECT_EQ(body_of(anew).at("desired").at("grace_seconds").as_int64(), 600);
  const auto beat = body_of(agent.beat());
  EXPECT_EQ(text(beat.at("desired"), "action"), "none");
  EXPECT_EQ(beat.at("desired").at("grace_seconds").as_int64(), 600);
  agent.drop();  // the time is over
  const auto clean = body_of(agent.beat());
  EXPECT_EQ(clean.at("desired").at("grace_seconds").as_int64(), 0);
}

// covers: S03_DSP_010
TEST_F(DeploymentAgentsTest, AFailedAttestationEndsRoutingAtOnce) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  run("attestation_sweeper");
  const auto before = route_epoch();
  ASSERT_EQ(
      cp.admin("PUT", "/api/v1/admin/settings/attestation.allowed_tcb_statuses", R"({"value":["OutOfDate"]})").status,
      200);
  EXPECT_EQ(run("attestation_sweeper").value("quarantined"), 1);
  EXPECT_GT(route_epoch(), before) << "routes are read anew by whoever polls this row";
  EXPECT_EQ(agent_status(agent), "quarantined");
  EXPECT_EQ(state(id), "terminated");
  EXPECT_EQ(text(get(id), "termination_reason"), "attestation_lost");
  EXPECT_EQ(open_segments(id), 0);
  expect_sound();
}

TEST_F(DeploymentAgentsTest, CallersHearOfANewServiceAtOnce) {
  join();
  const auto before = route_epoch();
  (void)deploy_one("", "fresh");
  EXPECT_GT(route_epoch(), before) << "there is no backend yet, but there is the service";
}

TEST_F(DeploymentAgentsTest, AFailedAttestationMovesWhatMayMove) {
  FakeAgent& agent = join();
  const std::string id = deploy_one(R"("on_agent_lost":"redeploy","wait_for_capacity_seconds":600)");
  start(id);
  run("attestation_sweeper");
  const auto before = route_epoch();
  ASSERT_EQ(
      cp.admin("PUT", "/api/v1/admin/settings/attestation.allowed_tcb_statuses", R"({"value":["OutOfDate"]})").status,
      200);
  EXPECT_EQ(run("attestation_sweeper").value("quarantined"), 1);
  EXPECT_GT(route_epoch(), before);
  EXPECT_EQ(agent_status(agent), "quarantined");
  EXPECT_EQ(state(id), "pending") << "nobody else is free";
  expect_sound();
}

}  // namespace
}  // namespace ee::testing
