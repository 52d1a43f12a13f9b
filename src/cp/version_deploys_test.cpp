// Deploying versions of the catalogue over HTTP: published, measured against a registry, run by fake agents.
#include "cp/deployment_fixture.h"
#include "tests/standins/registry/registry.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

class VersionDeploysTest : public DeploymentFixture {
 protected:
  static constexpr std::string_view kRegistry = "https://registry.test";
  static constexpr const char* kVersions = "/api/v1/apps/shop/versions";

  VersionDeploysTest() {
    cp.clock.set_auto_advance(true);  // waits between tries cost no time
    cp.http.set_answer([this](const HttpClientRequest& request) { return answer(request); });
    registry_.put_index("app/web", "1.0", "web one");
    registry_.put_index("app/web", "2.0", "web two");
    EXPECT_EQ(as(account.key, "POST", "/api/v1/apps", R"({"name":"shop"})").status, 201);
  }
  std::expected<HttpClientResponse, HttpFailure> answer(const HttpClientRequest& request) {
    if (request.url.starts_with(kRegistry)) {
      if (at_registry_) at_registry_();
      const std::string target = request.url.substr(kRegistry.size());
      net::Request to;
      to.method = request.method;
      to.path = target.substr(0, target.find('?'));
      to.query = target.find('?') == std::string::npos ? "" : target.substr(target.find('?') + 1);
      to.headers = request.headers;
      net::Response response = registry_.answer(to);
      return HttpClientResponse{
          .status = response.status, .headers = std::move(response.headers), .body = std::move(response.body)};
    }
    for (std::size_t i = 0; i < agents.size(); ++i)
      if (request.url.starts_with(agents.at(i).url() + "/")) return agents.at(i).answer(request);
    return std::unexpected(HttpFailure::connect);
  }
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
  void publish(const std::string& version, const std::string& tag, const std::string& more = "") {
    const std::string text =
        "services:\n  web:\n    image: registry.test/app/web:" + tag + "\n    ports: ['8080:8080']\n";
    const TestAnswer done = as(account.key, "POST", kVersions,
                               R"({"version":")" + version + R"(","compose":)" + json::quote(text) + more + "}");
    ASSERT_EQ(done.status, 202) << done.body;
  }
  void attest(const std::string& version, const std::string& tag, const std::string& more = "") {
    publish(version, tag, more);
    ASSERT_EQ(run("measurement_worker").value("measured"), 1);
  }
  static std::string path(const std::string& version, const std::string& what) {
    return std::string(kVersions) + "/" + version + "/" + what;
  }
  TestAnswer deploy_version(const std::string& version, const std::string& body = "{}") {
    cp.clock.advance(Seconds(2));
    return as(account.key, "POST", path(version, "deploy"), body);
  }
  std::string deployed_id(const TestAnswer& answer) {
    if (answer.status != 201) throw std::runtime_error("deploy: " + answer.body);
    return text(body_of(answer).at("deployments").at(0), "id");
  }
  static std::string digest(const std::string& content) {
    return standins::Registry::digest_of(standins::Registry::manifest_text(content));
  }

  std::function<void()> at_registry_;  ///< runs before each answer of the registry
  standins::Registry registry_;
};

