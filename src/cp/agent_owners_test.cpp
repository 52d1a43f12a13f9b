// Owners of agents through the whole control plane: enrolment tokens, what is whose, and who may change what.
#include <algorithm>
#include <functional>
#include <latch>
#include <thread>

#include "cp/account_fixture.h"
#include "tests/support/github_case.h"

namespace ee::testing {
namespace {

constexpr const char* kTokens = "/api/v1/me/agents/enrollment-tokens";

std::string member(const TestAnswer& answer, std::string_view name) {
  const auto body = boost::json::parse(answer.body);
  const auto* value = body.as_object().if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

class AgentOwners : public AccountFixture {
 protected:
  std::string token_of(const Made& account, const std::string& body = "{}") {
    const TestAnswer answer = as(account.key, "POST", kTokens, body);
    EXPECT_EQ(answer.status, 201) << answer.body;
    return member(answer, "token");
  }
  TestAnswer enrol(const std::string& name, const std::string& token,
                   const std::function<void(TestControlPlane::Registration&)>& change = {}) {
    const EmulatedAgent agent(name, random_);
    auto registration = cp.prepare(agent);
    if (!token.empty()) registration.request.bootstrap_token = token;
    if (change) change(registration);
    return cp.send(agent, registration);
  }
  std::string enrolled(const std::string& name, const Made& account) {
    const TestAnswer answer = enrol(name, token_of(account));
    EXPECT_EQ(answer.status, 201) << answer.body;
    return member(answer, "agent_id");
  }
  std::string path(const std::string& agent, const std::string& rest = "") { return "/api/v1/agents/" + agent + rest; }
  std::string mine(const std::string& agent, const std::string& rest = "") {
    return "/api/v1/me/agents/" + agent + rest;
  }
  SystemRandom random_;
};

// covers: S02_AGT_REG_006
TEST_F(AgentOwners, S02_AGT_REG_006_a_token_that_does_not_fit_has_one_code) {
  const Made owner = make("owner");
  const Made other = make("other");
  ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/agents.require_bootstrap_token", R"({"value":true})").status, 200);
  EXPECT_EQ(enrol("vm-a", "").code(), "bootstrap_token_required");
  const auto refused = [&](const std::string& name, const std::string& token) {
    const TestAnswer answer = enrol(name, token);
    EXPECT_EQ(answer.status, 403) << answer.body;
    EXPECT_EQ(answer.code(), "invalid_bootstrap_token") << answer.body;
  };
  const std::string good = token_of(owner, R"({"max_agents":1})");
  std::string wrong = good;
  wrong[good.size() - 20] = wrong[good.size() - 20] == 'a' ? 'b' : 'a';
  refused("vm-a", "ee_enroll_garbage");
  refused("vm-a", wrong);
  refused("vm-a", owner.key);
  refused("vm-a", token_of(owner, R"({"node_size":"llm"})"));
  refused("vm-a", token_of(owner, R"({"datacenter":"gcp:us-central1-a"})"));
  EXPECT_EQ(cp.agents(), 0);
  ASSERT_EQ(enrol("vm-a", good).status, 201);
  refused("vm-b", good);             // exhausted
  refused("vm-a", token_of(other));  // the name is another account's
  const TestAnswer revoked = as(owner.key, "POST", kTokens, "{}");
  ASSERT_EQ(as(owner.key, "DELETE", std::string(kTokens) + "/" + member(revoked, "id")).status, 204);
  refused("vm-b", member(revoked, "token"));
  const std::string expired = token_of(owner, R"({"ttl_seconds":300})");
  const std::string suspended = token_of(other);
  ASSERT_EQ(cp.admin("POST", other.path() + "/suspend", R"({"reason":"x"})").status, 200);
  refused("vm-b", suspended);
  cp.clock.advance(Seconds(301));
  refused("vm-b", expired);
  // The same machine again: neither the count nor the end of its token stands in the way.
  const TestAnswer again = enrol("vm-a", good);
  EXPECT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(cp.agents(), 1);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT MAX(used_agents) FROM agent_enrollment_tokens").front(), 1);
  EXPECT_GE(audited("enrollment_token_refused"), 1);
  for (const std::string& detail : cp.values<std::string>("SELECT detail FROM audit_log"))
    EXPECT_EQ(detail.find(good), std::string::npos);
}

// covers: S02_AGT_REG_007
TEST_F(AgentOwners, S02_AGT_REG_007_of_eight_at_once_a_token_for_two_admits_two) {
  const Made owner = make("owner");
  const std::string token = token_of(owner, R"({"max_agents":2})");
  constexpr int kAgents = 8;
  std::vector<EmulatedAgent> agents;
  std::vector<TestControlPlane::Registration> registrations;
  for (int i = 0; i < kAgents; ++i) {
    agents.emplace_back("vm-" + std::to_string(i), random_);
    registrations.push_back(cp.prepare(agents.back()));
    registrations.back().request.bootstrap_token = token;
  }
  std::vector<TestAnswer> answers(kAgents);
  {
    std::latch start(kAgents);
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kAgents; ++i)
      threads.emplace_back([&, i] {
        start.arrive_and_wait();
        answers[i] = cp.send(agents[i], registrations[i], "192.0.2." + std::to_string(i));
      });
  }
  EXPECT_EQ(std::ranges::count(answers, 201, &TestAnswer::status), 2);
  for (const TestAnswer& answer : answers)
    if (answer.status != 201) EXPECT_EQ(answer.code(), "invalid_bootstrap_token") << answer.body;
  EXPECT_EQ(cp.agents(), 2);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT used_agents FROM agent_enrollment_tokens").front(), 2);
  EXPECT_EQ(cp.values<std::string>("SELECT DISTINCT account_id FROM agents"), std::vector<std::string>{owner.id});
  EXPECT_EQ(cp.values<std::string>("SELECT DISTINCT placement_key FROM agents"),
            std::vector<std::string>{"a:" + owner.id});
}

TEST_F(AgentOwners, ATokenIsShownOnceAndCountedAgainstTheAccount) {
  const Made owner = make("owner");
  const Made other = make("other");
  const std::vector<HttpHeader> key = {{"Idempotency-Key", "k1"}};
  const TestAnswer first = as(owner.key, "POST", kTokens, R"({"max_agents":3})", key);
  const TestAnswer replay = as(owner.key, "POST", kTokens, R"({"max_agents":3})", key);
  ASSERT_EQ(first.status, 201) << first.body;
  EXPECT_TRUE(member(first, "token").starts_with("ee_enroll_"));
  EXPECT_EQ(replay.status, 201);
  EXPECT_EQ(replay.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(member(replay, "id"), member(first, "id"));
  EXPECT_EQ(member(replay, "token"), "");
  EXPECT_EQ(cp.values<std::string>("SELECT response FROM idempotency_keys WHERE response LIKE '%ee_enroll%'").size(),
            0U);

  const TestAnswer listed = as(owner.key, "GET", kTokens);
  EXPECT_EQ(listed.body.find("ee_enroll_"), std::string::npos);
  EXPECT_NE(listed.body.find(R"("max_agents":3,"used_agents":0)"), std::string::npos) << listed.body;
  EXPECT_EQ(as(other.key, "GET", kTokens).body, R"({"items":[],"next_cursor":null})");
  EXPECT_EQ(as(other.key, "DELETE", std::string(kTokens) + "/" + member(first, "id")).status, 404);

  EXPECT_EQ(as(owner.key, "POST", kTokens, R"({"node_size":"huge"})").code(), "unknown_node_size");
  EXPECT_EQ(as(owner.key, "POST", kTokens, R"({"datacenter":"mars"})").code(), "invalid_request");
  EXPECT_EQ(as(owner.key, "POST", kTokens, R"({"ttl_seconds":299})").code(), "invalid_request");
  EXPECT_EQ(as(owner.key, "POST", kTokens, R"({"max_agents":1001})").code(), "invalid_request");
  EXPECT_EQ(as(owner.key, "POST", kTokens, R"({"github_owner_id":9})").code(), "github_owner_not_linked");
  EXPECT_EQ(as(owner.key, "POST", kTokens, R"({"account_id":")" + other.id + "\"}").code(), "account_not_found");
  for (int i = 1; i < 50; ++i) ASSERT_EQ(as(owner.key, "POST", kTokens, "{}").status, 201) << i;
  EXPECT_EQ(as(owner.key, "POST", kTokens, "{}").code(), "too_many_tokens");
  ASSERT_EQ(as(owner.key, "DELETE", std::string(kTokens) + "/" + member(first, "id")).status, 204);
  EXPECT_EQ(as(owner.key, "DELETE", std::string(kTokens) + "/" + member(first, "id")).status, 204);
  EXPECT_EQ(as(owner.key, "POST", kTokens, "{}").status, 201);
  EXPECT_EQ(audited("enrollment_token_revoked"), 1);
}

TEST_F(AgentOwners, DeadTokensGoThirtyDaysAfterTheirEnd) {
  const Made owner = make("owner");
  token_of(owner, R"({"ttl_seconds":300})");
  const TestAnswer revoked = as(owner.key, "POST", kTokens, R"({"ttl_seconds":2592000})");
  ASSERT_EQ(as(owner.key, "DELETE", std::string(kTokens) + "/" + member(revoked, "id")).status, 204);
  const auto left = [&] { return cp.values<std::int64_t>("SELECT COUNT(*) FROM agent_enrollment_tokens").front(); };
  cp.clock.advance(Seconds(29 * 86400));
  ASSERT_TRUE(cp.app().run_job("agent_tombstone_purge"));
  EXPECT_EQ(left(), 2);
  cp.clock.advance(Seconds(86400 + 301));
  ASSERT_TRUE(cp.app().run_job("agent_tombstone_purge"));
  EXPECT_EQ(left(), 0);
}

/// Everything that an owner may ask of an agent; deletion last.
const std::vector<std::pair<std::string, std::string>> kCalls = {
    {"GET", ""},        {"POST", "/drain"}, {"POST", "/undrain"}, {"POST", "/undeploy"},
    {"POST", "/reset"}, {"GET", "/stats"},  {"DELETE", ""}};

// covers: S02_OWN_001 (without deployments)
TEST_F(AgentOwners, S02_OWN_001_an_agent_exists_for_its_owner_and_administrators) {
  const Made owner = make("owner");
  const Made nodes = make("nodes", "agent");
  const Made stranger = make("stranger");
  const std::string identity = R"({"kind":"org","github_id":70,"login":"acme","reason":"r"})";
  ASSERT_EQ(cp.admin("POST", owner.path() + "/identities", identity).status, 201);
  const std::string org_admin = sign_in(7, "ada", R"([{"id":70,"login":"acme","role":"admin"}])");
  const std::string org_member = sign_in(8, "bob", R"([{"id":70,"login":"acme","role":"member"}])");
  const std::string reader = new_key(owner, owner.key, R"({"name":"reader","scopes":["read"]})").key;
  const std::string agent = enrolled("vm-a", owner);
  enrolled("vm-b", nodes);

  for (const auto& [method, rest] : kCalls) {
    const std::string what = method + " " + rest;
    const std::string body = method == "POST" ? "{}" : "";
    for (const std::string& target : {path(agent, rest), mine(agent, rest)}) {
      EXPECT_EQ(as(stranger.key, method, target, body).code(), "agent_not_found") << what;
      EXPECT_EQ(as(nodes.key, method, target, body).code(), "agent_not_found") << what;
      EXPECT_EQ(as(org_member, method, target, body).code(), "agent_not_found") << what;
      EXPECT_EQ(cp.call(method, target, body).code(), "unauthenticated") << what;
      if (method != "GET") EXPECT_EQ(as(reader, method, target, body).code(), "scope_missing") << what;
    }
    EXPECT_EQ(cp.admin(method, mine(agent, rest), body).code(), "agent_not_found")
        << what << ": it is not the admin's own";
    if (method == "DELETE") continue;
    for (const std::string& token : {owner.key, org_admin}) {
      EXPECT_LT(as(token, method, path(agent, rest), body).status, 300) << what;
      EXPECT_LT(as(token, method, mine(agent, rest), body).status, 300) << what;
    }
    EXPECT_LT(cp.admin(method, path(agent, rest), body).status, 300) << what;
  }
  EXPECT_NE(cp.admin("GET", path(agent)).body.find("\"rtmrs\""), std::string::npos);
  EXPECT_EQ(as(owner.key, "GET", path(agent)).body.find("\"rtmrs\""), std::string::npos);
  const auto count = [](const TestAnswer& answer) {
    return boost::json::parse(answer.body).at("items").as_array().size();
  };
  EXPECT_EQ(count(as(owner.key, "GET", "/api/v1/agents")), 1U);
  EXPECT_EQ(count(as(org_admin, "GET", "/api/v1/me/agents")), 1U);
  EXPECT_EQ(count(as(stranger.key, "GET", "/api/v1/agents")), 0U);
  EXPECT_EQ(count(cp.admin("GET", "/api/v1/agents")), 2U);
  EXPECT_EQ(count(cp.admin("GET", "/api/v1/me/agents")), 0U);
  EXPECT_EQ(as(org_admin, "DELETE", mine(agent)).status, 202);
  EXPECT_EQ(cp.values<std::string>("SELECT delete_reason FROM agents WHERE id=:id", {{"id", agent}}).front(), "owner");
}

// covers: S02_OWN_003 (a deployment of nobody known counts as another's), S02_OWN_004
TEST_F(AgentOwners, S02_OWN_003_and_004_owners_change_with_care) {
  const Made owner = make("owner");
  const Made other = make("other");
  ASSERT_EQ(
      cp.admin("POST", owner.path() + "/identities", R"({"kind":"org","github_id":70,"login":"acme","reason":"r"})")
          .status,
      201);
  ASSERT_EQ(
      cp.admin("POST", other.path() + "/identities", R"({"kind":"org","github_id":71,"login":"evil","reason":"r"})")
          .status,
      201);
  const std::string agent = enrolled("vm-a", owner);
  const std::string at = path(agent, "/owner");
  const auto key_now = [&] { return cp.values<std::string>("SELECT placement_key FROM agents").front(); };
  EXPECT_EQ(key_now(), "a:" + owner.id);
  EXPECT_EQ(as(owner.key, "PATCH", at, R"({"github_owner_id":71})").code(), "github_owner_not_linked");
  EXPECT_EQ(as(owner.key, "PATCH", at, R"({"github_owner_id":99})").code(), "github_owner_not_linked");
  EXPECT_EQ(as(owner.key, "PATCH", at, R"({"account_id":null})").code(), "admin_required");
  EXPECT_EQ(as(owner.key, "PATCH", at, R"({"github_owner":"acme"})").code(), "admin_required");
  EXPECT_EQ(as(other.key, "PATCH", at, R"({"placement_scope":"public"})").code(), "agent_not_found");
  const TestAnswer set = as(owner.key, "PATCH", at, R"({"github_owner_id":70,"placement_scope":"public"})");
  ASSERT_EQ(set.status, 200) << set.body;
  EXPECT_EQ(member(set, "github_owner"), "acme");
  EXPECT_EQ(key_now(), "g:70");
  ASSERT_EQ(as(owner.key, "PATCH", at, R"({"github_owner_id":null})").status, 200);
  EXPECT_EQ(key_now(), "p");

  const auto version = cp.values<std::int64_t>("SELECT row_version FROM agents").front();
  const auto if_match = [](std::int64_t v) {
    return std::vector<HttpHeader>{{"If-Match", "\"" + std::to_string(v) + "\""}};
  };
  EXPECT_EQ(as(owner.key, "PATCH", at, R"({"placement_scope":"private"})", if_match(version - 1)).code(),
            "version_mismatch");
  EXPECT_EQ(as(owner.key, "PATCH", at, R"({"placement_scope":"private"})", if_match(version)).status, 200);

  EXPECT_EQ(cp.admin("PATCH", at, R"({"account_id":"0190a000-0000-7000-8000-000000000bad"})").code(),
            "unknown_account");
  cp.execute("UPDATE agents SET current_deployment_id='0190a000-0000-7000-8000-0000000000d1', status='deployed'");
  EXPECT_EQ(cp.admin("PATCH", at, R"({"account_id":")" + other.id + "\"}").code(), "agent_has_deployment");
  EXPECT_EQ(as(owner.key, "PATCH", at, R"({"placement_scope":"public"})").status, 200) << "the account stays";
  cp.execute("UPDATE agents SET current_deployment_id=NULL, status='undeployed'");
  ASSERT_EQ(cp.admin("PATCH", at, R"({"account_id":")" + other.id + R"(","placement_scope":"private"})").status, 200);
  EXPECT_EQ(key_now(), "a:" + other.id);
  EXPECT_EQ(as(owner.key, "GET", path(agent)).code(), "agent_not_found");
  EXPECT_EQ(as(other.key, "GET", path(agent)).status, 200);
  EXPECT_GE(audited("agent_owner_changed"), 4);
  EXPECT_EQ(as(other.key, "POST", path(agent, "/drain"), R"({"reason":"x"})").status, 200);
  EXPECT_EQ(key_now(), "x");
}

TEST_F(AgentOwners, FreshEvidenceIsAskedForOnce) {
  const Made owner = make("owner");
  const std::string agent = enrolled("vm-a", owner);
  EXPECT_EQ(as(owner.key, "POST", path(agent, "/attest")).status, 202);
  EXPECT_EQ(as(owner.key, "POST", path(agent, "/attest")).status, 202);
  EXPECT_EQ(audited("agent_attestation_requested"), 1);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM agents WHERE attest_requested_at IS NOT NULL").front(), 1);
}

TEST_F(AgentOwners, OnlyWorkflowsDestroyWhereThatIsDemanded) {
  const Made owner = make("owner");
  ASSERT_EQ(
      cp.admin("POST", owner.path() + "/identities", R"({"kind":"org","github_id":70,"login":"acme","reason":"r"})")
          .status,
      201);
  const std::string plain = enrolled("vm-a", owner);
  const std::string of_github = enrolled("vm-b", owner);
  ASSERT_EQ(as(owner.key, "PATCH", path(of_github, "/owner"), R"({"github_owner_id":70})").status, 200);
  ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/agents.destructive_requires_oidc", R"({"value":true})").status,
            200);
  for (const std::string rest : {"/reset", "/undeploy"}) {
    EXPECT_EQ(as(owner.key, "POST", path(of_github, rest), "{}").code(), "identity_not_proven") << rest;
    EXPECT_EQ(as(owner.key, "POST", mine(of_github, rest), "{}").code(), "identity_not_proven") << rest;
    EXPECT_LT(as(owner.key, "POST", path(plain, rest), "{}").status, 300) << rest;
  }
  EXPECT_EQ(as(owner.key, "DELETE", path(of_github)).code(), "identity_not_proven");
  EXPECT_EQ(as(owner.key, "POST", path(of_github, "/drain"), "{}").status, 200) << "draining destroys nothing";
  EXPECT_EQ(cp.admin("DELETE", path(of_github)).status, 202);
  EXPECT_EQ(as(owner.key, "DELETE", path(plain)).status, 202);
}

