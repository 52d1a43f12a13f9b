// Deployments when many callers come at once, and what the database itself refuses.
#include <thread>

#include "cp/deployment_fixture.h"
#include "tests/support/test_trigger.h"

namespace ee::testing {
namespace {

class DeploymentRacesTest : public DeploymentFixture {
 protected:
  /// One call of each, all at once.
  static void at_once(const std::vector<std::function<void()>>& calls) {
    std::atomic<bool> go = false;
    std::vector<std::jthread> threads;
    for (const auto& call : calls)
      threads.emplace_back([&] {
        while (!go) std::this_thread::yield();
        call();
      });
    go = true;
  }
};

TEST_F(DeploymentRacesTest, SixtyFourDeploysShareTenAgents) {
  for (int i = 0; i < 10; ++i) agents.add().join();
  std::vector<Made> accounts;  // four, so that none is slowed down by its rate limit
  for (int i = 0; i < 4; ++i) {
    accounts.push_back(make("racer-" + std::to_string(i)));
    fund(accounts.back(), 1'000'000'000);
  }
  std::vector<std::string> outcomes(64);
  std::vector<std::function<void()>> calls;
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    calls.emplace_back([&, i] {
      const TestAnswer answer = as(accounts[i % 4].key, "POST", "/api/v1/deploy", raw("", "s" + std::to_string(i)));
      outcomes[i] = answer.status == 201 ? "placed" : answer.code();
    });
  at_once(calls);
  EXPECT_EQ(std::ranges::count(outcomes, "placed"), 10);
  EXPECT_EQ(std::ranges::count(outcomes, "no_capacity"), 54);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments WHERE slot_held=1").front(), 10);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(DISTINCT agent_id) FROM deployments").front(), 10);
  expect_sound();
}

// covers: S03_ASG_007
TEST_F(DeploymentRacesTest, TheDatabaseHoldsNoSecondDeploymentOfAnAgent) {
  FakeAgent& agent = agents.add();
  agent.join();
  const std::string id = deploy_one();
  const auto insert = [&](const std::string& other, int slot_held) {
    cp.execute(
        "INSERT INTO deployments (id, group_id, account_id, service_id, state, agent_id, slot_held, assignment_epoch,"
        " current_revision, target_revision, auth_method, node_size, datacenter_policy, created_at, updated_at)"
        " SELECT :other, :other, account_id, service_id, 'assigned', agent_id, :held, 2, 1, 1, 'api_key', 'tiny', '{}',"
        " 0, 0 FROM deployments WHERE id=:id",
        {{"other", other}, {"held", slot_held}, {"id", id}});
  };
  EXPECT_ANY_THROW(insert("second", 1));
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 1);
  EXPECT_NO_THROW(insert("second", 0)) << "it is the slot that is refused";
}

