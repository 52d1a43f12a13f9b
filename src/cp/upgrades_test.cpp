// Upgrades, rollbacks and replacements, with what can interrupt them.
#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

class UpgradesTest : public DeploymentFixture {
 protected:
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
};

// covers: S03_UPG_001
TEST_F(UpgradesTest, AnUpgradeRunsOrGoesBackByItself) {
  FakeAgent& agent = join();
  const std::string id = deploy_one(R"("env":{"A":"1"},"secrets":{"S":"keep"})");
  start(id);
  const std::string path = "/api/v1/deployments/" + id;
  const TestAnswer upgraded = as(account.key, "POST", path + "/upgrade", R"({"env":{"A":"2"}})");
  ASSERT_EQ(upgraded.status, 202) << upgraded.body;
  EXPECT_EQ(state(id), "updating");
  EXPECT_EQ(open_segments(id), 1) << "billed all the time";
  reconcile();
  EXPECT_EQ(agent.held()->revision, 2);
  EXPECT_EQ(agent.held()->env.at("A"), "2");
  EXPECT_NE(agent.secrets().find(to_base64(bytes_of("keep"))), std::string::npos);
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  EXPECT_EQ(get(id).at("revision").as_int64(), 2);

  ASSERT_EQ(as(account.key, "POST", path + "/upgrade", R"({"env":{"A":"3"}})").status, 202);
  reconcile();
  ASSERT_EQ(agent.report(Phase::failed, "container_exited").status, 200);
  EXPECT_EQ(state(id), "updating") << "the automatic rollback";
  reconcile();
  EXPECT_EQ(agent.held()->revision, 4);
  EXPECT_EQ(agent.held()->env.at("A"), "2");
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  EXPECT_NE(as(account.key, "GET", path + "/events").body.find("upgrade_failed"), std::string::npos);

  ASSERT_EQ(as(account.key, "POST", path + "/upgrade", R"({"env":{"A":"4"}})").status, 202);
  reconcile();
  ASSERT_EQ(agent.report(Phase::failed, "container_exited").status, 200);
  reconcile();
  ASSERT_EQ(agent.report(Phase::failed, "container_exited").status, 200);
  reconcile();
  EXPECT_EQ(state(id), "failed");
  EXPECT_EQ(text(get(id).at("failure"), "code"), "rollback_failed");
  expect_sound();
}

// covers: S03_UPG_002
TEST_F(UpgradesTest, AnUpgradeThatDoesNotFitIsRefused) {
  join();
  const std::string id = deploy_one();
  const std::string path = "/api/v1/deployments/" + id;
  const std::string change = R"({"env":{"A":"2"}})";
  EXPECT_EQ(as(account.key, "POST", path + "/upgrade", change).code(), "not_running");
  start(id);
  EXPECT_EQ(as(account.key, "POST", path + "/upgrade", "{}").code(), "invalid_request");
  EXPECT_EQ(as(account.key, "POST", path + "/upgrade", R"({"version":"2"})").code(), "upgrade_changes_app");
  EXPECT_EQ(as(account.key, "POST", path + "/upgrade", change, {{"If-Match", "\"0\""}}).code(), "version_mismatch");
  ASSERT_EQ(as(account.key, "POST", path + "/upgrade", change).status, 202);
  EXPECT_EQ(as(account.key, "POST", path + "/upgrade", change).code(), "update_in_progress");
}

