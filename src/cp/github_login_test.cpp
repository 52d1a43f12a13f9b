// Sign-in through GitHub: the whole control plane, a browser, and the stand-in of GitHub over real HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/crypto.h"
#include "tests/support/github_case.h"

namespace ee::testing {
namespace {

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
  const auto fault = [](const std::string& path, const standins::GithubFault& what, std::size_t count) {
    return [=](GithubCase& test, Browser& browser) { return with_fault(test, browser, path, what, count); };
  };
  const auto callback = [](const std::string& query) {
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

}  // namespace
}  // namespace ee::testing
