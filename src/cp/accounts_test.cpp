// Accounts over HTTP: sign-up, change, suspension, end, GitHub identities and workflow rules.
#include <latch>
#include <thread>

#include "cp/account_fixture.h"

namespace ee::testing {
namespace {

class AccountsTest : public AccountFixture {
 protected:
  static std::string wanted(const std::string& name, const std::string& type = "deployer") {
    return R"({"name":")" + name + R"(","account_type":")" + type + "\"}";
  }
  TestAnswer sign_up(const std::string& body, const std::string& address = "") {
    return cp.call("POST", "/api/v1/accounts", body, {}, address);
  }
};

// covers: S04_ACC_001
TEST_F(AccountsTest, InModeOpenAnybodyMakesAnAccountOfTheOpenTypes) {
  for (const char* type : {"deployer", "agent", "contributor"}) {
    const TestAnswer answer = sign_up(wanted(std::string("my-") + type, type));
    ASSERT_EQ(answer.status, 201) << answer.body;
    const Made made = made_of(answer);
    const auto account = body_of(answer).at("account");
    EXPECT_EQ(text(account, "balance"), "0.000000");
    EXPECT_EQ(text(account, "status"), "active");
    EXPECT_EQ(as(made.key, "GET", made.path()).status, 200);
  }
  EXPECT_EQ(sign_up(wanted("l", "launcher")).code(), "account_type_not_allowed");
  EXPECT_EQ(sign_up(wanted("s", "system")).code(), "account_type_not_allowed");
  EXPECT_EQ(sign_up(wanted("x", "king")).code(), "invalid_account_type");
  EXPECT_EQ(sign_up(wanted("Bad_Name")).code(), "invalid_name");
  EXPECT_EQ(sign_up(R"({"name":"m","account_type":"deployer","contact_email":"no at"})").code(), "invalid_request");
  EXPECT_EQ(audited("account_created"), 3);
}

// covers: S04_ACC_002
TEST_F(AccountsTest, InModeClosedOnlyAdministratorsMakeAccounts) {
  set_signup("closed");
  EXPECT_EQ(sign_up(wanted("a")).code(), "signup_closed");
  EXPECT_EQ(as(sign_in(7, "ada"), "POST", "/api/v1/accounts", wanted("a")).code(), "signup_closed");
  for (const char* type : {"deployer", "agent", "contributor", "launcher"}) make(std::string("by-admin-") + type, type);
  EXPECT_EQ(cp.admin("POST", "/api/v1/accounts", wanted("s", "system")).code(), "account_type_not_allowed");
  EXPECT_NE(cp.call("GET", "/auth/methods").body.find(R"("signup":"closed")"), std::string::npos);
}

// covers: S04_ACC_003
TEST_F(AccountsTest, InModeGithubPeopleWhoSignedInMakeAccountsAndAreLinked) {
  set_signup("github");
  EXPECT_EQ(sign_up(wanted("a")).code(), "signup_closed");
  const std::string ada = sign_in(7, "Ada");
  const Made made = made_of(as(ada, "POST", "/api/v1/accounts", wanted("adas")));
  const auto identities = body_of(as(ada, "GET", made.path())).at("identities").as_array();
  ASSERT_EQ(identities.size(), 1U);
  EXPECT_EQ(identities[0].at("github_id").as_int64(), 7);
  EXPECT_EQ(text(identities[0], "login"), "Ada");
  EXPECT_EQ(as(ada, "POST", "/api/v1/accounts", wanted("another")).code(), "identity_already_linked");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM accounts WHERE name='another'").front(), 0)
      << "all of it or nothing";
  const auto me = body_of(as(ada, "GET", "/auth/me"));
  EXPECT_EQ(text(me, "role"), "user");
  EXPECT_EQ(text(me.at("accounts").at(0), "id"), made.id);
  EXPECT_EQ(as(made.key, "POST", "/api/v1/accounts", wanted("b")).code(), "admin_required") << "a key makes no account";
}

TEST_F(AccountsTest, FiveSignUpsOfOneAddressInAnHour) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(sign_up(wanted("a" + std::to_string(i)), "192.0.2.7").status, 201);
  const TestAnswer refused = sign_up(wanted("a5"), "192.0.2.7");
  EXPECT_EQ(refused.code(), "rate_limited");
  EXPECT_FALSE(refused.header("Retry-After").empty());
  EXPECT_EQ(sign_up(wanted("a5"), "192.0.2.8").status, 201);
}