// covers: S03_UPG_004
TEST_F(UpgradesTest, ARollbackGoesToTheLastGoodRevisionOrToANumber) {
  FakeAgent& agent = join();
  const std::string id = deploy_one(R"("env":{"A":"1"})");
  start(id);
  const std::string path = "/api/v1/deployments/" + id;
  EXPECT_EQ(as(account.key, "POST", path + "/rollback", "{}").code(), "invalid_request") << "there is none";
  ASSERT_EQ(as(account.key, "POST", path + "/upgrade", R"({"env":{"A":"2"}})").status, 202);
  reconcile();
  agent.report(Phase::running);
  ASSERT_EQ(as(account.key, "POST", path + "/rollback", "{}").status, 202);
  reconcile();
  EXPECT_EQ(agent.held()->env.at("A"), "1");
  EXPECT_EQ(agent.held()->revision, 3);
  agent.report(Phase::running);
  ASSERT_EQ(as(account.key, "POST", path + "/rollback", R"({"revision":2})").status, 202);
  reconcile();
  EXPECT_EQ(agent.held()->env.at("A"), "2");
  const auto revisions = body_of(as(account.key, "GET", path + "/revisions")).at("items").as_array();
  EXPECT_EQ(revisions.size(), 4U);
}

TEST_F(UpgradesTest, PhasesOfAnUpgradeAreTakenAsTheyCome) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  const std::string path = "/api/v1/deployments/" + id;
  const auto phases = [&](const std::string& value) {
    SCOPED_TRACE(value);
    ASSERT_EQ(as(account.key, "POST", path + "/upgrade", R"({"env":{"A":")" + value + R"("}})").status, 202);
    EXPECT_TRUE(get(id).at("progress").is_null()) << "the old revision's phase is none of this one";
    reconcile();
    for (const auto& [phase, name] : {std::pair(Phase::accepted, "accepted"), std::pair(Phase::pulling, "pulling"),
                                      std::pair(Phase::starting, "starting"), std::pair(Phase::checking, "checking")}) {
      const TestAnswer told = agent.report(phase);
      ASSERT_EQ(told.status, 200) << told.body;
      EXPECT_EQ(state(id), "updating");
      EXPECT_EQ(text(get(id).at("progress"), "phase"), name);
    }
    EXPECT_EQ(agent.report(Phase::pulling).code(), "invalid_phase") << "back within one revision";
  };
  phases("2");
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  phases("3");
  ASSERT_EQ(agent.report(Phase::failed, "container_exited").status, 200);
  reconcile();
  for (const Phase phase : {Phase::pulling, Phase::checking, Phase::running})
    ASSERT_EQ(agent.report(phase).status, 200) << "those of the automatic rollback";
  EXPECT_EQ(state(id), "running");
  expect_sound();
}

TEST_F(UpgradesTest, AnAgentThatBeginsAnewInAnUpgradeIsNotRefused) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  const auto begins_anew = [&] {
    agent.drop();
    ASSERT_EQ(agent.beat().status, 200);
    ASSERT_TRUE(agent.pull());
    for (const Phase phase : {Phase::accepted, Phase::pulling}) {
      const TestAnswer told = agent.report(phase);
      EXPECT_EQ(told.status, 200) << told.body;
    }
  };
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/upgrade", R"({"env":{"A":"1"}})").status, 202);
  reconcile();
  ASSERT_EQ(agent.report(Phase::checking).status, 200);
  begins_anew();
  EXPECT_EQ(state(id), "updating");
  cp.clock.advance(Seconds(61));
  reconcile();
  EXPECT_EQ(state(id), "deploying") << "neither revision runs: it is not billed";
  EXPECT_EQ(open_segments(id), 0);
  ASSERT_EQ(agent.report(Phase::checking).status, 200);
  begins_anew();
  EXPECT_EQ(text(get(id).at("progress"), "phase"), "pulling");
  cp.clock.advance(Seconds(61));
  reconcile();
  EXPECT_EQ(column<std::int64_t>(id, "reboots"), 1) << "it is being started: that ended the grace";
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  begins_anew();
  EXPECT_EQ(state(id), "running") << "left to the grace";
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  cp.clock.advance(Seconds(61));
  reconcile();
  EXPECT_EQ(state(id), "running");
  EXPECT_EQ(open_segments(id), 1);
  expect_sound();
}

