// Money from one end to the other, through the HTTP API: a deposit at Stripe, a deployment, its hours on the test's
// clock, the statement, the end of the funds, the end of the deployment.
#include <boost/json.hpp>
#include <set>

#include "tests/support/fake_agent.h"
#include "tests/support/stripe_fixture.h"

namespace ee::testing {
namespace {

class MoneyEndToEnd : public StripeFixture {
 protected:
  MoneyEndToEnd()
      : StripeFixture({{"EE_CLOUDFLARE_TUNNEL_MODE", "none"}, {"EE_SECRETS_KEY", to_base64(ByteArray<32>{1, 2, 3})}}),
        agents(cp()) {
    cp().http.set_answer([this](const HttpClientRequest& request) {
      return request.url.starts_with(stripe.url()) ? outside_.send(request) : agents.answer(request);
    });
    deployer_ = make_key(kAccount, R"(["deploy","read"])");
  }
  TestAnswer as_deployer(const std::string& method, const std::string& path, const std::string& body = "") {
    return cp().call(method, path, body, {{"Authorization", "Bearer " + deployer_}});
  }
  boost::json::value read(const std::string& path) {
    const TestAnswer answer = as_deployer("GET", path);
    EXPECT_EQ(answer.status, 200) << path << answer.body;
    return boost::json::parse(answer.body);
  }
  std::string state_of(const std::string& deployment) {
    return std::string(read("/api/v1/deployments/" + deployment).at("state").as_string());
  }
  boost::json::value balance_view() { return read("/api/v1/accounts/" + kAccount + "/balance"); }
  void run(const std::string& job) {
    const auto done = cp().app().run_job(job);
    ASSERT_TRUE(done) << job << ": " << done.error().detail;
  }

  FakeAgents agents;

 private:
  net::CurlHttpClient outside_;
  std::string deployer_;
};

// covers: S04_E2E_BILL_001
TEST_F(MoneyEndToEnd, ADepositPaysForHoursUntilItIsUsedUpAndTheDeploymentEnds) {
  FakeAgent& agent = agents.add();
  agent.join();
  const std::string request = R"({"service":"web","compose":"services:\n  web:\n    image: nginx@sha256:)" +
                              std::string(64, '1') + R"(\n    ports: [\"8080:8080\"]\n"})";
  EXPECT_EQ(as_deployer("POST", "/api/v1/deploy", request).code(), "insufficient_funds");

  paid_deposit("5.00");
  EXPECT_EQ(balance(), 5'000'000);
  const TestAnswer deployed = as_deployer("POST", "/api/v1/deploy", request);
  ASSERT_EQ(deployed.status, 201) << deployed.body;
  const boost::json::value first = boost::json::parse(deployed.body).at("deployments").at(0);
  const std::string id(first.at("id").as_string());
  EXPECT_EQ(first.at("hourly_price").as_string(), "0.180000");
  std::set<std::string> states{state_of(id)};
  run("deployment_reconciler");
  states.insert(state_of(id));
  ASSERT_EQ(agent.report(agent_api::WorkloadPhase::running).status, 200);
  states.insert(state_of(id));

  // To the next full hour, then one whole hour; both are charged once they are closed.
  const auto to_hour = [&] {
    const UtcTime now = cp().clock.now();
    advance(std::chrono::ceil<std::chrono::hours>(now + Milliseconds(1)) - now);
  };
  to_hour();
  const std::int64_t before = balance();
  run("hourly_charging");
  EXPECT_EQ(balance(), before) << "an hour is charged when it has settled";
  advance(Seconds(600));
  run("hourly_charging");
  const std::int64_t after_part = balance();
  EXPECT_LT(after_part, 5'000'000);
  to_hour();
  advance(Seconds(600));
  run("hourly_charging");
  EXPECT_EQ(balance(), after_part - 180'000) << "a whole hour to the micro-dollar";
  run("hourly_charging");
  EXPECT_EQ(balance(), after_part - 180'000) << "and once";

  const std::string month = to_rfc3339(cp().clock.now()).substr(0, 7);
  const boost::json::value statement = read("/api/v1/accounts/" + kAccount + "/statements/" + month);
  EXPECT_EQ(statement.at("totals").at("deposit").as_string(), "5.000000");
  EXPECT_EQ(statement.at("closing_balance").as_string(), to_usd_text({balance()}));
  EXPECT_GE(statement.at("lines").as_array().size(), 3U);

  // The funds end; there is a warning, a time of grace, then the deployment is stopped.
  std::set<std::string> billing_states;
  for (int hour = 0; hour < 48 && state_of(id) == "running"; ++hour) {
    advance(Seconds(3600));
    agent.beat();
    run("hourly_charging");
    run("insufficient_funds");
    billing_states.insert(std::string(balance_view().at("billing_state").as_string()));
  }
  EXPECT_EQ(state_of(id), "stopping");
  states.insert("stopping");
  EXPECT_LE(balance(), 0);
  EXPECT_GT(balance(), -1'000'000) << "what the time of grace costs, and no more";
  run("deployment_reconciler");  // the agent confirms the stop
  const boost::json::value ended = read("/api/v1/deployments/" + id);
  EXPECT_EQ(ended.at("state").as_string(), "terminated");
  EXPECT_EQ(ended.at("termination_reason").as_string(), "insufficient_funds");
  states.insert("terminated");
  EXPECT_EQ(states, (std::set<std::string>{"assigned", "deploying", "running", "stopping", "terminated"}));
  billing_states.erase("ok");
  EXPECT_EQ(billing_states, (std::set<std::string>{"low", "grace", "exhausted"}));

  // Nothing more is charged, nothing is out of balance, and nothing new starts.
  advance(Seconds(2 * 3600));
  run("hourly_charging");
  const std::int64_t last = balance();
  advance(Seconds(5 * 3600));
  run("hourly_charging");
  EXPECT_EQ(balance(), last);
  expect_balanced();
  run("ledger_verify");
  EXPECT_EQ(audits("ledger_invariant_failed"), 0);
  EXPECT_EQ(as_deployer("POST", "/api/v1/deploy", request).code(), "insufficient_funds");
}

}  // namespace
}  // namespace ee::testing
