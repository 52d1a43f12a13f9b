// Evidence of the agents behind a service, for whoever asks (02 section 15.5, 03 section 9.1).
#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

const std::string kNonce(64, 'a');

class ServiceEvidenceTest : public DeploymentFixture {
 protected:
  static std::string path(const std::string& more = "", const std::string& service = "web") {
    return "/api/v1/services/" + service + "/evidence?nonce=" + kNonce + more;
  }
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    agent.script.evidence = R"({"purpose":"public", "agent_id":")" + agent.id() + R"(", "quote":"AAAA"})";
    return agent;
  }
  static bool asked(const FakeAgent& agent) {
    const auto requests = agent.requests();
    return std::ranges::find(requests, "GET /.easyenclave/v1/evidence") != requests.end();
  }
};

TEST_F(ServiceEvidenceTest, IsPassedOnUnchangedToAnybody) {
  FakeAgent& agent = join();
  start(deploy_one());
  std::string url;
  cp.http.set_answer([&](const HttpClientRequest& request) {
    url = request.url;
    return agents.answer(request);
  });
  const TestAnswer answer = cp.call("GET", path());
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.body, agent.script.evidence) << "byte by byte";
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  EXPECT_TRUE(url.ends_with("/.easyenclave/v1/evidence?nonce=" + kNonce)) << url;
}

TEST_F(ServiceEvidenceTest, TheDeploymentMayBeNamed) {
  join();
  join();
  const std::string first = deploy_one();
  const std::string second = deploy_one();
  start(first);
  start(second);
  for (const std::string& id : {first, second})
    EXPECT_EQ(cp.call("GET", path("&deployment_id=" + id)).body, agent_of(id).script.evidence);
  EXPECT_EQ(cp.call("GET", path("&deployment_id=0190a000-0000-7000-8000-000000000009")).code(), "service_unavailable");
  // One that cannot be reached is passed over when none is named.
  agent_of(first).script.unreachable = true;
  EXPECT_EQ(cp.call("GET", path()).body, agent_of(second).script.evidence);
  EXPECT_EQ(cp.call("GET", path("&deployment_id=" + first)).code(), "agent_unreachable");
}

TEST_F(ServiceEvidenceTest, RefusalsHaveTheirNames) {
  FakeAgent& agent = join();
  EXPECT_EQ(cp.call("GET", path()).code(), "service_not_found");
  const std::string id = deploy_one();
  const TestAnswer nothing = cp.call("GET", path());
  EXPECT_EQ(nothing.code(), "service_unavailable") << "it does not run yet";
  EXPECT_EQ(nothing.header("Retry-After"), "5");
  start(id);
  for (const std::string& bad : {std::string(), std::string("?nonce="), std::string("?nonce=abc"),
                                 std::string("?nonce=zz"), "?nonce=" + std::string(62, 'a')})
    EXPECT_EQ(cp.call("GET", "/api/v1/services/web/evidence" + bad).code(), "invalid_request") << bad;
  EXPECT_EQ(cp.call("GET", path("&deployment_id=7")).code(), "invalid_request");
  EXPECT_FALSE(asked(agent));

  const auto code = [&](int status, const std::string& body) {
    agent.script.evidence_status = status;
    agent.script.evidence = body;
    return cp.call("GET", path()).code();
  };
  EXPECT_EQ(code(429, R"({"code":"rate_limited"})"), "rate_limited");
  EXPECT_EQ(code(503, R"({"code":"tdx_unavailable"})"), "tdx_unavailable");
  EXPECT_EQ(code(503, R"({"code":"agent_not_active"})"), "agent_not_active");
  EXPECT_EQ(code(503, R"({"code":"made_up"})"), "agent_unreachable");
  EXPECT_EQ(code(200, "<html>"), "agent_bad_response");
  EXPECT_EQ(code(404, "{}"), "agent_bad_response");
  agent.script.anonymous = true;
  EXPECT_EQ(code(200, "{}"), "agent_bad_response");
  agent.script.anonymous = false;
  EXPECT_EQ(code(200, "{}"), "");
  cp.execute("UPDATE agents SET attestation_state='failed'");
  EXPECT_EQ(cp.call("GET", path()).code(), "service_unavailable") << "an agent that lost trust serves nobody";
}

TEST_F(ServiceEvidenceTest, SixAMinuteFromOneAddress) {
  join();
  start(deploy_one());
  for (int i = 0; i < 6; ++i) EXPECT_EQ(cp.call("GET", path(), "", {}, "192.0.2.9").status, 200);
  const TestAnswer refused = cp.call("GET", path(), "", {}, "192.0.2.9");
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.header("Retry-After"), "");
  EXPECT_EQ(cp.call("GET", path(), "", {}, "192.0.2.10").status, 200);
}

}  // namespace
}  // namespace ee::testing
