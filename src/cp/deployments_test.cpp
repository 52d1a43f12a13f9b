// Deployments over HTTP with fake agents: from the request to the end.
#include "common/crypto.h"
#include "cp/deployment_fixture.h"
#include "cp/service/deployment_assignments.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

class DeploymentsTest : public DeploymentFixture {};

// covers: S03_DEP_003
TEST_F(DeploymentsTest, ARawWorkloadIsAssignedToTheOneAgent) {
  FakeAgent& agent = agents.add();
  agent.join();
  const TestAnswer answer = deploy(raw());
  ASSERT_EQ(answer.status, 201) << answer.body;
  const auto body = body_of(answer);
  const auto one = body.at("deployments").at(0);
  EXPECT_EQ(text(one, "state"), "assigned");
  EXPECT_EQ(text(one.at("agent"), "id"), agent.id());
  EXPECT_EQ(text(one, "hourly_price"), "0.180000");
  EXPECT_EQ(answer.header("Location"), "/api/v1/deployments/" + text(one, "id"));
  EXPECT_EQ(text(body.at("service"), "url"), "https://cp.example.com/proxy/web");
  EXPECT_EQ(agent_status(agent), "deploying");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT assignment_epoch FROM agents").front(), 1);
  const auto seen = get(text(one, "id"));
  EXPECT_EQ(text(seen, "provenance"), "raw");
  EXPECT_TRUE(seen.at("app").is_null());
  EXPECT_EQ(text(seen.at("images"), "web"), std::string("docker.io/library/nginx@") + kDigest);
  EXPECT_EQ(audited("deploy_accepted"), 1);
  expect_sound();
}

// covers: S03_DEP_002
TEST_F(DeploymentsTest, ThePhasesLeadToRunningAndToASegment) {
  FakeAgent& agent = agents.add();
  agent.join();
  const std::string id = deploy_one();
  reconcile();
  EXPECT_EQ(state(id), "deploying") << "the push was accepted";
  EXPECT_EQ(agent.requests(), std::vector<std::string>{"PUT /.easyenclave/v1/deployment"});
  EXPECT_EQ(agent.report(Phase::pulling).status, 200);
  EXPECT_EQ(text(get(id).at("progress"), "phase"), "pulling");
  EXPECT_EQ(open_segments(id), 0);
  const auto epoch = cp.values<std::int64_t>("SELECT epoch FROM route_epoch").front();
  const TestAnswer running = agent.report(Phase::running);
  ASSERT_EQ(running.status, 200) << running.body;
  EXPECT_EQ(text(body_of(running).at("desired"), "deployment_id"), id);
  EXPECT_EQ(state(id), "running");
  EXPECT_EQ(open_segments(id), 1);
  EXPECT_EQ(agent_status(agent), "deployed");
  EXPECT_GT(cp.values<std::int64_t>("SELECT epoch FROM route_epoch").front(), epoch);
  EXPECT_EQ(text(get(id), "health"), "healthy");
  expect_sound();
}

TEST_F(DeploymentsTest, AnAgentThatCannotBeReachedPulls) {
  FakeAgent& agent = agents.add();
  agent.join();
  agent.script.unreachable = true;
  const std::string id = deploy_one();
  reconcile();
  EXPECT_EQ(state(id), "assigned");
  const auto beat = body_of(agent.beat());
  EXPECT_EQ(text(beat.at("desired"), "action"), "run");
  EXPECT_EQ(text(beat.at("desired"), "deployment_id"), id);
  ASSERT_TRUE(agent.pull());
  EXPECT_EQ(agent.report(Phase::starting).status, 200);
  EXPECT_EQ(state(id), "deploying");
  EXPECT_EQ(agent.report(Phase::running).status, 200);
  EXPECT_EQ(state(id), "running");
  expect_sound();
}

