// Who may sign in through GitHub, how often, what ends it, and what it may be linked to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/crypto.h"
#include "tests/support/github_case.h"

namespace ee::testing {
namespace {

using standins::GithubUser;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string set_cookie(const TestAnswer& answer, const std::string& name) {
  for (const HttpHeader& header : answer.headers)
    if (header.name == "Set-Cookie" && header.value.starts_with(name + "=")) return header.value;
  return "";
}

struct AllowedRow {
  TestControlPlane::Environment environment;
  GithubUser user;
  int status;
  const char* role = "user";
};

// covers: S04_AUTH_OAUTH_009
TEST(GithubSignIns, LetsInWhoIsListed) {
  const GithubUser mona{.id = 77, .login = "Mona", .organizations = {{.id = 9001, .login = "Octo-Org"}}};
  const std::vector<AllowedRow> rows = {
      {{}, mona, 200},
      {{{"EE_ALLOWED_GITHUB_USERS", "mona"}}, mona, 200},
      {{{"EE_ALLOWED_GITHUB_USERS", "77"}}, mona, 200},
      {{{"EE_ALLOWED_GITHUB_USERS", "78"}}, mona, 403},
      {{{"EE_ALLOWED_GITHUB_USERS", "77"}}, {.id = 5, .login = "77"}, 403},  // digits are an id, never a login
      {{{"EE_ALLOWED_GITHUB_ORGS", "octo-org"}}, mona, 200},
      {{{"EE_ALLOWED_GITHUB_ORGS", "9001"}}, mona, 200},
      {{{"EE_ALLOWED_GITHUB_ORGS", "9002,other"}}, mona, 403},
      {{{"EE_ALLOWED_GITHUB_ORGS", "other"}, {"EE_ALLOWED_GITHUB_USERS", "mona"}}, mona, 200},
      {{{"EE_ALLOWED_GITHUB_ORGS", "9001"}},
       {.id = 77, .login = "Mona", .organizations = {{.id = 9001, .login = "Octo-Org", .state = "pending"}}},
       403},
      {{{"ADMIN_GITHUB_IDS", "77"}, {"EE_AUTH_USER_LOGIN", "false"}}, mona, 200, "admin"},
      {{{"ADMIN_GITHUB_LOGINS", "MONA"}, {"EE_ALLOWED_GITHUB_USERS", "other"}}, mona, 200, "admin"},
      {{{"ADMIN_GITHUB_IDS", "77"}, {"EE_ALLOWED_GITHUB_ORGS", "other"}},
       {.id = 77, .login = "Mona", .granted_scope = "read:user"},
       200,
       "admin"},
  };
  int number = 0;
  for (const AllowedRow& row : rows) {
    SCOPED_TRACE(number++);
    GithubCase test(row.environment);
    test.github.sign_in_as(row.user);
    const TestAnswer answer = Browser(test, true).sign_in();
    ASSERT_EQ(answer.status, row.status) << answer.body;
    if (answer.status != 200) continue;
    EXPECT_EQ(json::parse(answer.body)->at("role").as_string(), row.role);
    const bool by_login = row.environment.contains("ADMIN_GITHUB_LOGINS");
    EXPECT_EQ(test.audited("admin_matched_by_login").size(), by_login ? 1U : 0U);
  }
}

// covers: S04_AUTH_LOCK_003
TEST(GithubSignIns, GoOnWhilePasswordsAreLockedForEverybody) {
  GithubCase test(TestControlPlane::Environment{{"ADMIN_GITHUB_IDS", "77"}});
  const auto login = [&](int address) {
    return test.cp->call("POST", "/admin/login", R"({"password":"wrong wrong wrong","mode":"token"})", {},
                         "198.51.100." + std::to_string(address));
  };
  // As fifty failures from everywhere leave it (AdminSessionsTest): of no address in particular, and of this one.
  const UtcTime now = test.cp->clock.now();
  for (const char* bucket : {"global", "ip:192.0.2.9"})
    test.cp->execute(
        "INSERT INTO login_throttle (bucket, failures, window_start_at, locks, lock_ends_at) VALUES (:bucket, 50, "
        ":now, 1, :end)",
        {{"bucket", std::string(bucket)}, {"now", now}, {"end", now + Seconds(300)}});
  EXPECT_EQ(login(1).code(), "login_throttled");
  test.github.sign_in_as({.id = 77, .login = "Mona"});
  Browser browser(test, true);
  browser.address = "192.0.2.9";
  const TestAnswer answer = browser.sign_in();
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)->at("role").as_string(), "admin");
}

