// Documents, reports, losses and stops between the control plane and its agents, with everything that can go wrong.
#include <set>

#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

class DispatchTest : public DeploymentFixture {
 protected:
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
  /// Passes of the loss job, as it needs them before it believes in its own ears; all but `silent` go on beating.
  void pass_time(const std::vector<FakeAgent*>& beating, Seconds time) {
    for (Seconds passed{0}; passed < time; passed += Seconds(30)) {
      cp.clock.advance(Seconds(30) - Milliseconds(2100) * static_cast<std::int64_t>(beating.size()));
      for (FakeAgent* agent : beating) ASSERT_EQ(agent->beat().status, 200);
      run("agent_loss");
    }
  }
};

// covers: S03_DSP_004
TEST_F(DispatchTest, AnAgentThatTakesNothingIsReplacedThreeTimes) {
  for (int i = 0; i < 4; ++i) join().script.unreachable = true;
  const std::string id = deploy_one();
  std::set<std::string> used;
  for (int placement = 1; placement <= 3; ++placement) {
    used.insert(column<std::string>(id, "agent_id"));
    reconcile();
    EXPECT_EQ(state(id), "assigned");
    cp.clock.advance(Seconds(121));
    reconcile();
  }
  EXPECT_EQ(used.size(), 3U);
  EXPECT_EQ(state(id), "stopping");
  EXPECT_EQ(text(get(id), "termination_reason"), "dispatch_failed");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM agents WHERE quarantine_reason='agent_lost'").front(), 2);
  expect_sound();
}

// covers: S03_DSP_005
TEST_F(DispatchTest, TheOldAgentIsToldNothingAndComesBackWhenClean) {
  FakeAgent& first = join();
  FakeAgent& second = join();
  const std::string id = deploy_one();
  FakeAgent& old = agent_of(id);
  FakeAgent& other = &old == &first ? second : first;
  old.script.drop_answer = true;  // it took the document, and nobody knows
  reconcile();
  ASSERT_TRUE(old.held());
  cp.clock.advance(Seconds(121));
  reconcile();
  ASSERT_EQ(column<std::string>(id, "agent_id"), other.id());
  EXPECT_EQ(agent_status(old), "quarantined");
  const TestAnswer stale = old.report(Phase::running);
  EXPECT_EQ(stale.code(), "stale_assignment");
  EXPECT_EQ(text(body_of(stale).at("desired"), "action"), "none");
  EXPECT_EQ(state(id), "deploying") << "a report about an older assignment changes nothing";
  EXPECT_EQ(text(body_of(old.beat()).at("desired"), "action"), "none");
  old.drop();
  old.beat();
  EXPECT_EQ(agent_status(old), "undeployed");
  reconcile();
  EXPECT_EQ(other.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  expect_sound();
}

// covers: S03_DSP_006
TEST_F(DispatchTest, RefusalsAndReportsOutOfOrder) {
  FakeAgent& agent = join();
  for (const int status : {400, 413, 422}) {
    const std::string id = deploy_one();
    agent.script.put_status = status;
    reconcile();
    EXPECT_EQ(state(id), "failed");
    EXPECT_EQ(text(get(id).at("failure"), "code"), "agent_rejected");
    EXPECT_EQ(agent_status(agent), "undeployed") << "nothing was started";
  }
  agent.script.put_status = 0;
  const std::string id = deploy_one();
  reconcile();
  ASSERT_EQ(agent.report(Phase::checking).status, 200);
  EXPECT_EQ(agent.report(Phase::pulling).code(), "invalid_phase");
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  const auto version = column<std::int64_t>(id, "row_version");
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(column<std::int64_t>(id, "row_version"), version) << "the same as last time";
  auto old = *agent.workload(Phase::failed);
  --old.assignment_epoch;
  EXPECT_EQ(agent.status(old).code(), "stale_assignment");
  EXPECT_EQ(state(id), "running");
  expect_sound();
}

TEST_F(DispatchTest, AnAgentThatRefusesIsQuarantinedAndAnotherOneTaken) {
  join();
  join();
  const std::string id = deploy_one();
  FakeAgent& first = agent_of(id);
  first.script.put_status = 409;
  reconcile();
  EXPECT_NE(column<std::string>(id, "agent_id"), first.id());
  EXPECT_EQ(agent_status(first), "quarantined");
  EXPECT_EQ(cp.values<std::string>("SELECT quarantine_reason FROM agents WHERE id=:id", {{"id", first.id()}}).front(),
            "dispatch_refused");
  expect_sound();
}

TEST_F(DispatchTest, WhatMayLieWithTheAgentIsTriedOnOneOther) {
  for (int i = 0; i < 3; ++i) join();
  const std::string id = deploy_one();
  reconcile();
  FakeAgent& first = agent_of(id);
  ASSERT_EQ(first.report(Phase::failed, "image_pull_failed").status, 200);
  EXPECT_EQ(state(id), "assigned");
  FakeAgent& second = agent_of(id);
  EXPECT_NE(second.id(), first.id());
  reconcile();
  ASSERT_EQ(second.report(Phase::failed, "image_pull_failed").status, 200);
  reconcile();
  EXPECT_EQ(state(id), "failed") << "an image that two cannot get is not there";
  EXPECT_EQ(text(get(id).at("failure"), "code"), "image_pull_failed");
  EXPECT_EQ(column<std::int64_t>(id, "placement_attempts"), 2);
  const std::string pinned = deploy_one(R"("agent_name":")" + second.name() + "\"", "pinned");
  reconcile();
  ASSERT_EQ(second.report(Phase::failed, "disk_full").status, 200);
  reconcile();
  EXPECT_EQ(state(pinned), "failed") << "it was to run there";
  expect_sound();
}