TEST_F(DeploymentsTest, WhatAnAgentMeasuredIsKnownByItsDigest) {
  FakeAgent& agent = agents.add();
  agent.join();
  FakeAgent& other = agents.add();
  other.join();
  const std::string id = deploy_one(R"("agent_name":")" + agent.name() + "\"");
  const auto compose = cp.values<std::string>("SELECT resolved_compose FROM deployment_revisions").front();
  const std::string digest = to_hex(sha256(bytes_of(compose)));
  const cp::DeploymentAssignments assignments;
  const auto assigned = [&](const std::string& who, const std::string& what, const std::string& of) {
    return cp.app()
        .database()
        .read<bool>([&](db::Transaction& tx) { return assignments.was_assigned(tx, AgentId(who), what, of); })
        .value();
  };
  EXPECT_TRUE(assigned(agent.id(), id, digest));
  EXPECT_FALSE(assigned(other.id(), id, digest));
  EXPECT_FALSE(assigned(agent.id(), id, std::string(64, 'a')));
  EXPECT_FALSE(assigned(agent.id(), "0190a000-0000-7000-8000-0000000000d1", digest));
  EXPECT_FALSE(assigned(agent.id(), "no id", digest));
  // Over, or moved after the agent had reported it: it may still stand in the agent's log.
  reconcile();
  ASSERT_EQ(agent.report(Phase::pulling).status, 200);
  cp.execute("UPDATE deployments SET agent_id=:other", {{"other", other.id()}});
  EXPECT_TRUE(assigned(agent.id(), id, digest));
  EXPECT_TRUE(assigned(other.id(), id, digest));
}

TEST_F(DeploymentsTest, AStopFreesTheAgentAndEndsBilling) {
  FakeAgent& agent = agents.add();
  agent.join();
  const std::string id = deploy_one();
  start(id);
  cp.clock.advance(Seconds(3600));
  const TestAnswer stopped = as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", R"({"reason":"done"})");
  EXPECT_EQ(stopped.status, 202) << stopped.body;
  EXPECT_EQ(state(id), "stopping");
  EXPECT_EQ(open_segments(id), 0) << "charged no longer than until it was asked for";
  EXPECT_EQ(agent_status(agent), "undeploying");
  EXPECT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 200);
  reconcile();
  EXPECT_EQ(state(id), "stopped");
  EXPECT_EQ(agent_status(agent), "undeployed");
  EXPECT_EQ(text(get(id), "termination_reason"), "user");
  EXPECT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 200);
  EXPECT_EQ(as(account.key, "PATCH", "/api/v1/deployments/" + id, R"({"ttl_seconds":600})").code(), "deployment_final");
  EXPECT_NE(deploy_one(), id) << "the agent can be used again";
  expect_sound();
}

// covers: S03_DEP_005
TEST_F(DeploymentsTest, WithoutCapacityItIsRefusedOrWaits) {
  const TestAnswer refused = deploy(raw());
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.code(), "no_capacity");
  EXPECT_EQ(refused.header("Retry-After"), "30");
  EXPECT_TRUE(body_of(refused).at("reasons").as_object().empty()) << "there is no agent at all";
  const std::string waits = deploy_one(R"("wait_for_capacity_seconds":600)");
  EXPECT_EQ(state(waits), "pending");
  run("capacity_waiter");
  EXPECT_EQ(state(waits), "pending");
  agents.add().join();
  run("capacity_waiter");
  EXPECT_EQ(state(waits), "assigned");
  const std::string in_vain = deploy_one(R"("wait_for_capacity_seconds":60)", "other");
  cp.clock.advance(Seconds(61));
  reconcile();
  EXPECT_EQ(state(in_vain), "failed");
  EXPECT_EQ(text(get(in_vain).at("failure"), "code"), "no_capacity");
  expect_sound();
}

// covers: S03_DEP_006
TEST_F(DeploymentsTest, FundsForAnHourOfEverythingAreNeeded) {
  agents.add().join();
  fund(account, 179'999);
  const TestAnswer refused = deploy(raw());
  EXPECT_EQ(refused.code(), "insufficient_funds");
  EXPECT_EQ(text(body_of(refused), "required"), "0.180000");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 0);
  fund(account, 180'000);
  EXPECT_EQ(deploy(raw()).status, 201);
}

TEST_F(DeploymentsTest, ARepeatedKeyDeploysOnce) {
  agents.add().join();
  agents.add().join();
  const TestAnswer first = deploy(raw(), {{"Idempotency-Key", "k"}});
  const TestAnswer again = deploy(raw(), {{"Idempotency-Key", "k"}});
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(deploy(raw("", "other"), {{"Idempotency-Key", "k"}}).code(), "idempotency_key_reused");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments").front(), 1);
}

// covers: S03_DEP_008
TEST_F(DeploymentsTest, ReplicasAreAllOrNone) {
  agents.add().join();
  agents.add().join();
  EXPECT_EQ(deploy(raw(R"("replicas":3)")).code(), "no_capacity");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM agents WHERE status='undeployed'").front(), 2);
  agents.add().join();
  const TestAnswer three = deploy(raw(R"("replicas":3)"));
  ASSERT_EQ(three.status, 201) << three.body;
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(DISTINCT agent_id) FROM deployments").front(), 3);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(DISTINCT group_id) FROM deployments").front(), 1);
  expect_sound();
}

