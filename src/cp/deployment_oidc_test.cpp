// Workflows that deploy (03 section 3.6), with the stand-in of GitHub.
#include <gtest/gtest.h>

#include <array>
#include <boost/json/object.hpp>

#include "common/json.h"
#include "cp/store/agent_store.h"
#include "tests/support/agents.h"
#include "tests/support/github_case.h"

namespace ee::testing {
namespace {

struct DeploymentOidc : ::testing::Test {
  static constexpr const char* kRequest =
      R"({"service":"web","wait_for_capacity_seconds":600,"compose":"services:\n  web:\n    image: nginx@sha256:1111111111111111111111111111111111111111111111111111111111111111\n    ports: [\"8080:8080\"]\n"})";

  AccountId linked(const std::string& name, std::int64_t owner, const std::string& kind = "org") {
    const AccountId id = test.account(name);
    test.link(id, owner, name + "-owner", kind);
    test.cp->execute("UPDATE accounts SET credit_limit_micros=1000000000 WHERE id=:id", {{"id", id}});
    return id;
  }
  boost::json::object claims(std::int64_t owner = 9001, const std::string& login = "octo-org") const {
    auto out = test.github.claims(GithubCase::kAudience);
    out["repository_owner_id"] = std::to_string(owner);
    out["repository_owner"] = login;
    out["repository"] = login + "/app";
    out["sub"] = "repo:" + login + "/app:ref:refs/heads/main";
    return out;
  }
  TestAnswer send(const boost::json::object& claims, const std::string& method, const std::string& path,
                  const std::string& body = "") {
    return test.cp->call(method, path, body, {{"Authorization", "Bearer " + test.github.token(claims)}});
  }
  TestAnswer deploy(const boost::json::object& claims, const std::string& service = "web") {
    std::string body = kRequest;
    body.replace(body.find("web"), 3, service);
    return send(claims, "POST", "/api/v1/deploy", body);
  }
  static std::string id_of(const TestAnswer& answer) {
    if (answer.status != 201) throw std::runtime_error(answer.body);
    return std::string(json::parse(answer.body)->at("deployments").at(0).at("id").as_string());
  }
  std::string account_of(const std::string& deployment) {
    return test.cp->values<std::string>("SELECT account_id FROM deployments WHERE id=:id", {{"id", deployment}})
        .front();
  }