// covers: S04_ACC_004
TEST_F(AccountsTest, ANameIsTakenOnceAlsoWhenTwoAskTogether) {
  make("acme");
  EXPECT_EQ(cp.admin("POST", "/api/v1/accounts", wanted("acme")).code(), "account_name_taken");
  std::array<TestAnswer, 2> answers;
  std::latch begin(2);
  std::vector<std::jthread> threads;
  threads.reserve(answers.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    threads.emplace_back([&, i] {
      net::Request request{.method = "POST", .path = "/api/v1/accounts"};
      request.headers = {{"Content-Type", "application/json"}};
      request.body = wanted("both");
      request.client_address = "198.51.100." + std::to_string(i);
      begin.arrive_and_wait();
      net::Response response = cp.app().call(std::move(request));
      answers[i] = {.status = response.status, .body = std::move(response.body), .headers = {}};
    });
  }
  threads.clear();
  EXPECT_EQ(answers[0].status + answers[1].status, 201 + 409) << answers[0].body << answers[1].body;
  EXPECT_EQ((answers[0].status == 409 ? answers[0] : answers[1]).code(), "account_name_taken");
}

// covers: S04_ACC_005
TEST_F(AccountsTest, AnAccountIsReadByItsOwnAndChangedByVersion) {
  const Made acme = make("acme");
  const Made other = make("other");
  EXPECT_EQ(as(other.key, "GET", acme.path()).code(), "account_not_found");
  EXPECT_EQ(as(acme.key, "GET", "/api/v1/accounts/00000000-0000-7000-8000-000000000001").code(), "account_not_found");
  EXPECT_EQ(cp.admin("GET", "/api/v1/accounts/00000000-0000-7000-8000-000000000001").code(), "account_not_found");
  const TestAnswer read = as(acme.key, "GET", acme.path());
  EXPECT_EQ(read.header("ETag"), "\"1\"");
  const std::string change =
      R"({"description":"new","contact_email":"a@b.example","spend_limit":"25.000000","spend_limit_action":"stop"})";
  const TestAnswer changed = as(acme.key, "PATCH", acme.path(), change, {{"If-Match", "\"1\""}});
  ASSERT_EQ(changed.status, 200) << changed.body;
  EXPECT_EQ(text(body_of(changed), "spend_limit"), "25.000000");
  EXPECT_EQ(as(acme.key, "PATCH", acme.path(), change, {{"If-Match", "\"1\""}}).code(), "version_mismatch");
  EXPECT_EQ(as(acme.key, "PATCH", acme.path(), R"({"name":"other"})").code(), "account_name_taken");
  EXPECT_EQ(as(acme.key, "PATCH", acme.path(), R"({"name":"acme-two","contact_email":null})").status, 200);
  EXPECT_TRUE(body_of(as(acme.key, "GET", acme.path())).at("contact_email").is_null());
  EXPECT_EQ(as(acme.key, "PATCH", acme.path(), R"({"status_reason":"x"})").code(), "admin_required");
  EXPECT_EQ(as(acme.key, "PATCH", acme.path(), R"({"spend_limit":"-1.000000"})").code(), "invalid_request");
  EXPECT_EQ(as(acme.key, "PATCH", acme.path(), R"({"balance":"1.000000"})").code(), "invalid_request");
  EXPECT_EQ(audited("account_updated"), 2);
}

TEST_F(AccountsTest, TheOwnerOfALaunchersMachinesIsSetByAdministrators) {
  const Made launcher = make("launch", "launcher");
  const Made nodes = make("nodes", "agent");
  const Made writer = make("writer", "contributor");
  const auto body = [](const std::string& id) { return R"({"operator_account_id":")" + id + "\"}"; };
  EXPECT_EQ(as(launcher.key, "PATCH", launcher.path(), body(nodes.id)).code(), "admin_required");
  EXPECT_EQ(cp.admin("PATCH", launcher.path(), body(writer.id)).code(), "invalid_request");
  EXPECT_EQ(cp.admin("PATCH", nodes.path(), body(nodes.id)).code(), "invalid_request");
  EXPECT_EQ(cp.admin("PATCH", launcher.path(), body(nodes.id)).status, 200);
  EXPECT_EQ(text(body_of(as(launcher.key, "GET", launcher.path())), "operator_account_id"), nodes.id);
}

