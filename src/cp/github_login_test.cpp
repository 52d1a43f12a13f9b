// Sign-in through GitHub: the whole control plane, a browser, and the stand-in of GitHub over real HTTP.
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
using ::testing::Not;

std::string query_of(const std::string& url) { return url.substr(url.find('?') + 1); }

std::string set_cookie(const TestAnswer& answer, const std::string& name) {
  for (const HttpHeader& header : answer.headers)
    if (header.name == "Set-Cookie" && header.value.starts_with(name + "=")) return header.value;
  return "";
}

// covers: S04_AUTH_OAUTH_001, S04_AUTH_OAUTH_005
TEST(GithubLogin, SignsInThroughGithub) {
  GithubCase test;
  test.github.sign_in_as({.id = 77,
                          .login = "Mona",
                          .organizations = {{.id = 9001, .login = "octo-org", .role = "admin"},
                                            {.id = 9002, .login = "gone", .role = "member", .state = "pending"}}});
  Browser browser(test);
  const TestAnswer started = browser.get("/auth/github?return_to=%2Fapps%3Ftab%3D1");
  ASSERT_EQ(started.status, 302);
  const standins::Form asked = standins::parse_form(query_of(started.header("Location")));
  EXPECT_TRUE(started.header("Location").starts_with(test.github.url() + "/login/oauth/authorize?"));
  EXPECT_EQ(asked.get("client_id"), test.github.client_id());
  EXPECT_EQ(asked.get("redirect_uri"), "https://cp.example.com/auth/github/callback");
  EXPECT_EQ(asked.get("scope"), "read:user read:org");
  EXPECT_EQ(asked.get("code_challenge_method"), "S256");
  EXPECT_EQ(asked.get("allow_signup"), "false");
  EXPECT_EQ(asked.get("state").size(), 43U);
  EXPECT_EQ(set_cookie(started, "ee_oauth"), "ee_oauth=" + browser.cookies.at("ee_oauth") +
                                                 "; Path=/auth/github; HttpOnly; Secure; SameSite=Lax; Max-Age=600");
  // Only hashes are kept.
  const auto rows = test.cp->values<std::string>("SELECT state_hash || nonce_hash FROM oauth_states");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0],
            to_hex(sha256(bytes_of(asked.get("state")))) + to_hex(sha256(bytes_of(browser.cookies.at("ee_oauth")))));

  const TestAnswer finished = browser.get(browser.at_github(started.header("Location")));
  EXPECT_EQ(finished.status, 302) << finished.body;
  EXPECT_EQ(finished.header("Location"), "/apps?tab=1");
  const std::string token = browser.cookies.at("ee_session");
  EXPECT_TRUE(token.starts_with("ee_sess_"));
  EXPECT_EQ(set_cookie(finished, "ee_session"),
            "ee_session=" + token + "; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=86400");
  EXPECT_FALSE(browser.cookies.contains("ee_oauth"));
  EXPECT_TRUE(test.cp->values<std::string>("SELECT state_hash FROM oauth_states").empty());

  const auto me = json::parse(browser.get("/auth/me").body).value();
  EXPECT_EQ(me.at("role").as_string(), "user");
  EXPECT_EQ(me.at("auth_method").as_string(), "github_oauth");
  EXPECT_EQ(me.at("github_id").as_int64(), 77);
  EXPECT_EQ(me.at("github_login").as_string(), "Mona");
  EXPECT_THAT(test.cp->values<std::string>("SELECT identity || ' ' || github_orgs FROM admin_sessions"),
              ElementsAre(R"(github:77 [{"id":9001,"login":"octo-org","role":"admin"}])"));
  EXPECT_THAT(test.audited("login_succeeded"), ElementsAre("login_succeeded -"));
  // The access token is stored nowhere, and GitHub saw a verifier that fits the challenge (it answers errors if not).
  EXPECT_EQ(test.github.count("/login/oauth/access_token"), 1U);
}

// covers: S04_AUTH_OAUTH_001
TEST(GithubLogin, AnswersProgramsInJson) {
  GithubCase test;
  Browser program(test, true);
  const TestAnswer started = program.get("/auth/github");
  ASSERT_EQ(started.status, 200) << started.body;
  EXPECT_FALSE(set_cookie(started, "ee_oauth").empty());
  const std::string url(json::parse(started.body)->at("auth_url").as_string());
  const TestAnswer finished = program.get(program.at_github(url));
  ASSERT_EQ(finished.status, 200) << finished.body;
  const auto me = json::parse(finished.body).value();
  EXPECT_EQ(me.at("github_login").as_string(), "octocat");
  EXPECT_FALSE(me.at("csrf_token").as_string().empty());
  EXPECT_THAT(finished.body, Not(HasSubstr("ee_sess_")));
  EXPECT_TRUE(program.cookies.contains("ee_session"));
}

