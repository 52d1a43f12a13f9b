// What agents fetch and how fast: pull when a push is lost, documents that are not asked for twice, older assignments,
// and a database that was put back.
#include <filesystem>

#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

class AgentPullTest : public DeploymentFixture {
 protected:
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
  static boost::json::value desired(const TestAnswer& beat) { return body_of(beat).at("desired"); }
  /// The control plane is stopped, and goes on with that copy of its database; without one the copy is made.
  void copy_database(const std::string& name, bool back) {
    const auto there = cp.database_path();
    const auto copy = there.parent_path() / name;
    cp.stop();
    std::filesystem::copy_file(back ? copy : there, back ? there : copy,
                               std::filesystem::copy_options::overwrite_existing);
    cp.start();
  }
};

// covers: S02_AGT_HB_005
TEST_F(AgentPullTest, S02_AGT_HB_005_a_lost_push_costs_one_interval) {
  FakeAgent& agent = join();
  const auto told = body_of(agent.beat()).at("heartbeat_interval_seconds").as_int64();
  agent.script.unreachable = true;  // the push is lost on its way
  const std::string id = deploy_one();
  const UtcTime assigned_at = cp.clock.now();
  reconcile();
  ASSERT_EQ(agent.requests().size(), 1U) << "it was tried";
  ASSERT_EQ(state(id), "assigned");
  // The next heartbeat is the one that was due anyway.
  cp.clock.advance(Seconds(told) - Milliseconds(4300) - (cp.clock.now() - assigned_at));
  const auto wanted = desired(agent.beat());
  EXPECT_EQ(text(wanted, "action"), "run");
  EXPECT_EQ(text(wanted, "deployment_id"), id);
  ASSERT_TRUE(agent.pull());
  EXPECT_EQ(agent.held()->deployment_id, id);
  EXPECT_EQ(agent.held()->assignment_epoch, 1);
  EXPECT_LE(cp.clock.now() - assigned_at, Seconds(told));
  ASSERT_EQ(agent.report(Phase::accepted).status, 200);
  EXPECT_EQ(state(id), "deploying") << "no push was needed";
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  expect_sound();
}

// covers: S02_AGT_DS_004
TEST_F(AgentPullTest, S02_AGT_DS_004_what_is_held_is_not_sent_again_and_nothing_is_204) {
  FakeAgent& agent = join();
  const auto get = [&](const std::string& query) {
    return cp.call("GET", "/api/v1/agents/" + agent.id() + "/desired-deployment" + query, "",
                   {{"Authorization", "Bearer " + agent.credential()}});
  };
  EXPECT_EQ(get("").status, 204);
  EXPECT_EQ(get("?epoch=1&revision=1").status, 204) << "what it holds is not wanted";
  const std::string id = deploy_one();
  const TestAnswer whole = get("");
  ASSERT_EQ(whole.status, 200);
  EXPECT_EQ(text(body_of(whole), "deployment_id"), id);
  EXPECT_NE(whole.header("X-EE-Signature"), "");
  const TestAnswer same = get("?epoch=1&revision=1");
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.body, "");
  for (const char* other :
       {"?epoch=1&revision=2", "?epoch=2&revision=1", "?epoch=0&revision=1", "?epoch=1", "?revision=1"})
    EXPECT_EQ(get(other).status, 200) << other;
  for (const char* bad : {"?epoch=-1&revision=1", "?epoch=x&revision=1", "?epoch=99999999999999999999&revision=1"})
    EXPECT_EQ(get(bad).status, 400) << bad;
  start(id);
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 202);
  EXPECT_EQ(get("?epoch=1&revision=1").status, 204) << "it is to stop";
}

// covers: S02_AGT_DS_003
TEST_F(AgentPullTest, S02_AGT_DS_003_a_report_of_an_older_assignment_changes_nothing) {
  FakeAgent& agent = join();
  const std::string first = deploy_one();
  start(first);
  const auto old = *agent.workload(Phase::running);
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + first + "/stop", "{}").status, 202);
  reconcile();
  ASSERT_EQ(state(first), "stopped");
  for (int i = 0; i < 2; ++i) agent.beat();
  const std::string second = deploy_one();
  start(second);
  const auto version = column<std::int64_t>(second, "row_version");
  const TestAnswer refused = agent.status(old);
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.code(), "stale_assignment");
  auto lower = *agent.workload(Phase::failed);
  lower.assignment_epoch -= 1;
  EXPECT_EQ(agent.status(lower).code(), "stale_assignment");
  EXPECT_EQ(state(second), "running");
  EXPECT_EQ(column<std::int64_t>(second, "row_version"), version);
  EXPECT_EQ(state(first), "stopped");
  expect_sound();
}

// covers: S02_AGT_REG_014
TEST_F(AgentPullTest, S02_AGT_REG_014_an_agent_ahead_of_a_restored_backup_converges) {
  EE_SKIP_ON_POSTGRES("its file is copied");
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  copy_database("backup.db", false);
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/upgrade", R"({"env":{"A":"b"}})").status, 202);
  reconcile();
  ASSERT_EQ(agent.held()->revision, 2);
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  ASSERT_EQ(column<std::int64_t>(id, "target_revision"), 2);

  copy_database("backup.db", true);
  ASSERT_EQ(column<std::int64_t>(id, "target_revision"), 1);
  // Within its registration it takes nothing older, so it is made to register: 401, as for any lost credential.
  const TestAnswer ahead = agent.beat();
  EXPECT_EQ(ahead.status, 401) << ahead.body;
  EXPECT_EQ(ahead.code(), "invalid_credential");
  const TestAnswer again = agent.register_agent(true);
  ASSERT_EQ(again.status, 200) << again.body << " the same agent: its credential still names it";
  EXPECT_EQ(agent.held()->revision, 2) << "what runs goes on meanwhile";
  const auto wanted = body_of(again).at("desired");
  EXPECT_EQ(text(wanted, "deployment_id"), id);
  EXPECT_EQ(wanted.at("revision").as_int64(), 1);
  ASSERT_TRUE(agent.pull());
  EXPECT_EQ(agent.held()->revision, 1);
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  const TestAnswer beat = agent.beat();
  EXPECT_EQ(beat.status, 200) << beat.body;
  EXPECT_EQ(desired(beat).at("revision").as_int64(), 1);
  // And it goes on from there.
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/upgrade", R"({"env":{"A":"c"}})").status, 202);
  reconcile();
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(column<std::int64_t>(id, "target_revision"), 2);
  expect_sound();
}

}  // namespace
}  // namespace ee::testing
