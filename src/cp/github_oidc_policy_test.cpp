// Which accounts a workflow's genuine token acts for, and how often.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "tests/support/github_oidc_case.h"

namespace ee::testing {
namespace {

using boost::json::object;
using ::testing::ElementsAre;

class GithubOidcPolicy : public GithubOidcTest {};

// covers: S04_AUTH_OIDC_014, S04_AUTH_OIDC_015
TEST_F(GithubOidcPolicy, KnowsOwnersByTheirIdThroughRenames) {
  EXPECT_EQ(verdict(token()), "github_owner_not_linked");
  linked_account();
  object renamed = claims();
  renamed["repository_owner"] = "Octo-Inc";
  renamed["repository"] = "octo-inc/app";
  EXPECT_EQ(verdict(token(renamed)), "ok");
  EXPECT_THAT(test.cp->values<std::string>("SELECT login || ' ' || login_norm FROM account_identities"),
              ElementsAre("Octo-Inc octo-inc"));
  EXPECT_EQ(verdict(token(renamed)), "ok");
  EXPECT_THAT(test.audited("github_owner"), ElementsAre("github_owner_renamed -"));
}

// covers: S04_AUTH_OIDC_016
TEST_F(GithubOidcPolicy, SomebodyWhoRegisteredAFreedNameIsSomebodyElse) {
  linked_account();
  const TestAnswer answer = get(token(with("repository_owner_id", "9999")));
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.code(), "github_owner_not_linked");
  EXPECT_THAT(test.audited("github_owner"), ElementsAre("github_owner_id_mismatch github_owner_not_linked"));
  EXPECT_THAT(test.cp->values<std::string>("SELECT actor FROM audit_log WHERE action='github_owner_id_mismatch'"),
              ElementsAre("oidc:7001"));
}

// covers: S04_AUTH_OIDC_017
TEST_F(GithubOidcPolicy, AskThePolicyOfAnActiveAccount) {
  linked_account();
  for (const char* event : {"pull_request", "pull_request_target", "issue_comment", "workflow_run"})
    EXPECT_EQ(verdict(token(with("event_name", event))), "repository_not_allowed") << event;
  for (const char* event : {"push", "workflow_dispatch", "schedule", "release"})
    EXPECT_EQ(verdict(token(with("event_name", event))), "ok") << event;
  test.cp->execute("UPDATE accounts SET oidc_policy='off' WHERE id=:id", {{"id", account}});
  EXPECT_EQ(verdict(token()), "oidc_policy_refused");
  test.cp->execute("UPDATE accounts SET oidc_policy='rules' WHERE id=:id", {{"id", account}});
  EXPECT_EQ(verdict(token()), "repository_not_allowed") << "rules without any refuse all";
  for (const std::string status : {"suspended", "closed"}) {
    test.cp->execute("UPDATE accounts SET oidc_policy='owner', status=:status WHERE id=:id",
                     {{"id", account}, {"status", status}});
    EXPECT_EQ(verdict(token()), "account_suspended");
  }
}

// covers: S04_AUTH_OIDC_018
TEST_F(GithubOidcPolicy, RulesMatchInEveryFieldTheyName) {
  linked_account("rules");
  struct Row {
    const char* column;
    const char* value;
    const char* verdict;
  };
  const std::string no = "repository_not_allowed";
  for (const Row& row : std::initializer_list<Row>{{"repository", "Octo-Org/App", "ok"},
                                                   {"repository", "octo-org/ap", "no"},
                                                   {"repository_id", "7001", "ok"},
                                                   {"repository_id", "700", "no"},
                                                   {"ref_glob", "refs/heads/main", "ok"},
                                                   {"ref_glob", "refs/heads/*", "ok"},
                                                   {"ref_glob", "refs/*", "no"},
                                                   {"ref_glob", "refs/**", "ok"},
                                                   {"ref_glob", "**", "ok"},
                                                   {"ref_glob", "refs/tags/*", "no"},
                                                   {"environment", "production", "no"},  // the token names none
                                                   {"workflow", "octo-org/app/.github/workflows/deploy.yml", "ok"},
                                                   {"workflow", "octo-org/app/.github/workflows/deploy", "no"},
                                                   {"events", R"(["push"])", "ok"},
                                                   {"events", R"(["release","schedule"])", "no"},
                                                   {"events", "[]", "no"},
                                                   {"events", "not json", "no"}}) {
    rule(row.column, row.value);
    EXPECT_EQ(verdict(token()), std::string(row.verdict) == "ok" ? "ok" : no) << row.column << " " << row.value;
  }
  rule("environment", "production");
  EXPECT_EQ(verdict(token(with("environment", "production"))), "ok");
  EXPECT_EQ(verdict(token(with("environment", "Production"))), no);
  rule("repository", "octo-org/app");
  EXPECT_EQ(verdict(token(with("event_name", "pull_request"))), no) << "unless a rule names the event";
  rule("events", R"(["pull_request"])");
  EXPECT_EQ(verdict(token(with("event_name", "pull_request"))), "ok");
}

// covers: S04_AUTH_OIDC_019
TEST_F(GithubOidcPolicy, DecidesByTheClaimsWhateverTheSubjectLooksLike) {
  linked_account();
  for (const char* sub : {"repo:octo-org/app:ref:refs/heads/main", "repo:octo-org@9001/app@7001:ref:refs/heads/main",
                          "repo:somebody/else:environment:x", "anything"})
    EXPECT_EQ(verdict(token(with("sub", sub))), "ok") << sub;
}

// covers: S04_AUTH_OIDC_020
TEST_F(GithubOidcPolicy, OneTokenChangesThingsFiftyTimes) {
  linked_account();
  const std::string jwt = token();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(post(jwt).code(), "admin_required") << i;
  const TestAnswer over = post(jwt);
  EXPECT_EQ(over.status, 401);
  EXPECT_EQ(over.code(), "oidc_invalid");
  EXPECT_THAT(refusals(), ElementsAre("oidc_refused token_overused"));
  EXPECT_EQ(verdict(jwt), "ok") << "reads are not counted";
  EXPECT_EQ(post(token()).code(), "admin_required") << "another token";
  EXPECT_THAT(test.cp->values<std::int64_t>("SELECT uses FROM oidc_token_uses ORDER BY uses"), ElementsAre(1, 50));
  test.advance(Seconds(331));
  EXPECT_TRUE(test.cp->app().run_job("session_cleanup"));
  EXPECT_EQ(test.cp->values<std::int64_t>("SELECT COUNT(*) FROM oidc_token_uses").front(), 0);
}

TEST_F(GithubOidcPolicy, BadTokensAreThrottledByAddress) {
  linked_account();
  for (int i = 0; i < 60; ++i) EXPECT_EQ(get(token(with("aud", "x")), "192.0.2.7").code(), "oidc_invalid");
  EXPECT_EQ(get(token(), "192.0.2.7").code(), "rate_limited");
  EXPECT_EQ(get(token(), "192.0.2.8").status, 200);
  EXPECT_EQ(refusals().size(), 1U) << "equal refusals of one address are one row";
}

TEST_F(GithubOidcPolicy, ATokenInTheQueryIsNoCredential) {
  linked_account();
  EXPECT_EQ(test.cp->call("GET", "/auth/me?access_token=" + token()).status, 401);
  const TestAnswer twice = test.cp->call(
      "GET", "/auth/me", "", {{"Authorization", "Bearer " + token()}, {"Authorization", "Bearer " + token()}});
  EXPECT_EQ(twice.status, 400);
  EXPECT_EQ(get(token() + std::string(8192, 'a')).status, 400);
}

}  // namespace
}  // namespace ee::testing