// Browser and JSON form of each row of the failure table.
struct FailureRow {
  const char* what;
  int status;
  const char* code;
  const char* login_error;
  std::function<TestAnswer(GithubCase&, Browser&)> run;
  TestControlPlane::Environment environment = {};
};

TestAnswer with_fault(GithubCase& test, Browser& browser, const std::string& path, const standins::GithubFault& fault,
                      std::size_t count) {
  test.github.fail(path, fault, count);
  return browser.sign_in();
}

std::vector<FailureRow> failure_rows() {
  const std::string exchange = "/login/oauth/access_token";
  const auto refused_exchange = [](const char* error) {
    return [error](GithubCase& test, Browser& browser) {
      return with_fault(
          test, browser, "/login/oauth/access_token",
          {.status = 200, .body = std::string(R"({"error":")") + error + R"(","error_description":"see <b>here</b>"})"},
          1);
    };
  };
  const auto fault = [](std::string path, const standins::GithubFault& what, std::size_t count) {
    return [=](GithubCase& test, Browser& browser) { return with_fault(test, browser, path, what, count); };
  };
  const auto callback = [](std::string query) {
    return [query](GithubCase&, Browser& browser) {
      browser.start();
      return browser.get("/auth/github/callback" + query);
    };
  };
  return {
      {"no client id",
       503,
       "github_oauth_not_configured",
       "not_configured",
       [](GithubCase&, Browser& browser) { return browser.get("/auth/github"); },
       {{"GITHUB_OAUTH_CLIENT_ID", ""}}},
      {"no client id at the callback",
       503,
       "github_oauth_not_configured",
       "not_configured",
       callback("?code=a&state=b"),
       {{"GITHUB_OAUTH_CLIENT_ID", ""}}},
      {"denied", 403, "github_access_denied", "access_denied",
       [](GithubCase& test, Browser& browser) {
         test.github.sign_in_as({.id = 1, .login = "x", .denies = true});
         return browser.sign_in();
       }},
      {"another error of GitHub's", 401, "github_oauth_rejected", "rejected",
       callback("?error=redirect_uri_mismatch&error_description=x")},
      {"nothing", 400, "invalid_oauth_state", "invalid_state", callback("")},
      {"no code", 400, "invalid_oauth_state", "invalid_state",
       [](GithubCase&, Browser& browser) {
         const standins::Form asked = standins::parse_form(query_of(browser.start()));
         return browser.get("/auth/github/callback?state=" + asked.get("state"));
       }},
      {"no state", 400, "invalid_oauth_state", "invalid_state", callback("?code=abc")},
      {"code too long", 400, "invalid_oauth_state", "invalid_state",
       [](GithubCase&, Browser& browser) {
         const standins::Form asked = standins::parse_form(query_of(browser.start()));
         return browser.get("/auth/github/callback?code=" + std::string(513, 'a') + "&state=" + asked.get("state"));
       }},
      {"state too long", 400, "invalid_oauth_state", "invalid_state",
       callback("?code=a&state=" + std::string(513, 'a'))},
      {"state unknown", 400, "invalid_oauth_state", "invalid_state", callback("?code=a&state=" + std::string(43, 'a'))},
      {"state used", 400, "invalid_oauth_state", "invalid_state",
       [](GithubCase&, Browser& browser) {
         const std::string back = browser.at_github(browser.start());
         const std::string nonce = browser.cookies.at("ee_oauth");
         EXPECT_LT(browser.get(back).status, 400);
         browser.cookies = {{"ee_oauth", nonce}};
         return browser.get(back);
       }},
      {"state expired", 400, "invalid_oauth_state", "invalid_state",
       [](GithubCase& test, Browser& browser) {
         const std::string back = browser.at_github(browser.start());
         test.advance(Seconds(600));
         return browser.get(back);
       }},
      {"cookie missing", 400, "invalid_oauth_state", "invalid_state",
       [](GithubCase&, Browser& browser) {
         const std::string back = browser.at_github(browser.start());
         browser.cookies.clear();
         return browser.get(back);
       }},
      {"cookie of another sign-in", 400, "invalid_oauth_state", "invalid_state",
       [](GithubCase& test, Browser& browser) {
         Browser attacker(test);
         const std::string injected = attacker.at_github(attacker.start());
         browser.start();
         return browser.get(injected);
       }},
      {"two cookies", 400, "invalid_oauth_state", "invalid_state",
       [](GithubCase&, Browser& browser) {
         const std::string back = browser.at_github(browser.start());
         browser.cookies["ee_oauth"] += "; ee_oauth=" + browser.cookies["ee_oauth"];
         return browser.get(back);
       }},
      {"bad_verification_code", 401, "github_oauth_rejected", "rejected", refused_exchange("bad_verification_code")},
      {"incorrect_client_credentials",
       401,
       "github_oauth_rejected",
       "rejected",
       [](GithubCase&, Browser& browser) { return browser.sign_in(); },
       {{"GITHUB_OAUTH_CLIENT_SECRET", "wrong"}}},
      {"redirect_uri_mismatch", 401, "github_oauth_rejected", "rejected", refused_exchange("redirect_uri_mismatch")},
      {"scope",
       403,
       "github_scope_missing",
       "scope",
       [](GithubCase& test, Browser& browser) {
         test.github.sign_in_as({.id = 1, .login = "x", .granted_scope = "read:user"});
         return browser.sign_in();
       },
       {{"EE_ALLOWED_GITHUB_ORGS", "octo-org"}}},
      {"exchange 500", 502, "github_unavailable", "unavailable", fault(exchange, {.status = 500}, 1)},
      {"exchange dropped", 502, "github_unavailable", "unavailable", fault(exchange, {.drop = true}, 12)},
      {"exchange not JSON", 502, "github_unavailable", "unavailable",
       fault(exchange, {.status = 200, .body = "<html>"}, 1)},
      {"no token", 502, "github_unavailable", "unavailable", fault(exchange, {.status = 200, .body = "{}"}, 1)},
      {"user 503 three times", 502, "github_unavailable", "unavailable", fault("/user", {.status = 503}, 3)},
      {"user not JSON", 502, "github_unavailable", "unavailable", fault("/user", {.status = 200, .body = "x"}, 1)},
      {"user without id", 502, "github_unavailable", "unavailable",
       fault("/user", {.status = 200, .body = R"({"login":"x","id":0})"}, 1)},
      {"memberships dropped", 502, "github_unavailable", "unavailable",
       fault("/user/memberships/orgs", {.drop = true}, 12)},  // libcurl repeats on a kept connection
      {"not listed",
       403,
       "github_user_not_allowed",
       "not_allowed",
       [](GithubCase&, Browser& browser) { return browser.sign_in(); },
       {{"EE_ALLOWED_GITHUB_USERS", "somebody"}}},
      {"no users at all",
       403,
       "github_user_not_allowed",
       "not_allowed",
       [](GithubCase&, Browser& browser) { return browser.sign_in(); },
       {{"EE_AUTH_USER_LOGIN", "false"}}},
  };
}

// covers: S04_AUTH_OAUTH_002, S04_AUTH_OAUTH_004, S04_AUTH_OAUTH_006
TEST(GithubLogin, RefusesEachRowOfTheTableInBothForms) {
  for (const FailureRow& row : failure_rows()) {
    GithubCase test(row.environment);
    const bool signs_in_first = std::string(row.what) == "state used";
    std::int64_t sessions = 0;
    std::vector<std::string> rows;
    for (const bool json : {true, false}) {
      SCOPED_TRACE(std::string(row.what) + (json ? ", JSON" : ", browser"));
      test.advance(Seconds(61));  // past the folding of equal refusals
      Browser browser(test, json);
      const TestAnswer answer = row.run(test, browser);
      if (json) {
        EXPECT_EQ(answer.status, row.status) << answer.body;
        EXPECT_EQ(answer.code(), row.code);
        EXPECT_THAT(answer.body, Not(HasSubstr("<b>here")));
      } else {
        EXPECT_EQ(answer.status, 302) << answer.body;
        EXPECT_EQ(answer.header("Location"), std::string("/?login_error=") + row.login_error);
        EXPECT_EQ(answer.body, "");
      }
      EXPECT_FALSE(browser.cookies.contains("ee_session"));
      sessions += signs_in_first ? 1 : 0;
      EXPECT_EQ(test.cp->values<std::int64_t>("SELECT COUNT(*) FROM admin_sessions").front(), sessions);
      if (std::string(row.what) != "no client id") rows.push_back(std::string("oauth_failed ") + row.code);
      EXPECT_EQ(test.audited("oauth_failed"), rows);
    }
  }
}

TEST(GithubLogin, AnExchangeIsNeverRepeatedAndAReadIs) {
  GithubCase test;
  test.github.fail("/user", {.status = 503}, 2);
  EXPECT_EQ(Browser(test, true).sign_in().status, 200);
  EXPECT_EQ(test.github.count("/user"), 3U);
  test.github.fail("/login/oauth/access_token", {.status = 503});
  EXPECT_EQ(Browser(test, true).sign_in().status, 502);
  EXPECT_EQ(test.github.count("/login/oauth/access_token"), 2U);
}

// covers: S04_AUTH_OAUTH_003
TEST(GithubLogin, OfCallbacksAtOnceOneSignsIn) {
  GithubCase test;
  Browser browser(test);
  const std::string back = browser.at_github(browser.start());
  std::atomic<int> signed_in = 0;
  {
    std::vector<std::jthread> tabs;
    for (int i = 0; i < 4; ++i)
      tabs.emplace_back([&, cookies = browser.cookies, i] {
        net::Request request{.method = "GET", .path = "/auth/github/callback", .query = query_of(back)};
        request.headers = {{"Cookie", "ee_oauth=" + cookies.at("ee_oauth")}, {"Accept", "application/json"}};
        request.peer_address = request.client_address = "192.0.2." + std::to_string(i);
        if (test.cp->app().call(std::move(request)).status == 200) ++signed_in;
      });
  }
  EXPECT_EQ(signed_in.load(), 1);
  EXPECT_EQ(test.github.count("/login/oauth/access_token"), 1U);
}

// covers: S04_AUTH_OAUTH_005
TEST(GithubLogin, AnInterceptedCodeIsWorthNothingWithoutTheBrowser) {
  GithubCase test;
  Browser victim(test);
  const std::string back = victim.at_github(victim.start());
  const std::string code = standins::parse_form(query_of(back)).get("code");
  // In a sign-in of the thief's own, whose verifier is another.
  Browser thief(test, true);
  const std::string url = thief.start();
  const TestAnswer answer =
      thief.get("/auth/github/callback?code=" + code + "&state=" + standins::parse_form(query_of(url)).get("state"));
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(answer.code(), "github_oauth_rejected");
}

// covers: S04_AUTH_OAUTH_007, S04_AUTH_OAUTH_008
TEST(GithubLogin, ComesBackToThisSiteOnlyAndBringsNoToken) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"/", "/"},
      {"/deployments/1?tab=logs#end", "/deployments/1?tab=logs#end"},
      {"//evil.example", "/"},
      {"/\\evil.example", "/"},
      {"https://evil.example", "/"},
      {"javascript:alert(1)", "/"},
      {"evil.example", "/"},
      {"", "/"},
      {"/a\r\nSet-Cookie: x=y", "/"},
      {"/\tevil", "/"},
      {"/\x7f", "/"},
      {"/a b", "/a%20b"},
      {"/" + std::string(511, 'a'), "/" + std::string(511, 'a')},
      {"/" + std::string(512, 'a'), "/"},
  };
  for (const auto& [asked, given] : rows) {
    GithubCase test;
    Browser browser(test);
    const TestAnswer answer = browser.sign_in("return_to=" + percent_encode(asked));
    EXPECT_EQ(answer.header("Location"), given) << asked;
    const std::string token = browser.cookies.at("ee_session");
    for (const HttpHeader& header : answer.headers) {
      if (header.name != "Set-Cookie") {
        EXPECT_THAT(header.value, Not(HasSubstr(token)));
      }
    }
  }
}