TEST(GithubSignIns, AnAdministratorComesInWhileMembershipsAreDown) {
  GithubCase test(TestControlPlane::Environment{{"ADMIN_GITHUB_IDS", "77"}});
  test.github.sign_in_as({.id = 77, .login = "Mona", .organizations = {{.id = 9001, .login = "octo-org"}}});
  test.github.fail("/user/memberships/orgs", {.status = 503}, 3);
  EXPECT_EQ(Browser(test, true).sign_in().status, 200);
  EXPECT_THAT(test.cp->values<std::string>("SELECT github_orgs FROM admin_sessions"), ElementsAre("[]"));
}

// covers: S04_AUTH_SESS_008
TEST(GithubSignIns, TakingTheAppOutOfTheSettingsEndsItsSessions) {
  GithubCase test(TestControlPlane::Environment{{"GITHUB_OAUTH_CLIENT_ID", ""}});
  const std::string key = "/api/v1/admin/settings/github_oauth.client_id";
  ASSERT_EQ(test.cp->admin("PUT", key, R"({"value":")" + test.github.client_id() + "\"}").status, 200);
  Browser browser(test);
  browser.sign_in();
  EXPECT_EQ(browser.get("/auth/me").status, 200);
  EXPECT_THAT(browser.get("/auth/methods").body, HasSubstr(R"("github":true)"));
  const TestAnswer removed = test.cp->admin("DELETE", key);
  ASSERT_LT(removed.status, 300) << removed.body;
  EXPECT_EQ(browser.get("/auth/me").status, 401);
  EXPECT_THAT(browser.get("/auth/methods").body, HasSubstr(R"("github":false)"));
  EXPECT_THAT(test.audited("session_revoked"), ElementsAre("session_revoked github_oauth_removed"));
  EXPECT_EQ(test.cp->admin("GET", key).status, 200) << "sessions by password stay";
}

TEST(GithubSignIns, AnAppThatIsGoneAtTheNextStartEndsItsSessions) {
  GithubCase test(TestControlPlane::Environment{{"GITHUB_OAUTH_CLIENT_ID", ""}});
  test.cp->execute(
      "INSERT INTO admin_sessions (id, lookup, secret_hash, auth_method, identity, github_id, ip, user_agent,"
      " created_at, expires_at, last_used_at) VALUES ('0190a000-0000-7000-8000-000000000001', 'l', 'h',"
      " 'github_oauth', 'github:1', 1, '', '', 1, 9000000000000, 1)");
  test.cp->stop();
  test.cp->start();
  EXPECT_THAT(test.cp->values<std::string>("SELECT revoked_reason FROM admin_sessions"),
              ElementsAre("github_oauth_removed"));
}

// covers: S04_AUTH_OAUTH_010
TEST(GithubSignIns, IsBoundedInHowOftenAndHowMany) {
  GithubCase test;
  Browser browser(test, true);
  browser.address = "192.0.2.9";
  for (int i = 0; i < 20; ++i) EXPECT_EQ(browser.get("/auth/github").status, 200);
  const TestAnswer throttled = browser.get("/auth/github");
  EXPECT_EQ(throttled.status, 429);
  EXPECT_NE(throttled.header("Retry-After"), "");
  test.advance(Seconds(600));
  EXPECT_EQ(browser.get("/auth/github").status, 200);

  // At most 10,000 under way; what has expired makes room.
  const UtcTime now = test.cp->clock.now();
  test.cp->execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<10000)"
      " INSERT INTO oauth_states SELECT 'state' || i, 'nonce', '/', NULL, :now, :end FROM n",
      {{"now", now}, {"end", now + Seconds(600)}});
  Browser other(test, true);
  const TestAnswer full = other.get("/auth/github");
  EXPECT_EQ(full.status, 503);
  EXPECT_EQ(full.code(), "overloaded");
  test.advance(Seconds(600));
  EXPECT_EQ(other.get("/auth/github").status, 200);
  EXPECT_EQ(test.cp->values<std::int64_t>("SELECT COUNT(*) FROM oauth_states").front(), 1);
}