// covers: S03_DEP_009
TEST_F(DeploymentsTest, APinIsTakenOrToldWhyNot) {
  FakeAgent& agent = agents.add();
  agent.join();
  const std::string pin = R"("agent_name":")" + agent.name() + "\"";
  EXPECT_EQ(deploy(raw(R"("agent_name":"nobody")")).code(), "agent_not_found");
  EXPECT_EQ(deploy(raw(pin)).status, 201);
  const TestAnswer busy = deploy(raw(pin, "other"));
  EXPECT_EQ(busy.code(), "agent_not_eligible");
  EXPECT_EQ(busy.status, 409);
  EXPECT_EQ(body_of(busy).at("reasons").as_array(), boost::json::array{"agent_status_not_deployable"}) << busy.body;
  const TestAnswer full = deploy(raw("", "other"));
  EXPECT_EQ(full.code(), "no_capacity");
  EXPECT_EQ(body_of(full).at("reasons"), (boost::json::object{{"agent_status_not_deployable", 1}})) << full.body;
  EXPECT_FALSE(body_of(full).as_object().contains("errors")) << full.body;
  FakeAgent& foreign = agents.add();
  foreign.join();
  cp.execute(
      "UPDATE agents SET account_id='somebody', placement_scope='private', placement_key='a:somebody' WHERE id=:id",
      {{"id", foreign.id()}});
  EXPECT_EQ(deploy(raw(R"("agent_name":")" + foreign.name() + "\"", "third")).code(), "agent_not_found");
}