// covers: S03_DSP_007
TEST_F(DispatchTest, AfterARebootItIsSentAgainThreeTimes) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  for (int reboot = 1; reboot <= 4; ++reboot) {
    SCOPED_TRACE(reboot);
    agent.drop();
    agent.beat();
    EXPECT_EQ(state(id), "running") << "it may come back by itself";
    cp.clock.advance(Seconds(61));
    reconcile();
    if (reboot == 4) break;
    EXPECT_EQ(state(id), "deploying");
    EXPECT_EQ(open_segments(id), 0);
    EXPECT_EQ(agent_status(agent), "deploying");
    reconcile();
    ASSERT_TRUE(agent.held()) << "the same assignment again";
    EXPECT_EQ(agent.held()->assignment_epoch, 1);
    ASSERT_EQ(agent.report(Phase::running).status, 200);
    EXPECT_EQ(open_segments(id), 1);
    expect_sound();
  }
  EXPECT_EQ(text(get(id), "termination_reason"), "workload_lost");
  expect_sound();
}

// covers: S03_DSP_008, S02_AGT_DS_006
TEST_F(DispatchTest, AnotherDigestThanTheDocumentsEndsIt) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  reconcile();
  const TestAnswer refused = agent.deployed({{"web", "sha256:" + std::string(64, '2')}});
  EXPECT_EQ(refused.code(), "digest_mismatch");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(text(get(id), "termination_reason"), "digest_mismatch");
  reconcile();
  EXPECT_EQ(state(id), "failed");
  const std::string again = deploy_one();
  reconcile();
  EXPECT_EQ(agent.deployed({{"web", kDigest}}).status, 200);
  EXPECT_EQ(state(again), "running");
  expect_sound();
}

// covers: S03_DSP_009
TEST_F(DispatchTest, ALostAgentEndsItOrMovesIt) {
  join();
  const std::string stays = deploy_one("", "stays");
  start(stays);
  FakeAgent& lost = agent_of(stays);
  run("agent_loss");
  pass_time({}, Seconds(240));
  run("agent_loss");
  EXPECT_EQ(state(stays), "terminated");
  EXPECT_EQ(text(get(stays), "termination_reason"), "agent_lost");
  EXPECT_EQ(agent_status(lost), "quarantined");
  const auto last = cp.values<UtcTime>("SELECT to_at FROM deployment_segments").front();
  EXPECT_LT(last, cp.clock.now() - Seconds(180)) << "charged until its last heartbeat";

  FakeAgent& second = join();
  const std::string moves = deploy_one(R"("on_agent_lost":"redeploy")", "moves");
  ASSERT_EQ(column<std::string>(moves, "agent_id"), second.id());
  start(moves);
  FakeAgent& spare = join();
  pass_time({&spare}, Seconds(240));
  EXPECT_EQ(column<std::string>(moves, "agent_id"), spare.id());
  EXPECT_EQ(state(moves), "assigned");
  expect_sound();
}

// covers: S03_DSP_013
TEST_F(DispatchTest, WhenMostFallSilentNobodyIsLostUntilSomebodySaysSo) {
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) {
    join();
    ids.push_back(deploy_one("", "s" + std::to_string(i)));
  }
  run("agent_loss");
  cp.clock.advance(Seconds(50));
  run("agent_loss");
  EXPECT_EQ(state(ids[0]), "assigned") << "nothing is lost right after a start";
  cp::JobSummary last;
  for (int i = 0; i < 8; ++i) {
    cp.clock.advance(Seconds(30));
    last = run("agent_loss");
  }
  EXPECT_EQ(last.notes, std::vector<std::string>{"mass_agent_loss"});
  for (const std::string& id : ids) EXPECT_EQ(state(id), "assigned");
  EXPECT_EQ(as(account.key, "POST", "/api/v1/admin/agents/confirm-loss", "{}").code(), "admin_required");
  ASSERT_EQ(cp.admin("POST", "/api/v1/admin/agents/confirm-loss", "{}").status, 204);
  run("agent_loss");
  for (const std::string& id : ids) EXPECT_EQ(state(id), "terminated");
  expect_sound();
}