TEST_F(UpgradesTest, WhatStillRunsInAnUpgradeIsRoutedWhileItIsHealthy) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  auto old = *agent.workload(Phase::running);
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/upgrade", R"({"env":{"A":"1"}})").status, 202);
  const auto due = column<std::int64_t>(id, "next_action_at");
  const auto epoch = cp.values<std::int64_t>("SELECT epoch FROM route_epoch").front();
  old.health = agent_api::WorkloadHealth::unhealthy;
  ASSERT_EQ(agent.status(old).status, 200);
  EXPECT_EQ(text(get(id), "health"), "unhealthy");
  EXPECT_GT(cp.values<std::int64_t>("SELECT epoch FROM route_epoch").front(), epoch);
  EXPECT_EQ(column<std::int64_t>(id, "next_action_at"), due) << "the push is still due";
  reconcile();
  EXPECT_EQ(agent.held()->revision, 2);
  ASSERT_EQ(agent.report(Phase::pulling).status, 200) << "the old one's phase is not the new one's";
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(text(get(id), "health"), "healthy");
  expect_sound();
}

// covers: S03_UPG_003
TEST_F(UpgradesTest, AReplacementTakesOverWhenItIsHealthy) {
  FakeAgent& first = join();
  FakeAgent& second = join();
  const std::string old = deploy_one(R"("ttl_seconds":3600)");
  start(old);
  FakeAgent& before = agent_of(old);
  const TestAnswer answer =
      as(account.key, "POST", "/api/v1/deployments/" + old + "/upgrade", R"({"env":{"A":"2"},"strategy":"replace"})");
  ASSERT_EQ(answer.status, 202) << answer.body;
  const std::string made = text(body_of(answer).at("deployments").at(0), "id");
  EXPECT_LE(std::abs(column<std::int64_t>(made, "expires_at") - column<std::int64_t>(old, "expires_at")), 1000);
  start(made);
  run("replace_finisher");
  EXPECT_EQ(state(old), "running");
  cp.clock.advance(Seconds(9));
  run("replace_finisher");
  EXPECT_EQ(state(old), "running") << "not ten seconds yet";
  cp.clock.advance(Seconds(2));
  const auto epoch = cp.values<std::int64_t>("SELECT epoch FROM route_epoch").front();
  run("replace_finisher");
  EXPECT_EQ(state(old), "stopping");
  EXPECT_GT(cp.values<std::int64_t>("SELECT epoch FROM route_epoch").front(), epoch) << "out of the routes";
  reconcile();
  EXPECT_TRUE(before.held()) << "routes of other replicas may still lead there";
  EXPECT_EQ(text(body_of(before.beat()).at("desired"), "action"), "keep");
  cp.clock.advance(Seconds(5));
  reconcile();
  EXPECT_EQ(state(old), "stopped");
  EXPECT_FALSE(before.held());
  EXPECT_EQ(text(get(old), "termination_reason"), "replaced");
  EXPECT_EQ(state(made), "running");
  EXPECT_NE(first.id(), second.id());
  expect_sound();
}

// covers: S03_UPG_003
TEST_F(UpgradesTest, AReplacementThatFailsLeavesTheOldOneAlone) {
  join();
  join();
  const std::string old = deploy_one();
  start(old);
  const auto untouched = [&] {
    EXPECT_EQ(state(old), "running");
    EXPECT_EQ(open_segments(old), 1);
    EXPECT_EQ(get(old).at("revision").as_int64(), 1);
  };
  const TestAnswer answer =
      as(account.key, "POST", "/api/v1/deployments/" + old + "/upgrade", R"({"env":{"A":"2"},"strategy":"replace"})");
  ASSERT_EQ(answer.status, 202) << answer.body;
  const std::string made = text(body_of(answer).at("deployments").at(0), "id");
  reconcile();
  ASSERT_EQ(agent_of(made).report(Phase::failed, "container_exited").status, 200);
  reconcile();
  EXPECT_EQ(state(made), "failed");
  cp.clock.advance(Seconds(60));
  run("replace_finisher");
  untouched();

  const TestAnswer again =
      as(account.key, "POST", "/api/v1/deployments/" + old + "/upgrade", R"({"env":{"A":"3"},"strategy":"replace"})");
  ASSERT_EQ(again.status, 202) << again.body;
  const std::string sick = text(body_of(again).at("deployments").at(0), "id");
  start(sick);
  agent_of(sick).workload_health = agent_api::WorkloadHealth::unhealthy;
  ASSERT_EQ(agent_of(sick).report(Phase::running).status, 200);
  cp.clock.advance(Seconds(60));
  run("replace_finisher");
  untouched();
  expect_sound();
}