// covers: S03_ASG_009
TEST_F(DeploymentRacesTest, OfTwoAtOnceOneGetsTheLastPlaceAndTheLastMoney) {
  for (int i = 0; i < 8; ++i) agents.add().join();
  ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/deploy.max_active_per_account", R"({"value":2})").status, 200);
  const auto both = [&](const Made& who, const std::string& name) {
    std::vector<std::string> outcomes(2);
    std::vector<std::function<void()>> calls;
    for (std::size_t i = 0; i < outcomes.size(); ++i)
      calls.emplace_back([&, i] {
        const TestAnswer answer = as(who.key, "POST", "/api/v1/deploy", raw("", name + std::to_string(i)));
        outcomes[i] = answer.status == 201 ? "placed" : answer.code();
      });
    at_once(calls);
    std::ranges::sort(outcomes);
    return outcomes;
  };
  for (int round = 0; round < 2; ++round) {
    const std::string tag = std::to_string(round);
    account = make("limited-" + tag);
    fund(account, 1'000'000'000);
    deploy_one("", "first-" + tag);  // one below the limit
    EXPECT_EQ(both(account, "l" + tag), (std::vector<std::string>{"deployment_limit", "placed"}));
    const Made poor = make("poor-" + tag);
    fund(poor, 180'000);  // one hour of one
    EXPECT_EQ(both(poor, "p" + tag), (std::vector<std::string>{"insufficient_funds", "placed"}));
  }
  expect_sound();
}

// covers: S03_DEP_007
TEST_F(DeploymentRacesTest, OneKeyManyTimesAtOnceDeploysOnce) {
  for (int i = 0; i < 4; ++i) agents.add().join();
  std::vector<TestAnswer> answers(12);
  std::vector<std::function<void()>> calls;
  for (TestAnswer& answer : answers)
    calls.emplace_back([&] { answer = as(account.key, "POST", "/api/v1/deploy", raw(), {{"Idempotency-Key", "k"}}); });
  at_once(calls);
  int first = 0;
  for (const TestAnswer& answer : answers) {
    EXPECT_EQ(answer.status, 201) << answer.body;
    EXPECT_EQ(answer.body, answers.front().body);
    if (answer.header("Idempotent-Replayed").empty()) ++first;
  }
  EXPECT_EQ(first, 1);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 1);
  const TestAnswer other = as(account.key, "POST", "/api/v1/deploy", raw("", "other"), {{"Idempotency-Key", "k"}});
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(other.code(), "idempotency_key_reused");
  expect_sound();
}

TEST_F(DeploymentRacesTest, OfTwoReplacementsAtOnceOneIsMade) {
  for (int i = 0; i < 4; ++i) agents.add().join();
  const std::string old = deploy_one();
  start(old);
  const std::string path = "/api/v1/deployments/" + old;
  const std::string replace = R"({"env":{"A":"2"},"strategy":"replace"})";
  const auto two = [&](const std::string& url, const std::string& body, std::vector<HttpHeader> headers = {}) {
    cp.clock.advance(Seconds(10));
    std::vector<TestAnswer> answers(2);
    std::vector<std::function<void()>> calls;
    for (TestAnswer& answer : answers)
      calls.emplace_back([&] { answer = as(account.key, "POST", url, body, headers); });
    at_once(calls);
    return answers;
  };
  const auto outcomes = [](const std::vector<TestAnswer>& answers) {
    std::vector<std::string> out;
    for (const TestAnswer& answer : answers) out.push_back(answer.status < 300 ? "made" : answer.code());
    std::ranges::sort(out);
    return out;
  };
  const auto end_successor = [&] {
    const auto made = cp.values<std::string>(
        "SELECT id FROM deployments WHERE replaces_deployment_id=:id AND ended_at IS NULL", {{"id", old}});
    ASSERT_EQ(made.size(), 1U);
    ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + made.front() + "/stop", "{}").status, 202);
    reconcile();
    ASSERT_EQ(state(made.front()), "stopped");
  };
  const std::vector<std::string> one{"made", "update_in_progress"};
  EXPECT_EQ(outcomes(two(path + "/upgrade", replace)), one);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM agents WHERE status='undeployed'").front(), 2);
  // Nor may the old one be changed now: the change would go with it.
  for (const std::string& body : {replace, std::string(R"({"env":{"A":"3"}})")}) {
    const TestAnswer refused = as(account.key, "POST", path + "/upgrade", body);
    EXPECT_EQ(refused.status, 409);
    EXPECT_EQ(refused.code(), "update_in_progress");
  }
  EXPECT_EQ(as(account.key, "POST", path + "/redeploy", "{}").code(), "update_in_progress");
  EXPECT_EQ(as(account.key, "POST", path + "/rollback", "{}").code(), "update_in_progress");
  EXPECT_NE(deploy(raw(R"("dry_run":true,"replaces":")" + old + "\"")).body.find("update_in_progress"),
            std::string::npos);
  end_successor();
  EXPECT_EQ(state(old), "running");

  EXPECT_EQ(outcomes(two("/api/v1/deploy", raw(R"("replaces":")" + old + "\""))), one);
  end_successor();

  const auto repeated = two(path + "/upgrade", replace, {{"Idempotency-Key", "k"}});
  EXPECT_EQ(outcomes(repeated), (std::vector<std::string>{"made", "made"})) << "the same call, twice";
  EXPECT_EQ(repeated[0].body, repeated[1].body);
  end_successor();
  expect_sound();
}