// covers: S04_ACC_006
TEST_F(AccountsTest, WhatAnAccountHoldsKeepsItFromBeingClosed) {
  const Made acme = make("acme");
  const auto close = [&] { return as(acme.key, "DELETE", acme.path()); };
  cp.execute(
      "INSERT INTO deployment_segments (id, deployment_id, seq, account_id, agent_id, vcpus, memory_mib, gpu_count,"
      " sla_class, datacenter, rate_micros, rate_version, operator_bps, pool_bps, from_at, charged_to_at)"
      " VALUES ('s', 'd', 1, :account, 'a', 1, 1024, 0, 'standard', 'x', 1, 1, 0, 0, 0, 0)",
      {{"account", acme.id}});
  EXPECT_EQ(close().code(), "account_has_unbilled_usage");
  cp.execute("UPDATE deployment_segments SET settled=2");
  EXPECT_EQ(close().code(), "account_has_unbilled_usage") << "what could not be charged is still owed";
  cp.execute(
      "UPDATE deployment_segments SET settled=0, account_id='00000000-0000-7000-8000-000000000003', "
      "agent_account_id=:account",
      {{"account", acme.id}});
  EXPECT_EQ(close().code(), "account_has_unbilled_usage") << "its agents' earnings are still to come";
  cp.execute("UPDATE deployment_segments SET settled=1");

  SystemRandom random;
  const EmulatedAgent agent("tdx-agent-001", random);
  ASSERT_EQ(cp.register_agent(agent).status, 201);
  cp.execute("UPDATE agents SET account_id=:account", {{"account", acme.id}});
  EXPECT_EQ(close().code(), "account_has_agents");
  cp.execute("UPDATE agents SET account_id=NULL");

  for (const char* balance : {"1", "-1"}) {
    cp.execute("UPDATE account_balances SET balance_micros=:balance WHERE account_id=:account",
               {{"balance", std::stoll(balance)}, {"account", acme.id}});
    const TestAnswer refused = close();
    EXPECT_EQ(refused.code(), "balance_not_zero");
    EXPECT_NE(refused.body.find("0.000001"), std::string::npos) << refused.body;
  }
  cp.execute("UPDATE account_balances SET balance_micros=0 WHERE account_id=:account", {{"account", acme.id}});

  cp.execute(
      "INSERT INTO deposits (id, account_id, amount_micros, status, created_at, updated_at)"
      " VALUES ('d', :account, 10000, 'requires_payment', 0, 0)",
      {{"account", acme.id}});
  EXPECT_EQ(close().code(), "account_has_pending_deposits");
  cp.execute("UPDATE deposits SET status='canceled'");
  EXPECT_EQ(audited("account_closed"), 0);
  EXPECT_EQ(close().status, 204);
}

// covers: S04_ACC_007
TEST_F(AccountsTest, AClosedAccountLeavesItsNameIdentitiesAndKeys) {
  const Made acme = make("acme");
  ASSERT_EQ(cp.admin("POST", acme.path() + "/identities", R"({"kind":"user","github_id":7,"login":"ada","reason":"r"})")
                .status,
            201);
  const std::string ada = sign_in(7, "ada");
  EXPECT_EQ(as(ada, "GET", acme.path()).status, 200);
  EXPECT_EQ(as(acme.key, "DELETE", acme.path()).status, 204);
  EXPECT_EQ(as(acme.key, "GET", acme.path()).code(), "invalid_credential");
  EXPECT_EQ(as(ada, "GET", acme.path()).code(), "account_not_found");
  EXPECT_EQ(cp.admin("DELETE", acme.path()).status, 204) << "again";
  EXPECT_EQ(audited("account_closed"), 1);
  EXPECT_EQ(text(body_of(cp.admin("GET", acme.path())), "status"), "closed") << "the row stays";
  EXPECT_EQ(cp.admin("POST", acme.path() + "/suspend", R"({"reason":"x"})").code(), "account_closed");
  EXPECT_EQ(cp.admin("POST", acme.keys(), R"({"name":"k","reason":"x"})").code(), "account_closed");
  make("acme");
  EXPECT_EQ(as(ada, "POST", "/api/v1/accounts", wanted("adas")).status, 201) << "the identity is free";
}