// covers: S03_DEP_001, S03_VER_001
TEST_F(VersionDeploysTest, AVersionIsMeasuredAndThenRunsAsItWasMeasured) {
  FakeAgent& agent = join();
  attest("1.0", "1.0", R"(,"health_path":"/up","ingress":[{"path_prefix":"/","port":8080}])");
  const TestAnswer answer = deploy_version("1.0", R"({"env":{"MODE":"x"}})");
  ASSERT_EQ(answer.status, 201) << answer.body;
  const auto body = body_of(answer);
  const std::string id = text(body.at("deployments").at(0), "id");
  EXPECT_EQ(text(body.at("deployments").at(0), "state"), "assigned");
  EXPECT_EQ(text(body.at("service"), "name"), "shop") << "the app's name";
  // In mode `warn` nobody signed it, and whoever deploys it is told.
  const auto& warnings = body.at("warnings").as_array();
  ASSERT_EQ(warnings.size(), 1U) << answer.body;
  const auto version = body_of(as(account.key, "GET", std::string(kVersions) + "/1.0")).at("items").at(0);
  EXPECT_EQ(version.at("warnings").at(0), boost::json::string("web: " + text(warnings.at(0), "code")));
  EXPECT_EQ(text(warnings.at(0), "detail"), "service web, image registry.test/app/web:1.0");
  EXPECT_EQ(agent_status(agent), "deploying");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT assignment_epoch FROM agents").front(), 1);
  const auto seen = get(id);
  EXPECT_EQ(text(seen, "provenance"), "attested");
  EXPECT_EQ(text(seen.at("app"), "name"), "shop");
  EXPECT_EQ(text(seen.at("app"), "version"), "1.0");
  const std::string pinned = "registry.test/app/web@" + digest("web one");
  EXPECT_EQ(text(seen.at("images"), "web"), pinned);

  reconcile();
  ASSERT_TRUE(agent.held());
  EXPECT_EQ(agent.held()->compose, cp.values<std::string>("SELECT resolved_compose FROM app_versions").front());
  EXPECT_NE(agent.held()->compose.find(pinned), std::string::npos);
  EXPECT_EQ(agent.held()->health_path, "/up");
  const TestAnswer running = agent.deployed({{"web", digest("web one")}});
  ASSERT_EQ(running.status, 200) << running.body;
  EXPECT_EQ(state(id), "running");
  const auto events = body_of(as(account.key, "GET", "/api/v1/deployments/" + id + "/events")).at("items").as_array();
  ASSERT_GE(events.size(), 3U);
  for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].at("seq").as_int64(), std::int64_t(i) + 1);
  expect_sound();
}

TEST_F(VersionDeploysTest, TheThreeWaysToNameAVersionAreOne) {
  join();
  attest("1.0", "1.0");
  const TestAnswer seen = as(account.key, "POST", path("1.0", "deploy/preflight"), "{}");
  ASSERT_EQ(seen.status, 200) << seen.body;
  EXPECT_TRUE(body_of(seen).at("eligible").as_bool());
  EXPECT_EQ(text(body_of(seen).at("version"), "id"), cp.values<std::string>("SELECT id FROM app_versions").front());
  EXPECT_EQ(deploy_version("1.0", R"({"app":"shop"})").code(), "field_conflict");
  EXPECT_EQ(deploy_version("1.0", R"({"compose":"services: {}"})").code(), "field_conflict");
  EXPECT_EQ(as(account.key, "POST", "/api/v1/apps/absent/versions/1.0/deploy", "{}").code(), "app_not_found");
  EXPECT_EQ(deploy(R"({"app":"shop","version":"1.0"})").status, 201);
}

// covers: S03_DEP_017
TEST_F(VersionDeploysTest, OnlyAnAttestedVariantThatFitsIsDeployed) {
  join();
  EXPECT_EQ(deploy_version("1.0").code(), "version_not_found");
  publish("1.0", "1.0");
  EXPECT_EQ(deploy_version("1.0").code(), "version_not_attested");
  ASSERT_EQ(run("measurement_worker").value("measured"), 1);
  attest("absent", "9.9");
  EXPECT_EQ(deploy_version("absent").code(), "version_rejected");
  attest("large", "1.0", R"(,"node_size":"llm")");
  EXPECT_EQ(deploy_version("large", R"({"node_size":"tiny"})").code(), "version_variant_not_found");
  EXPECT_EQ(deploy_version("large").code(), "no_capacity") << "only the size that it has";

  attest("1.0", "2.0", R"(,"node_size":"llm")");
  const std::string id = deployed_id(deploy_version("1.0", R"({"node_size":"tiny"})"));
  EXPECT_EQ(text(get(id).at("images"), "web"), "registry.test/app/web@" + digest("web one"))
      << "the variant of any size, not the one of another";
}