// covers: S03_UPG_005
TEST_F(UpgradesTest, ACrashAtAnyStepOfAnUpgradeLeavesOneRevisionRunning) {
  FakeAgent& agent = join();
  const std::string id = deploy_one(R"("env":{"A":"0"})");
  start(id);
  const auto crash = [&] {
    cp.stop();
    cp.start();
  };
  const auto runs = [&](const std::string& value) {
    EXPECT_EQ(state(id), "running");
    ASSERT_TRUE(agent.held());
    EXPECT_EQ(agent.held()->env.at("A"), value);
    EXPECT_EQ(agent.held()->assignment_epoch, 1) << "one agent, one assignment";
    EXPECT_EQ(agent.held()->revision, get(id).at("revision").as_int64()) << "what runs is what is believed to run";
    EXPECT_EQ(column<std::int64_t>(id, "target_revision"), column<std::int64_t>(id, "current_revision"));
    EXPECT_EQ(open_segments(id), 1);
    EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployment_revisions WHERE outcome='active'").front(), 1);
    expect_sound();
  };
  const auto upgrade = [&](const std::string& value) {
    const TestAnswer answer =
        as(account.key, "POST", "/api/v1/deployments/" + id + "/upgrade", R"({"env":{"A":")" + value + R"("}})");
    ASSERT_EQ(answer.status, 202) << answer.body;
  };

  upgrade("1");
  crash();  // after the COMMIT, before the push
  EXPECT_EQ(state(id), "updating");
  reconcile();
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  runs("1");

  upgrade("2");
  agent.script.drop_answer = true;  // the agent took it, its 202 is never stored
  reconcile();
  crash();
  agent.script.drop_answer = false;
  cp.clock.advance(Seconds(46));
  reconcile();
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  runs("2");

  upgrade("3");
  reconcile();
  agent.become(Phase::running);  // its report is lost
  crash();
  EXPECT_EQ(state(id), "updating");
  ASSERT_EQ(agent.beat().status, 200);
  runs("3");

  upgrade("4");
  reconcile();
  ASSERT_EQ(agent.report(Phase::failed, "container_exited").status, 200);
  crash();  // rolled back in the database, not yet told to the agent
  EXPECT_EQ(state(id), "updating");
  reconcile();
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  runs("3");

  upgrade("5");
  reconcile();
  ASSERT_EQ(agent.report(Phase::failed, "container_exited").status, 200);
  reconcile();
  agent.become(Phase::running);  // the rollback runs, and nobody was told
  crash();
  ASSERT_EQ(agent.beat().status, 200);
  runs("3");
}

// covers: S03_UPG_005
TEST_F(UpgradesTest, AnAgentThatGoesAwayInAnUpgradeComesBackToOneRevision) {
  FakeAgent& agent = join();
  const std::string id = deploy_one(R"("env":{"A":"0"})");
  start(id);
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/upgrade", R"({"env":{"A":"1"}})").status, 202);
  reconcile();
  agent.drop();  // it died with the new revision half made
  ASSERT_EQ(agent.beat().status, 200);
  cp.clock.advance(Seconds(61));
  reconcile();
  EXPECT_EQ(state(id), "deploying");
  reconcile();
  ASSERT_TRUE(agent.held());
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  EXPECT_EQ(agent.held()->revision, get(id).at("revision").as_int64());
  EXPECT_EQ(column<std::int64_t>(id, "target_revision"), column<std::int64_t>(id, "current_revision"));
  expect_sound();
}

}  // namespace
}  // namespace ee::testing