// covers: S04_ACC_008
TEST_F(AccountsTest, PeopleLinkTheirOwnUserByAFreshSignIn) {
  const Made acme = make("acme");
  const std::string identities = acme.path() + "/identities";
  ASSERT_EQ(cp.admin("POST", identities, R"({"kind":"user","github_id":7,"login":"ada","reason":"r"})").status, 201);
  const std::string ada = sign_in(7, "ada", R"([{"id":70,"login":"adas-org","role":"admin"}])");
  EXPECT_EQ(as(ada, "POST", identities, R"({"github_id":7})").code(), "identity_already_linked");
  // covers: S04_ACC_009
  EXPECT_EQ(as(ada, "POST", identities, R"({"github_id":70})").status, 201) << "an organisation where she is admin";
  const std::string member = sign_in(7, "ada", R"([{"id":71,"login":"big","role":"member"}])");
  EXPECT_EQ(as(member, "POST", identities, R"({"github_id":71})").code(), "identity_not_proven");
  EXPECT_EQ(audited("identity_linked"), 2);
  const auto items = body_of(as(ada, "GET", identities)).at("items").as_array();
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(text(items[1], "kind"), "org");
}

// covers: S04_ACC_010
TEST_F(AccountsTest, NobodyLinksWhatIsNotProven) {
  const Made acme = make("acme");
  const std::string identities = acme.path() + "/identities";
  ASSERT_EQ(cp.admin("POST", identities, R"({"kind":"user","github_id":7,"login":"ada","reason":"r"})").status, 201);
  const std::string ada = sign_in(7, "ada", R"([{"id":70,"login":"adas-org","role":"admin"}])");
  EXPECT_EQ(as(ada, "POST", identities, R"({"github_id":8})").code(), "identity_not_proven") << "another's";
  EXPECT_EQ(as(ada, "POST", identities, R"({"github_id":70,"login":"forged"})").code(), "invalid_request");
  EXPECT_EQ(as(acme.key, "POST", identities, R"({"github_id":7})").code(), "identity_not_proven")
      << "a key proves nobody";
  cp.clock.advance(Seconds(601));
  EXPECT_EQ(as(ada, "POST", identities, R"({"github_id":70})").code(), "identity_not_proven") << "too long ago";
  const std::string bob = sign_in(8, "bob");
  EXPECT_EQ(as(bob, "POST", identities, R"({"github_id":8})").code(), "account_not_found") << "not his account";
  const Made other = make("other");
  EXPECT_EQ(
      cp.admin("POST", other.path() + "/identities", R"({"kind":"user","github_id":7,"login":"ada","reason":"r"})")
          .code(),
      "identity_already_linked");
  EXPECT_EQ(cp.admin("POST", identities, R"({"kind":"user","github_id":9,"login":"eve"})").code(), "invalid_request");
}

// covers: S04_ACC_011
TEST_F(AccountsTest, AnIdentityInUseStays) {
  const Made acme = make("acme");
  const std::string identities = acme.path() + "/identities";
  ASSERT_EQ(cp.admin("POST", identities, R"({"kind":"org","github_id":70,"login":"acme","reason":"r"})").status, 201);
  SystemRandom random;
  ASSERT_EQ(cp.register_agent(EmulatedAgent("tdx-agent-001", random)).status, 201);
  cp.execute("UPDATE agents SET github_owner_id=70");
  EXPECT_EQ(as(acme.key, "DELETE", identities + "/70").code(), "identity_in_use");
  cp.execute("UPDATE agents SET github_owner_id=NULL");
  EXPECT_EQ(as(acme.key, "DELETE", identities + "/70").status, 204);
  EXPECT_EQ(as(acme.key, "DELETE", identities + "/70").code(), "not_found");
  EXPECT_EQ(audited("identity_unlinked"), 1);
}