// covers: S03_VER_006
TEST_F(VersionDeploysTest, AYankedVersionIsNotDeployedAndGoesOnWhereItRuns) {
  FakeAgent& agent = join();
  join();
  attest("1.0", "1.0");
  const std::string id = deployed_id(deploy_version("1.0"));
  start(id);
  ASSERT_EQ(as(account.key, "POST", path("1.0", "yank"), "{}").status, 200);
  EXPECT_EQ(deploy_version("1.0").code(), "version_yanked");
  EXPECT_EQ(as(account.key, "POST", path("1.0", "deploy/preflight"), "{}").code(), "version_yanked");
  reconcile();
  EXPECT_EQ(state(id), "running");
  EXPECT_EQ(text(body_of(agent_of(id).beat()).at("desired"), "action"), "run");
  EXPECT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/redeploy", "{}").status, 202) << "the same content";
  ASSERT_EQ(as(account.key, "POST", path("1.0", "unyank"), "{}").status, 200);
  EXPECT_EQ(deploy_version("1.0").status, 201);
  EXPECT_FALSE(agent.id().empty());
}

// covers: S03_UPG_004
TEST_F(VersionDeploysTest, AnUpgradeTakesAnotherVersionAndARollbackNoYankedOne) {
  FakeAgent& agent = join();
  attest("1.0", "1.0");
  attest("2.0", "2.0");
  const std::string id = deployed_id(deploy_version("1.0"));
  start(id);
  const std::string of = "/api/v1/deployments/" + id;
  EXPECT_EQ(as(account.key, "POST", of + "/upgrade", R"({"compose":"services: {}"})").code(), "upgrade_changes_app");
  EXPECT_EQ(as(account.key, "POST", of + "/upgrade", R"({"version":"3.0"})").code(), "version_not_found");
  const TestAnswer upgraded = as(account.key, "POST", of + "/upgrade", R"({"version":"2.0"})");
  ASSERT_EQ(upgraded.status, 202) << upgraded.body;
  reconcile();
  EXPECT_NE(agent.held()->compose.find(digest("web two")), std::string::npos);
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(text(get(id).at("app"), "version"), "2.0");

  ASSERT_EQ(as(account.key, "POST", path("1.0", "yank"), "{}").status, 200);
  const TestAnswer yanked = as(account.key, "POST", of + "/rollback", "{}");
  EXPECT_EQ(yanked.status, 409);
  EXPECT_EQ(yanked.code(), "version_yanked");
  EXPECT_EQ(as(account.key, "POST", of + "/rollback", R"({"revision":1})").code(), "version_yanked");
  ASSERT_EQ(as(account.key, "POST", path("1.0", "unyank"), "{}").status, 200);
  ASSERT_EQ(as(account.key, "POST", of + "/rollback", "{}").status, 202);
  reconcile();
  EXPECT_NE(agent.held()->compose.find(digest("web one")), std::string::npos);
  ASSERT_EQ(agent.report(Phase::running).status, 200);
  ASSERT_EQ(as(account.key, "POST", of + "/rollback", R"({"revision":2})").status, 202);
  expect_sound();
}

// covers: S03_APP_003
TEST_F(VersionDeploysTest, AnAppInUseIsNotArchived) {
  join();
  attest("1.0", "1.0");
  const std::string id = deployed_id(deploy_version("1.0"));
  start(id);
  const TestAnswer refused = as(account.key, "DELETE", "/api/v1/apps/shop");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.code(), "app_in_use");
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 202);
  reconcile();
  ASSERT_EQ(state(id), "stopped");
  EXPECT_EQ(as(account.key, "DELETE", "/api/v1/apps/shop").status, 200);
  EXPECT_EQ(deploy_version("1.0").code(), "app_not_found");
}

TEST_F(VersionDeploysTest, AnAccountThatIsSuspendedWhileRegistriesAreAskedDeploysNothing) {
  join();
  ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/deploy.raw_compose_policy", R"({"value":"allow"})").status, 200);
  const std::string body =
      R"({"service":"raw","compose":)" +
      json::quote("services:\n  web:\n    image: registry.test/app/web:1.0\n    ports: ['8080:8080']\n") + "}";
  for (const auto& [status, code] :
       {std::pair<std::string, std::string>{"suspended", "account_suspended"}, {"closed", "account_not_found"}}) {
    at_registry_ = [&, status = status] {
      cp.execute("UPDATE accounts SET status=:status WHERE id=:id", {{"status", status}, {"id", account.id}});
    };
    EXPECT_EQ(deploy(body).code(), code);
    at_registry_ = nullptr;
    cp.execute("UPDATE accounts SET status='active' WHERE id=:id", {{"id", account.id}});
  }
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 0);
  EXPECT_EQ(deploy(body).status, 201);
}