struct AllowedRow {
  TestControlPlane::Environment environment;
  GithubUser user;
  int status;
  const char* role = "user";
};

// covers: S04_AUTH_OAUTH_009
TEST(GithubLogin, LetsInWhoIsListed) {
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

TEST(GithubLogin, AnAdministratorComesInWhileMembershipsAreDown) {
  GithubCase test(TestControlPlane::Environment{{"ADMIN_GITHUB_IDS", "77"}});
  test.github.sign_in_as({.id = 77, .login = "Mona", .organizations = {{.id = 9001, .login = "octo-org"}}});
  test.github.fail("/user/memberships/orgs", {.status = 503}, 3);
  EXPECT_EQ(Browser(test, true).sign_in().status, 200);
  EXPECT_THAT(test.cp->values<std::string>("SELECT github_orgs FROM admin_sessions"), ElementsAre("[]"));
}

// covers: S04_AUTH_SESS_008
TEST(GithubLogin, TakingTheAppOutOfTheSettingsEndsItsSessions) {
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

TEST(GithubLogin, AnAppThatIsGoneAtTheNextStartEndsItsSessions) {
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
TEST(GithubLogin, IsBoundedInHowOftenAndHowMany) {
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

TEST(GithubLogin, EqualFailuresOfOneAddressAreOneRow) {
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
TEST(GithubLogin, LinksTheUserWhoProvesToBeOne) {
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

TEST(GithubLogin, OnlyWhoActsForAnAccountLinksToIt) {
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

TEST(GithubLogin, NoAdministratorIsLuredIntoALink) {
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

TEST(GithubLogin, ALinkGivesNoMoreThanTheKeyThatAskedForIt) {
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