// covers: S04_ACC_012
TEST_F(AccountsTest, ASuspendedAccountCanBeReadAndNothingElse) {
  const Made acme = make("acme");
  ASSERT_EQ(cp.admin("POST", acme.path() + "/identities", R"({"kind":"user","github_id":7,"login":"ada","reason":"r"})")
                .status,
            201);
  const std::string ada = sign_in(7, "ada");
  EXPECT_EQ(as(acme.key, "POST", acme.path() + "/suspend", R"({"reason":"x"})").code(), "admin_required");
  EXPECT_EQ(cp.admin("POST", acme.path() + "/suspend", R"({"reason":""})").code(), "invalid_request");
  const TestAnswer suspended = cp.admin("POST", acme.path() + "/suspend", R"({"reason":"abuse"})");
  EXPECT_EQ(text(body_of(suspended), "status_reason"), "abuse");
  for (const std::string& token : {acme.key, ada}) {
    EXPECT_EQ(as(token, "GET", acme.path()).status, 200);
    EXPECT_EQ(as(token, "PATCH", acme.path(), R"({"name":"x"})").code(), "account_suspended");
    EXPECT_EQ(as(token, "POST", acme.keys(), R"({"name":"x"})").code(), "account_suspended");
  }
  cp.execute("UPDATE account_balances SET dispute_hold=1 WHERE account_id=:account", {{"account", acme.id}});
  EXPECT_EQ(text(body_of(cp.admin("POST", acme.path() + "/resume", R"({"reason":"fine"})")), "status"), "active");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT SUM(dispute_hold) FROM account_balances").front(), 0);
  EXPECT_EQ(as(ada, "PATCH", acme.path(), R"({"name":"x"})").status, 200);
  EXPECT_EQ(audited("account_suspended"), 1);
  EXPECT_EQ(audited("account_resumed"), 1);
}