// covers: S03_VER_006
TEST_F(VersionDeploysTest, WhatIsWithdrawnAfterThePlanWasMadeIsNotDeployed) {
  EE_SKIP_ON_POSTGRES("what comes in between is a trigger of SQLite");
  join();
  attest("1.0", "1.0");
  // The plan is made: the transaction begins with the service's row.
  const auto meanwhile = [&](const std::string& change) {
    cp.execute("CREATE TRIGGER meanwhile AFTER INSERT ON services BEGIN " + change + "; END");
    const TestAnswer answer = deploy_version("1.0");
    cp.execute("DROP TRIGGER meanwhile");
    return answer.code();
  };
  EXPECT_EQ(meanwhile("UPDATE app_versions SET status='yanked', yanked_at=1"), "version_yanked");
  EXPECT_EQ(meanwhile("UPDATE apps SET archived_at=1"), "app_not_found");
  EXPECT_EQ(meanwhile("UPDATE app_versions SET mrtd='" + std::string(96, 'a') + "'"), "concurrent_update");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 0);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM agents WHERE status='undeployed'").front(), 1);
  EXPECT_EQ(deploy_version("1.0").status, 201);
  expect_sound();
}

TEST_F(VersionDeploysTest, TagsOfARawFileAreResolvedOnlyWhenThePolicyLetsThem) {
  join();
  const auto body = [](const std::string& tag) {
    return R"({"service":"raw","compose":)" +
           json::quote("services:\n  web:\n    image: registry.test/app/web:" + tag + "\n    ports: ['8080:8080']\n") +
           "}";
  };
  EXPECT_EQ(deploy(body("1.0")).code(), "compose_forbidden") << "pinned";
  const auto allow = [&](const std::string& policy) {
    const TestAnswer set =
        cp.admin("PUT", "/api/v1/admin/settings/deploy.raw_compose_policy", "{\"value\":\"" + policy + "\"}");
    ASSERT_EQ(set.status, 200) << set.body;
  };
  allow("allow");
  const TestAnswer unknown = deploy(body("9.9"));
  EXPECT_EQ(unknown.code(), "compose_forbidden");
  EXPECT_NE(unknown.body.find("image_not_found"), std::string::npos) << unknown.body;
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 0);
  const std::string id = deployed_id(deploy(body("1.0")));
  EXPECT_EQ(text(get(id).at("images"), "web"), "registry.test/app/web@" + digest("web one"));
  EXPECT_EQ(text(get(id), "provenance"), "raw");
  start(id);
  EXPECT_NE(agent_of(id).held()->compose.find(digest("web one")), std::string::npos);

  // The tag moves: what is not sent again stays what it was.
  registry_.put_index("app/web", "1.0", "web three");
  const std::string path = "/api/v1/deployments/" + id + "/upgrade";
  ASSERT_EQ(as(account.key, "POST", path, R"({"env":{"A":"1"}})").status, 202);
  reconcile();
  ASSERT_EQ(agent_of(id).report(Phase::running).status, 200);
  EXPECT_EQ(text(get(id).at("images"), "web"), "registry.test/app/web@" + digest("web one"));
  const std::string compose = body("1.0").substr(std::string(R"({"service":"raw",)").size());
  const TestAnswer upgraded = as(account.key, "POST", path, "{" + compose);
  ASSERT_EQ(upgraded.status, 202) << upgraded.body;
  reconcile();
  ASSERT_EQ(agent_of(id).report(Phase::running).status, 200);
  EXPECT_EQ(text(get(id).at("images"), "web"), "registry.test/app/web@" + digest("web three"));
  allow("deny");
  EXPECT_EQ(deploy(body("1.0")).code(), "raw_compose_disabled");
}

}  // namespace
}  // namespace ee::testing