// covers: S03_DSP_012
TEST_F(DispatchTest, PushAndPullGiveTheSameDocument) {
  FakeAgent& agent = join();
  deploy_one(R"("secrets":{"A":"x"},"env":{"B":"y"})");
  reconcile();
  auto pushed = agent.held().value();
  const auto secrets = agent.secrets();
  auto pulled = agent.pull().value();
  EXPECT_EQ(agent.secrets(), secrets);
  for (auto* document : {&pushed, &pulled}) {
    document->secrets.reset();
    document->issued_at = {};
  }
  EXPECT_EQ(json::write(pushed), json::write(pulled));
}

// covers: S03_DSP_014
TEST_F(DispatchTest, WhoeverIsNotTheAgentChangesNothing) {
  FakeAgent& agent = join();
  agent.script.anonymous = true;
  agent.script.put_status = 422;
  const std::string id = deploy_one();
  reconcile();
  EXPECT_EQ(state(id), "assigned");
  agent.script = {};
  cp.clock.advance(Seconds(5));
  reconcile();
  EXPECT_EQ(state(id), "deploying");
}

// covers: S03_DSP_003
TEST_F(DispatchTest, WhatACrashLeftUnwrittenIsAskedAndToldAgain) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  agent.script.drop_answer = true;  // its 202 is never stored
  reconcile();
  ASSERT_TRUE(agent.held());
  ASSERT_EQ(state(id), "assigned");
  // The process ended in its call: its lease stays.
  cp.execute("UPDATE deployments SET lease_owner='dead', lease_expires_at=:at, next_action_at=:now",
             {{"at", cp.clock.now() + Seconds(45)}, {"now", cp.clock.now()}});
  cp.stop();
  cp.start();
  agent.script.drop_answer = false;
  reconcile();
  EXPECT_EQ(agent.requests().size(), 1U) << "somebody else may still be at it";
  cp.clock.advance(Seconds(46));
  reconcile();
  EXPECT_EQ(agent.requests().size(), 2U) << "the same document again, which it has";
  EXPECT_EQ(state(id), "deploying");

  agent.become(Phase::running);  // its report got lost
  cp.stop();
  cp.start();
  ASSERT_EQ(agent.beat().status, 200);
  EXPECT_EQ(state(id), "running");
  EXPECT_EQ(agent.held()->assignment_epoch, 1);
  EXPECT_EQ(agent.requests().size(), 2U);
  EXPECT_EQ(open_segments(id), 1);
  expect_sound();
}

// covers: S03_DSP_001
TEST_F(DispatchTest, AfterARestartWhatWasAssignedIsPushedOrPulledAndRunsOnce) {
  join();
  const std::string pushed = deploy_one("", "pushed");
  FakeAgent& first = agent_of(pushed);
  cp.stop();
  cp.start();
  start(pushed);
  reconcile();
  EXPECT_EQ(first.requests().size(), 1U);

  FakeAgent& second = join();
  second.script.unreachable = true;
  const std::string pulled = deploy_one("", "pulled");
  ASSERT_EQ(column<std::string>(pulled, "agent_id"), second.id());
  cp.stop();
  cp.start();
  ASSERT_EQ(text(body_of(second.beat()).at("desired"), "deployment_id"), pulled);
  ASSERT_TRUE(second.pull());
  ASSERT_EQ(second.report(Phase::running).status, 200);
  EXPECT_EQ(state(pulled), "running");
  second.script.unreachable = false;
  cp.clock.advance(Seconds(61));
  reconcile();
  EXPECT_TRUE(second.requests().empty()) << "nothing is sent to an agent that runs it";
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments WHERE state='running'").front(), 2);
  expect_sound();
}

// covers: S03_JOB_002
TEST_F(DispatchTest, RowsThatContradictEachOtherAreMended) {
  FakeAgent& agent = join();
  FakeAgent& other = join();
  EXPECT_FALSE(run("placement_check").did_work()) << "a clean database";
  const std::string id = deploy_one();
  start(id);
  EXPECT_FALSE(run("placement_check").did_work());
  FakeAgent& idle = &agent_of(id) == &agent ? other : agent;
  cp.execute("UPDATE agents SET placement_key='wrong' WHERE id=:id", {{"id", idle.id()}});
  cp.execute("UPDATE deployments SET state='failed', ended_at=1, next_action_at=NULL WHERE id=:id", {{"id", id}});
  const auto mended = run("placement_check");
  EXPECT_EQ(mended.value("slots"), 1);
  EXPECT_EQ(mended.value("agents"), 1);
  EXPECT_EQ(mended.value("keys"), 1);
  EXPECT_EQ(mended.value("segments"), 1);
  EXPECT_EQ(audited("placement_repaired"), 4);
  EXPECT_FALSE(run("placement_check").did_work());
}

TEST_F(DispatchTest, ADeletedAgentEndsItsDeployment) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  EXPECT_EQ(cp.admin("DELETE", "/api/v1/agents/" + agent.id()).code(), "agent_has_deployment");
  ASSERT_EQ(cp.admin("DELETE", "/api/v1/agents/" + agent.id() + "?force=true").status, 202);
  EXPECT_EQ(state(id), "terminated");
  EXPECT_EQ(text(get(id), "termination_reason"), "agent_removed");
  EXPECT_EQ(open_segments(id), 0);
}

}  // namespace
}  // namespace ee::testing