TEST_F(AccountsTest, WorkflowRulesAreReplacedAsAWhole) {
  const Made acme = make("acme");
  const std::string path = acme.path() + "/oidc-rules";
  EXPECT_EQ(as(acme.key, "GET", path).body, R"({"policy":"owner","rules":[]})");
  const std::string rules =
      R"({"policy":"rules","rules":[{"repository":"acme/app","ref_glob":"refs/heads/*","events":["push","release"]}]})";
  ASSERT_EQ(as(acme.key, "PUT", path, rules).status, 200);
  const auto read = body_of(as(acme.key, "GET", path));
  EXPECT_EQ(text(read, "policy"), "rules");
  EXPECT_EQ(text(read.at("rules").at(0), "repository"), "acme/app");
  EXPECT_EQ(read.at("rules").at(0).at("events").as_array().size(), 2U);
  EXPECT_TRUE(read.at("rules").at(0).at("environment").is_null());
  for (const char* bad : {R"({"policy":"all","rules":[]})", R"({"policy":"rules","rules":[{"repository":"acme"}]})",
                          R"({"policy":"rules","rules":[{"repository_id":"x1"}]})",
                          R"({"policy":"rules","rules":[{"workflow":"a/b/.github/w.yml@main"}]})",
                          R"({"policy":"rules","rules":[{"events":[]}]})"})
    EXPECT_EQ(as(acme.key, "PUT", path, bad).code(), "invalid_rule") << bad;
  EXPECT_EQ(as(acme.key, "PUT", path, R"({"policy":"off","rules":[]})").body, R"({"policy":"off","rules":[]})");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM oidc_rules").front(), 0);
  EXPECT_EQ(audited("oidc_rules_changed"), 2);
}

TEST_F(AccountsTest, ListsAllForAdministratorsAndTheLinkedOnesForPeople) {
  for (const char* name : {"aa-one", "aa-two", "bb-one"}) {
    make(name);
    cp.clock.advance(Seconds(1));
  }
  const Made nodes = make("nodes", "agent");
  ASSERT_EQ(
      cp.admin("POST", nodes.path() + "/identities", R"({"kind":"user","github_id":7,"login":"Ada","reason":"r"})")
          .status,
      201);
  const auto names = [&](const TestAnswer& answer) {
    std::string out;
    for (const auto& item : body_of(answer).at("items").as_array()) out += text(item, "name") + ' ';
    return out;
  };
  EXPECT_EQ(names(cp.admin("GET", "/api/v1/accounts?name=aa")), "aa-one aa-two ");
  EXPECT_EQ(names(cp.admin("GET", "/api/v1/accounts?account_type=agent")), "nodes ");
  EXPECT_EQ(names(cp.admin("GET", "/api/v1/accounts?github_login=ada")), "nodes ");
  EXPECT_EQ(names(cp.admin("GET", "/api/v1/accounts?status=closed")), "");
  const TestAnswer page = cp.admin("GET", "/api/v1/accounts?limit=3");
  EXPECT_EQ(names(page), "aa-one aa-two bb-one ");
  EXPECT_EQ(names(cp.admin("GET", "/api/v1/accounts?limit=3&cursor=" + text(body_of(page), "next_cursor"))), "nodes ");
  EXPECT_EQ(names(as(sign_in(7, "Ada"), "GET", "/api/v1/accounts")), "nodes ");
  EXPECT_EQ(names(as(sign_in(7, "Ada"), "GET", "/api/v1/accounts?github_login=ADA")), "nodes ");
  EXPECT_EQ(names(as(sign_in(7, "Ada"), "GET", "/api/v1/accounts?github_login=bob")), "");
  EXPECT_EQ(names(as(sign_in(8, "bob"), "GET", "/api/v1/accounts")), "");
  EXPECT_EQ(as(nodes.key, "GET", "/api/v1/accounts").status, 403);
}

TEST_F(AccountsTest, MeSaysWhoseKeyItIs) {
  const Made acme = make("acme", "contributor");
  const auto me = body_of(as(acme.key, "GET", "/auth/me"));
  EXPECT_EQ(text(me, "kind"), "account");
  EXPECT_EQ(text(me.at("account"), "name"), "acme");
  EXPECT_EQ(text(me.at("account"), "account_type"), "contributor");
  EXPECT_EQ(me.at("scopes").as_array().size(), 4U);
  EXPECT_TRUE(me.at("csrf_token").is_null());
}

// covers: S04_AUTH_SESS_005
TEST_F(AccountsTest, ARotatedSessionHasAnotherTokenAndTheSameEnd) {
  const std::string old = cp.admin_token();
  const auto before = body_of(as(old, "GET", "/auth/me"));
  const TestAnswer rotated = as(old, "POST", "/auth/rotate");
  ASSERT_EQ(rotated.status, 200) << rotated.body;
  const std::string fresh = text(body_of(rotated), "token");
  EXPECT_EQ(text(body_of(rotated), "expires_at"), text(before, "expires_at"));
  EXPECT_NE(text(body_of(rotated), "csrf_token"), text(before, "csrf_token"));
  EXPECT_EQ(as(old, "GET", "/auth/me").code(), "invalid_credential");
  EXPECT_EQ(as(old, "POST", "/auth/rotate").code(), "invalid_credential");
  EXPECT_EQ(as(fresh, "GET", "/auth/me").status, 200);
  EXPECT_EQ(audited("session_rotated"), 1);
}

TEST_F(AccountsTest, SessionsAreListedAndEndedByTheirOwn) {
  const std::string ada = sign_in(7, "ada");
  const std::string phone = sign_in(7, "ada");
  const std::string bob = sign_in(8, "bob");
  const auto items = body_of(as(ada, "GET", "/auth/sessions")).at("items").as_array();
  ASSERT_EQ(items.size(), 2U);
  std::string other;
  for (const auto& item : items)
    if (!item.at("current").as_bool()) other = text(item, "id");
  EXPECT_EQ(as(bob, "DELETE", "/auth/sessions/" + other).code(), "not_found");
  EXPECT_EQ(as(bob, "GET", "/auth/sessions?all=true").code(), "admin_required");
  EXPECT_EQ(as(ada, "DELETE", "/auth/sessions/" + other).status, 204);
  EXPECT_EQ(as(ada, "DELETE", "/auth/sessions/" + other).code(), "not_found");
  EXPECT_EQ(as(phone, "GET", "/auth/me").code(), "invalid_credential");
  EXPECT_EQ(body_of(cp.admin("GET", "/auth/sessions?all=true")).at("items").as_array().size(), 3U);
  EXPECT_EQ(audited("session_revoked"), 1);
}

}  // namespace
}  // namespace ee::testing