TEST(GithubSignIns, EqualFailuresOfOneAddressAreOneRow) {
  GithubCase test;
  Browser browser(test);
  browser.address = "192.0.2.9";
  for (int i = 0; i < 5; ++i) browser.get("/auth/github/callback?code=a&state=" + std::string(43, 'a'));
  EXPECT_EQ(test.audited("oauth_failed").size(), 1U);
}

/// An account with an API key of all scopes, made by the administrator.
struct KeyedAccount {
  std::string id;
  std::string key;
};
KeyedAccount keyed_account(GithubCase& test, const std::string& name) {
  const TestAnswer made =
      test.cp->admin("POST", "/api/v1/accounts", R"({"name":")" + name + R"(","account_type":"deployer"})");
  if (made.status != 201) throw std::runtime_error("account: " + made.body);
  const auto body = json::parse(made.body).value();
  return {.id = std::string(body.at("account").at("id").as_string()),
          .key = std::string(body.at("api_key").as_string())};
}

TestAnswer start_link(GithubCase& test, const std::string& account, const std::string& key) {
  std::vector<HttpHeader> headers = {{"Accept", "application/json"}};
  if (!key.empty()) headers.push_back({"Authorization", "Bearer " + key});
  return test.cp->call("GET", "/auth/github?link_account_id=" + account, "", headers);
}

/// Signs in at GitHub with what a started link gave.
TestAnswer finish_link(GithubCase& test, const TestAnswer& started) {
  Browser browser(test, true);
  const std::string cookie = set_cookie(started, "ee_oauth");
  browser.cookies["ee_oauth"] = cookie.substr(9, cookie.find(';') - 9);
  return browser.get(browser.at_github(std::string(json::parse(started.body)->at("auth_url").as_string())));
}

// covers: S04_ACC_010
TEST(GithubSignIns, LinksTheUserWhoProvesToBeOne) {
  GithubCase test;
  const KeyedAccount octo = keyed_account(test, "octo");
  const KeyedAccount other = keyed_account(test, "other");
  test.github.sign_in_as({.id = 77, .login = "Mona"});

  const TestAnswer started = start_link(test, octo.id, octo.key);
  ASSERT_EQ(started.status, 200) << started.body;
  const TestAnswer linked = finish_link(test, started);
  ASSERT_EQ(linked.status, 200) << linked.body;
  EXPECT_THAT(linked.body, HasSubstr(octo.id)) << "the session acts for the account at once";
  EXPECT_THAT(test.cp->values<std::string>("SELECT github_id || ' ' || kind || ' ' || login_norm || ' ' || account_id"
                                           " FROM account_identities"),
              ElementsAre("77 user mona " + octo.id));
  EXPECT_THAT(test.audited("identity_linked"), ElementsAre("identity_linked -"));

  EXPECT_EQ(finish_link(test, start_link(test, octo.id, octo.key)).status, 200) << "again is no fault";
  const TestAnswer taken = finish_link(test, start_link(test, other.id, other.key));
  EXPECT_EQ(taken.status, 409);
  EXPECT_EQ(taken.code(), "identity_already_linked");
  EXPECT_EQ(test.cp->values<std::int64_t>("SELECT COUNT(*) FROM account_identities").front(), 1);
  EXPECT_EQ(
      test.cp->values<std::int64_t>("SELECT COUNT(*) FROM admin_sessions WHERE auth_method='github_oauth'").front(), 2)
      << "a link that failed leaves no session";
}