// covers: S03_DSP_002
TEST_F(DeploymentRacesTest, WhatWasNotCommittedNeverWasAndARetryDeploysOnce) {
  for (int i = 0; i < 2; ++i) agents.add().join();
  const auto send = [&] {
    cp.clock.advance(Seconds(2));
    return as(account.key, "POST", "/api/v1/deploy", raw(R"("secrets":{"A":"x"})"), {{"Idempotency-Key", "k"}});
  };
  // The last statement of the transaction fails: as if the process had ended before its COMMIT.
  set_trigger(cp,
              {.name = "crash", .event = "BEFORE INSERT", .table = "idempotency_keys", .when = "", .message = "crash"});
  EXPECT_GE(send().status, 500);
  for (const char* table : {"deployments", "deployment_revisions", "deployment_secrets", "deployment_events",
                            "services", "idempotency_keys"})
    EXPECT_EQ(cp.values<std::int64_t>(std::string("SELECT COUNT(*) FROM ") + table).front(), 0) << table;
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM agents WHERE status='undeployed' AND assignment_epoch=0"
                                    " AND current_deployment_id IS NULL")
                .front(),
            2);
  EXPECT_EQ(audited("deploy_accepted"), 0);
  drop_trigger(cp, "crash", "idempotency_keys");
  cp.stop();
  cp.start();
  const TestAnswer first = send();
  ASSERT_EQ(first.status, 201) << first.body;
  EXPECT_EQ(send().body, first.body);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 1);
  expect_sound();
}

// covers: S04_BILL_FUND_006
TEST_F(DeploymentRacesTest, S04_BILL_FUND_006_StopsThatWereCutShortAreMadeUpFor) {
  std::vector<std::string> ids;
  for (int n = 0; n < 3; ++n) {
    agents.add().join();
    ids.push_back(deploy_one("", "s" + std::to_string(n)));
    start(ids.back());
  }
  fund(account, 0);
  cp.execute("UPDATE account_balances SET billing_state='exhausted' WHERE account_id=:id", {{"id", account.id}});
  // The transaction of the second stop fails: as if the process had ended before its COMMIT.
  set_trigger(cp, {.name = "crash",
                   .event = "BEFORE UPDATE",
                   .table = "deployments",
                   .when = "NEW.state='stopping' AND NEW.id='" + ids[1] + "'",
                   .message = "crash"});
  EXPECT_FALSE(cp.app().run_job("insufficient_funds"));
  EXPECT_EQ(column<std::string>(ids[2], "termination_reason"), "insufficient_funds") << "the newest first";
  EXPECT_EQ(state(ids[1]), "running");
  EXPECT_EQ(open_segments(ids[1]), 1) << "it goes on, and is charged";
  drop_trigger(cp, "crash", "deployments");
  cp.stop();
  cp.start();

  run("insufficient_funds");
  EXPECT_EQ(run("insufficient_funds").value("stops"), 0) << "all are asked";
  for (const std::string& id : ids) {
    EXPECT_EQ(column<std::string>(id, "termination_reason"), "insufficient_funds");
    EXPECT_EQ(open_segments(id), 0);
    EXPECT_EQ(
        cp.values<std::int64_t>(
              "SELECT COUNT(*) FROM deployment_events WHERE deployment_id=:id AND to_state='stopping'", {{"id", id}})
            .front(),
        1)
        << "once";
  }
  reconcile();
  for (const std::string& id : ids) EXPECT_EQ(state(id), "terminated");
  expect_sound();
}

// covers: S03_FSM_103
TEST_F(DeploymentRacesTest, TheFirstOfTwoStopsGivesTheReason) {
  agents.add().join();
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    account = make("payer-" + std::to_string(round));
    fund(account, 1'000'000'000);
    const std::string id = deploy_one("", "s" + std::to_string(round));
    start(id);
    fund(account, 0);
    cp.execute("UPDATE account_balances SET billing_state='exhausted' WHERE account_id=:id", {{"id", account.id}});
    const auto of_funds = [&] { run("insufficient_funds"); };
    const auto of_user = [&] { as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}"); };
    if (round == 0) of_funds();  // so both do stop it when they are alone
    if (round == 1) of_user();
    at_once({of_funds, of_user});
    if (round < 2) EXPECT_EQ(column<std::string>(id, "termination_reason"), round == 0 ? "insufficient_funds" : "user");
    const std::string reason = column<std::string>(id, "termination_reason");
    EXPECT_TRUE(reason == "user" || reason == "insufficient_funds") << reason;
    EXPECT_EQ(column<std::string>(id, "final_state"), reason == "user" ? "stopped" : "terminated");
    of_funds();
    of_user();
    EXPECT_EQ(column<std::string>(id, "termination_reason"), reason) << "the first one stays";
    EXPECT_EQ(
        cp.values<std::int64_t>(
              "SELECT COUNT(*) FROM deployment_events WHERE deployment_id=:id AND to_state='stopping'", {{"id", id}})
            .front(),
        1);
    reconcile();
    EXPECT_EQ(state(id), reason == "user" ? "stopped" : "terminated");
    expect_sound();
  }
}

}  // namespace
}  // namespace ee::testing