/// An agent of a GitHub owner, and workflows of that owner and of others.
class AgentWorkflows : public ::testing::Test {
 protected:
  AgentWorkflows() {
    account_ = test.account("octo");
    test.link(account_, 9001, "octo-org");
    test.link(test.account("other"), 9002, "other-org");
    SystemRandom random;
    const TestAnswer answer = test.cp->register_agent(EmulatedAgent("vm-a", random));
    agent_ = member(answer, "agent_id");
    test.cp->execute("UPDATE agents SET github_owner_id=9001, github_owner='octo-org'");
  }
  TestAnswer as(const boost::json::object& change, const std::string& method, const std::string& rest = "") {
    auto claims = test.github.claims(GithubCase::kAudience);
    for (const auto& [name, value] : change) claims[name] = value;
    test.cp->clock.advance(Milliseconds(200));
    return test.cp->call(method, "/api/v1/agents/" + agent_ + rest, method == "POST" ? "{}" : "",
                         {{"Authorization", "Bearer " + test.github.token(claims)}});
  }
  GithubCase test;
  AccountId account_;
  std::string agent_;
};

// covers: S02_OWN_002
TEST_F(AgentWorkflows, S02_OWN_002_workflows_are_known_by_the_number_of_their_owner) {
  const boost::json::object mine{{"repository_owner_id", "9001"}};
  EXPECT_EQ(as(mine, "GET").status, 200);
  EXPECT_EQ(as(mine, "POST", "/drain").status, 200);

  const boost::json::object others{
      {"repository_owner_id", "9002"}, {"repository_owner", "other-org"}, {"repository", "other-org/app"}};
  EXPECT_EQ(as(others, "GET").code(), "agent_not_found");
  EXPECT_EQ(as(others, "POST", "/drain").code(), "agent_not_found");

  const boost::json::object renamed{
      {"repository_owner_id", "9001"}, {"repository_owner", "octo-new"}, {"repository", "octo-new/app"}};
  EXPECT_EQ(as(renamed, "GET").status, 200);
  // The old name under a number that is linked elsewhere: another owner, whatever it is called.
  const boost::json::object same_name{
      {"repository_owner_id", "9002"}, {"repository_owner", "octo-org"}, {"repository", "octo-org/app"}};
  EXPECT_EQ(as(same_name, "GET").code(), "agent_not_found");

  boost::json::object pull = mine;
  pull["event_name"] = "pull_request";
  EXPECT_EQ(as(pull, "POST", "/drain").code(), "repository_not_allowed");
  // Also where the account's rules let such workflows read.
  test.cp->execute("UPDATE accounts SET oidc_policy='rules' WHERE id=:id", {{"id", account_}});
  test.cp->execute(
      "INSERT INTO oidc_rules (id, account_id, events, created_at, created_by)"
      " VALUES ('r1', :account, '[\"pull_request\"]', 1, 'test')",
      {{"account", account_}});
  EXPECT_EQ(as(pull, "GET").status, 200);
  for (const char* rest : {"/drain", "/reset", "/undeploy", "/attest"})
    EXPECT_EQ(as(pull, "POST", rest).code(), "repository_not_allowed") << rest;
  EXPECT_EQ(as(pull, "DELETE").code(), "repository_not_allowed");
}

TEST_F(AgentWorkflows, AWorkflowDestroysWhatOthersMayNot) {
  test.cp->execute("UPDATE agents SET account_id=:account", {{"account", account_}});
  ASSERT_EQ(
      test.cp->admin("PUT", "/api/v1/admin/settings/agents.destructive_requires_oidc", R"({"value":true})").status,
      200);
  EXPECT_EQ(as({{"repository_owner_id", "9001"}}, "POST", "/reset").status, 202);
  EXPECT_EQ(as({{"repository_owner_id", "9001"}}, "DELETE").status, 202);
}

}  // namespace
}  // namespace ee::testing