TEST(GithubSignIns, OnlyWhoActsForAnAccountLinksToIt) {
  GithubCase test;
  const KeyedAccount octo = keyed_account(test, "octo");
  const KeyedAccount other = keyed_account(test, "other");
  EXPECT_EQ(start_link(test, octo.id, "").code(), "unauthenticated");
  EXPECT_EQ(start_link(test, octo.id, other.key).code(), "account_not_found");
  EXPECT_EQ(start_link(test, octo.id, test.github.token(test.github.claims(GithubCase::kAudience))).status, 403);
  // Suspended between the two steps.
  const TestAnswer started = start_link(test, octo.id, octo.key);
  ASSERT_EQ(started.status, 200) << started.body;
  test.cp->execute("UPDATE accounts SET status='suspended' WHERE id=:id", {{"id", octo.id}});
  EXPECT_EQ(finish_link(test, started).code(), "account_suspended");
  EXPECT_EQ(test.cp->values<std::int64_t>("SELECT COUNT(*) FROM account_identities").front(), 0);
  // Somebody else, sent to the URL of a link that was begun elsewhere: it is another browser.
  test.cp->execute("UPDATE accounts SET status='active' WHERE id=:id", {{"id", octo.id}});
  const TestAnswer lure = start_link(test, octo.id, octo.key);
  ASSERT_EQ(lure.status, 200);
  Browser victim(test, true);
  EXPECT_EQ(victim.get(victim.at_github(std::string(json::parse(lure.body)->at("auth_url").as_string()))).code(),
            "invalid_oauth_state");
}

TEST(GithubSignIns, NoAdministratorIsLuredIntoALink) {
  GithubCase test;
  const KeyedAccount octo = keyed_account(test, "octo");
  const std::string path = "/auth/github?link_account_id=" + octo.id;
  EXPECT_NE(test.cp->admin("GET", path).status, 200) << "administrators link by POST, with a reason";
  // A page elsewhere sends the browser of a user who may link: it carries the session's cookie.
  ASSERT_EQ(finish_link(test, start_link(test, octo.id, octo.key)).status, 200);
  Browser user(test, true);
  ASSERT_EQ(user.sign_in().status, 200);
  const std::vector<HttpHeader> own = {{"Accept", "application/json"},
                                       {"Cookie", "ee_session=" + user.cookies.at("ee_session")}};
  EXPECT_EQ(test.cp->call("GET", path, "", own).status, 200);
  std::vector<HttpHeader> lured = own;
  lured.push_back({"Sec-Fetch-Site", "cross-site"});
  EXPECT_EQ(test.cp->call("GET", path, "", lured).code(), "csrf_failed");
}

TEST(GithubSignIns, ALinkGivesNoMoreThanTheKeyThatAskedForIt) {
  GithubCase test;
  const KeyedAccount octo = keyed_account(test, "octo");
  const auto key_of = [&](const std::string& body) {
    const TestAnswer made = test.cp->call("POST", "/api/v1/accounts/" + octo.id + "/api-keys", body,
                                          {{"Authorization", "Bearer " + octo.key}});
    EXPECT_EQ(made.status, 201) << made.body;
    return json::parse(made.body).value();
  };
  const auto narrow = key_of(R"({"name":"narrow","scopes":["account"]})");
  EXPECT_EQ(start_link(test, octo.id, std::string(narrow.at("api_key").as_string())).code(), "scope_missing");
  const auto ending = key_of(R"({"name":"ending","expires_in_seconds":300})");
  EXPECT_EQ(start_link(test, octo.id, std::string(ending.at("api_key").as_string())).code(), "scope_missing");

  // A link that was begun ends with the key that began it.
  const auto second = key_of(R"({"name":"second"})");
  const TestAnswer started = start_link(test, octo.id, std::string(second.at("api_key").as_string()));
  ASSERT_EQ(started.status, 200) << started.body;
  const std::string id(second.at("key_id").as_string());
  EXPECT_EQ(test.cp
                ->call("DELETE", "/api/v1/accounts/" + octo.id + "/api-keys/" + id, "",
                       {{"Authorization", "Bearer " + octo.key}})
                .status,
            204);
  EXPECT_EQ(finish_link(test, started).code(), "invalid_oauth_state");
  EXPECT_EQ(test.cp->values<std::int64_t>("SELECT COUNT(*) FROM account_identities").front(), 0);
}

}  // namespace
}  // namespace ee::testing