// covers: S03_DEP_010
TEST_F(DeploymentsTest, AServiceBelongsToItsAccount) {
  agents.add().join();
  agents.add().join();
  deploy_one();
  const Made other = make("other");
  fund(other, 1'000'000'000);
  EXPECT_EQ(as(other.key, "POST", "/api/v1/deploy", raw()).code(), "service_name_taken");
  EXPECT_EQ(as(other.key, "POST", "/api/v1/deploy", raw("", "mine")).status, 201);
}

// covers: S03_DEP_011
TEST_F(DeploymentsTest, APreflightChangesNothing) {
  FakeAgent& agent = agents.add();
  agent.join();
  const auto counts = [&] {
    return cp.values<std::int64_t>(
        "SELECT (SELECT COUNT(*) FROM deployments)+(SELECT COUNT(*) FROM services)+(SELECT SUM(row_version) FROM "
        "agents)"
        "+(SELECT COUNT(*) FROM audit_log WHERE action LIKE 'deploy%')");
  };
  const auto before = counts();
  const TestAnswer seen = as(account.key, "POST", "/api/v1/deploy/preflight", raw());
  ASSERT_EQ(seen.status, 200) << seen.body;
  EXPECT_TRUE(body_of(seen).at("eligible").as_bool());
  EXPECT_EQ(text(body_of(seen).at("selected"), "id"), agent.id());
  EXPECT_EQ(text(body_of(seen), "hourly_price"), "0.180000");
  const TestAnswer large = as(account.key, "POST", "/api/v1/deploy", raw(R"("dry_run":true,"node_size":"llm")"));
  ASSERT_EQ(large.status, 200) << large.body;
  EXPECT_FALSE(body_of(large).at("eligible").as_bool());
  EXPECT_EQ(body_of(large).at("reasons").at("agent_node_size_mismatch").as_int64(), 1);
  EXPECT_EQ(counts(), before);
}

// covers: S03_DEP_012
TEST_F(DeploymentsTest, ListsShowOwnDeploymentsByFilter) {
  for (int i = 0; i < 3; ++i) agents.add().join();
  const std::string first = deploy_one("", "one");
  const std::string second = deploy_one("", "two");
  const Made other = make("other");
  EXPECT_EQ(body_of(as(other.key, "GET", "/api/v1/deployments")).at("items").as_array().size(), 0U);
  EXPECT_EQ(as(other.key, "GET", "/api/v1/deployments/" + first).code(), "deployment_not_found");
  EXPECT_EQ(as(other.key, "GET", "/api/v1/deployments/" + first + "/events").code(), "deployment_not_found");
  EXPECT_EQ(as(other.key, "POST", "/api/v1/deployments/" + first + "/stop", "{}").code(), "deployment_not_found");
  const auto listed = [&](const std::string& query) {
    const auto body = body_of(as(account.key, "GET", "/api/v1/deployments" + query));
    std::vector<std::string> ids;
    for (const auto& item : body.at("items").as_array()) ids.push_back(text(item, "id"));
    return ids;
  };
  EXPECT_EQ(listed(""), (std::vector{second, first}));
  EXPECT_EQ(listed("?service=one"), std::vector{first});
  EXPECT_EQ(listed("?state=assigned&state=running"), (std::vector{second, first}));
  EXPECT_EQ(listed("?state=running"), std::vector<std::string>{});
  EXPECT_EQ(as(account.key, "GET", "/api/v1/deployments?state=dead").code(), "invalid_request");
  EXPECT_EQ(as(account.key, "GET", "/api/v1/deployments?account_id=" + other.id).code(), "invalid_request");
  const auto page = body_of(as(account.key, "GET", "/api/v1/deployments?limit=1"));
  EXPECT_EQ(listed("?limit=1&cursor=" + text(page, "next_cursor")), std::vector{first});
  EXPECT_EQ(body_of(cp.admin("GET", "/api/v1/deployments")).at("items").as_array().size(), 2U);
}

// covers: S03_DEP_013
TEST_F(DeploymentsTest, ATtlEndsIt) {
  agents.add().join();
  const std::string id = deploy_one();
  start(id);
  EXPECT_EQ(as(account.key, "PATCH", "/api/v1/deployments/" + id, R"({"ttl_seconds":299})").code(), "invalid_request");
  EXPECT_EQ(
      as(account.key, "PATCH", "/api/v1/deployments/" + id, R"({"ttl_seconds":300})", {{"If-Match", "\"0\""}}).code(),
      "version_mismatch");
  ASSERT_EQ(as(account.key, "PATCH", "/api/v1/deployments/" + id, R"({"ttl_seconds":300})").status, 200);
  run("ttl_expiry");
  EXPECT_EQ(state(id), "running");
  cp.clock.advance(Seconds(301));
  run("ttl_expiry");
  reconcile();
  EXPECT_EQ(state(id), "terminated");
  EXPECT_EQ(text(get(id), "termination_reason"), "expired");
  expect_sound();
}

// covers: S03_DEP_014
TEST_F(DeploymentsTest, SecretsAreWrittenAndNeverRead) {
  FakeAgent& agent = agents.add();
  agent.join();
  const std::string secret = "correct-horse-battery";
  const std::string id = deploy_one(R"("secrets":{"TOKEN":")" + secret + R"("},"env":{"MODE":"x"})");
  start(id);
  EXPECT_NE(agent.secrets().find(to_base64(bytes_of(secret))), std::string::npos) << "the agent gets it";
  EXPECT_NE(agent.secrets().find(R"("name":"TOKEN")"), std::string::npos);
  const std::string path = "/api/v1/deployments/" + id;
  EXPECT_NE(as(account.key, "GET", path).body.find(R"("secret_names":["TOKEN"])"), std::string::npos);
  for (const char* what : {"", "/events", "/revisions"})
    EXPECT_EQ(as(account.key, "GET", path + what).body.find(secret), std::string::npos) << what;
  for (const char* sql :
       {"SELECT detail FROM audit_log", "SELECT detail FROM deployment_events", "SELECT sealed FROM deployment_secrets",
        "SELECT env FROM deployment_revisions", "SELECT resolved_compose FROM deployment_revisions"})
    for (const std::string& text : cp.values<std::string>(sql)) EXPECT_EQ(text.find(secret), std::string::npos) << sql;
  as(account.key, "POST", path + "/stop", "{}");
  reconcile();
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployment_secrets").front(), 0);
}

class WithoutSecretsKey : public DeploymentFixture {
 protected:
  WithoutSecretsKey() : DeploymentFixture({.environment = {{"EE_CLOUDFLARE_TUNNEL_MODE", "none"}}}) {}
};

// covers: S03_DEP_015
TEST_F(WithoutSecretsKey, SecretsAreRefused) {
  agents.add().join();
  EXPECT_EQ(deploy(raw(R"("secrets":{"TOKEN":"x"})")).code(), "secrets_unavailable");
  EXPECT_EQ(deploy(raw()).status, 201);
}

// covers: S03_DEP_016
TEST_F(DeploymentsTest, MineAreThoseIMadeAndThoseOnMyAgents) {
  FakeAgent& agent = agents.add();
  agent.join();
  const std::string id = deploy_one();
  const Made owner = make("owner", "agent");
  cp.execute("UPDATE agents SET account_id=:account WHERE id=:id", {{"account", owner.id}, {"id", agent.id()}});
  const auto mine = [&](const Made& who, const std::string& query = "") {
    return body_of(as(who.key, "GET", "/api/v1/me/deployments" + query)).at("items").as_array();
  };
  ASSERT_EQ(mine(account).size(), 1U);
  EXPECT_EQ(text(mine(account)[0], "relation"), "deployer");
  ASSERT_EQ(mine(owner).size(), 1U);
  EXPECT_EQ(text(mine(owner)[0], "relation"), "agent_owner");
  EXPECT_TRUE(mine(owner)[0].at("deployment").is_null());
  EXPECT_EQ(text(mine(owner)[0].at("reduced"), "id"), id);
  EXPECT_EQ(mine(owner, "?relation=deployer").size(), 0U);
  EXPECT_EQ(mine(make("stranger")).size(), 0U);
  const TestAnswer reduced = as(owner.key, "GET", "/api/v1/deployments/" + id);
  EXPECT_EQ(reduced.status, 200);
  EXPECT_EQ(reduced.body.find("env"), std::string::npos);
}

TEST_F(DeploymentsTest, RequestsThatAreWrongAreNamed) {
  const auto code = [&](const std::string& body) { return deploy(body).code(); };
  EXPECT_EQ(code(R"({"service":"web"})"), "workload_source");
  EXPECT_EQ(code(raw(R"("app":"a","version":"1")")), "workload_source");
  EXPECT_EQ(code(R"({"app":"a"})"), "workload_source");
  EXPECT_EQ(code(R"({"app":"a","version":"1"})"), "app_not_found");
  EXPECT_EQ(code(raw(R"("what":1)")), "invalid_request");
  EXPECT_EQ(code(R"({"compose":")" + compose() + "\"}"), "invalid_request") << "service is needed";
  EXPECT_EQ(code(raw("", "Bad_Name")), "invalid_request");
  EXPECT_EQ(code(raw(R"("node_size":"huge")")), "invalid_request");
  for (const char* wrong : {R"("replicas":0)",
                            R"("replicas":9)",
                            R"("replicas":2,"agent_name":"a")",
                            R"("ttl_seconds":299)",
                            R"("ttl_seconds":31536001)",
                            R"("deploy_timeout_seconds":59)",
                            R"("deploy_timeout_seconds":7201)",
                            R"("wait_for_capacity_seconds":3601)",
                            R"("env":{"1A":"x"})",
                            R"("env":{"A B":"x"})",
                            R"("secrets":{"A":1})",
                            R"("secrets":{"A":{"value":"x","as":"disk"}})",
                            R"("secrets":{"A":{"as":"env"}})",
                            R"("ingress":[{"path_prefix":"x","port":8080}])",
                            R"("ingress":[{"path_prefix":"/..","port":8080}])",
                            R"("ingress":[{"path_prefix":"/","port":0}])",
                            R"("ingress":[{"path_prefix":"/","port":65536}])",
                            R"("ingress":[{"path_prefix":"/","port":8080},{"path_prefix":"/","port":8080}])",
                            R"("placement":{"datacenters":["mars:1"]})",
                            R"("placement":{"clouds":["mars"]})",
                            R"("replicas":1.5)",
                            R"("access":"nobody")",
                            R"("sla_class":"best")",
                            R"("on_agent_lost":"cry")"})
    EXPECT_EQ(code(raw(wrong)), "invalid_request") << wrong;
  EXPECT_EQ(code(raw(R"("placement":{"clouds":["gcp"],"excluded_clouds":["gcp"]})")), "placement_conflict");
  EXPECT_EQ(code(raw(R"("env":{"A":"x"},"secrets":{"A":"y"})")), "env_duplicate");
  EXPECT_EQ(code(raw(R"("ingress":[{"path_prefix":"/","port":9999}])")), "ingress_port_unpublished");
  EXPECT_EQ(code(R"({"service":"web","compose":"services: {web: {image: nginx}}"})"), "compose_forbidden");
  EXPECT_EQ(code(R"({"service":"web","compose":"services: ["})"), "compose_invalid");
  EXPECT_EQ(code(raw(R"("env":{"A":")" + std::string(4097, 'x') + "\"}")), "invalid_request");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM services").front(), 0);
}

}  // namespace
}  // namespace ee::testing