  GithubCase test;
};

// covers: S03_OID_001
TEST_F(DeploymentOidc, AnOwnerDeploysToTheAccountThatItIsLinkedTo) {
  const AccountId organisation = linked("octo", 9001);
  const AccountId person = linked("mona", 77, "user");
  const std::string first = id_of(deploy(claims()));
  EXPECT_EQ(account_of(first), organisation.str());
  const std::string second = id_of(deploy(claims(77, "mona"), "monas"));
  EXPECT_EQ(account_of(second), person.str());
  const std::string renamed = id_of(deploy(claims(9001, "octo-renamed")));
  EXPECT_EQ(account_of(renamed), organisation.str()) << "the number counts, not the name";
  const TestAnswer seen = send(claims(), "GET", "/api/v1/deployments/" + renamed);
  ASSERT_EQ(seen.status, 200) << seen.body;
  EXPECT_NE(seen.body.find(R"("method":"github_oidc","repository":"octo-renamed/app")"), std::string::npos)
      << seen.body;
}

// covers: S03_OID_002
TEST_F(DeploymentOidc, WhoMayNotDeployIsToldWhy) {
  const AccountId account = linked("octo", 9001);
  const auto refused = [&](const TestAnswer& answer) { return std::to_string(answer.status) + " " + answer.code(); };
  EXPECT_EQ(refused(deploy(claims(1234, "nobody"))), "403 github_owner_not_linked");
  EXPECT_EQ(refused(deploy(claims(1234, "octo-owner"))), "403 github_owner_not_linked") << "the name of another number";
  auto of_pull_request = claims();
  of_pull_request["event_name"] = "pull_request";
  EXPECT_EQ(deploy(of_pull_request).status, 403);
  auto expired = claims();
  expired["exp"] = expired["iat"].as_int64() - 3600;
  EXPECT_EQ(deploy(expired).status, 401);
  auto for_others = claims();
  for_others["aud"] = "https://other.example.com";
  EXPECT_EQ(deploy(for_others).status, 401);
  test.cp->execute("UPDATE accounts SET oidc_policy='rules' WHERE id=:id", {{"id", account}});
  EXPECT_EQ(deploy(claims()).status, 403) << "no rule names the repository";
  test.cp->execute("UPDATE accounts SET oidc_policy='owner' WHERE id=:id", {{"id", account}});
  EXPECT_EQ(test.cp->values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 0);
  EXPECT_EQ(deploy(claims()).status, 201) << "the same request, allowed";

  GithubCase off({{"CP_GITHUB_OIDC_AUDIENCE", ""}});
  const TestAnswer answer =
      off.cp->call("POST", "/api/v1/deploy", kRequest, {{"Authorization", "Bearer " + off.github.token(claims())}});
  EXPECT_EQ(answer.status, 401) << answer.body;
}

// covers: S03_OID_003
TEST_F(DeploymentOidc, AnOwnersAgentIsForTheNumberNotForTheName) {
  linked("octo", 4711);
  linked("mona", 77, "user");
  cp::AgentRow agent = make_agent(1, test.cp->clock.now());
  agent.hostname = "one.agents.example";
  agent.github_owner_id = 4711;
  agent.github_owner = "octo-org";
  agent.placement_scope = cp::PlacementScope::private_;
  agent.placement_key = "g:4711";
  const auto inserted =
      test.cp->app().database().run_write([&](db::Transaction& tx) { return cp::AgentStore().insert(tx, agent); });
  ASSERT_TRUE(inserted) << inserted.error().detail;
  const auto state_of = [&](const std::string& id) {
    return test.cp->values<std::string>("SELECT state FROM deployments WHERE id=:id", {{"id", id}}).front();
  };
  const auto now = [&](const boost::json::object& who, const std::string& service) {
    std::string body = kRequest;
    body.replace(body.find("\"wait_for_capacity_seconds\":600,"), 32, "");
    body.replace(body.find("web"), 3, service);
    return send(who, "POST", "/api/v1/deploy", body);
  };
  EXPECT_EQ(now(claims(77, "octo-org"), "thief").code(), "no_capacity") << "the same login, another number";
  const std::string waiting = id_of(deploy(claims(77, "octo-org"), "waits"));
  EXPECT_EQ(state_of(waiting), "pending");
  const std::string placed = id_of(now(claims(4711, "octo-renamed"), "mine"));
  EXPECT_EQ(state_of(placed), "assigned") << "renamed, the same number";
  EXPECT_EQ(test.cp->values<std::string>("SELECT agent_id FROM deployments WHERE id=:id", {{"id", placed}}).front(),
            agent.id.str());
  ASSERT_EQ(send(claims(4711, "octo-org"), "POST", "/api/v1/deployments/" + placed + "/stop", "{}").status, 202);
  EXPECT_EQ(now(claims(4711, "octo-org"), "second").code(), "no_capacity") << "it is not free yet";
}

// covers: S03_OID_005
TEST_F(DeploymentOidc, AnothersDeploymentIsNotThere) {
  linked("octo", 9001);
  linked("mona", 77, "user");
  const std::string path = "/api/v1/deployments/" + id_of(deploy(claims()));
  const auto stranger = claims(77, "mona");
  for (const auto& [method, what, body] : std::vector<std::array<std::string, 3>>{{"GET", "", ""},
                                                                                  {"GET", "/events", ""},
                                                                                  {"GET", "/revisions", ""},
                                                                                  {"POST", "/stop", "{}"},
                                                                                  {"POST", "/upgrade", R"({"env":{}})"},
                                                                                  {"POST", "/rollback", "{}"}}) {
    const TestAnswer answer = send(stranger, method, path + what, body);
    EXPECT_EQ(answer.status, 404) << method << what << " " << answer.body;
    EXPECT_EQ(answer.code(), "deployment_not_found") << method << what;
  }
  EXPECT_EQ(send(claims(), "POST", path + "/stop", "{}").status, 202);
}

}  // namespace
}  // namespace ee::testing
