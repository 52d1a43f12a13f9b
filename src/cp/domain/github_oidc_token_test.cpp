#include "cp/domain/github_oidc_token.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

TEST(Glob, FitsWhatItSays) {
  struct Row {
    const char* glob;
    const char* text;
    bool fits;
  };
  for (const Row& row : std::initializer_list<Row>{{"", "", true},
                                                   {"", "a", false},
                                                   {"refs/heads/main", "refs/heads/main", true},
                                                   {"refs/heads/main", "refs/heads/main2", false},
                                                   {"refs/heads/*", "refs/heads/", true},
                                                   {"refs/heads/*", "refs/heads/a/b", false},
                                                   {"refs/heads/**", "refs/heads/a/b", true},
                                                   {"refs/*/v*", "refs/tags/v1.0", true},
                                                   {"refs/*/v*", "refs/tags/1.0", false},
                                                   {"**/release", "refs/heads/release", true},
                                                   {"***", "a/b", true},
                                                   {"a*b*c", "aXbYc", true},
                                                   {"a*b*c", "aXbYd", false},
                                                   {"refs/heads/?", "refs/heads/a", false},
                                                   {"[a-z]", "b", false}})
    EXPECT_EQ(fits_glob(row.glob, row.text), row.fits) << row.glob << " " << row.text;
  // Would take ages in a matcher that tries every split.
  std::string hostile;
  for (int i = 0; i < 100; ++i) hostile += "*a";
  EXPECT_FALSE(fits_glob(hostile + "b", std::string(512, 'a')));
}

TEST(WorkflowPolicy, ARuleWithoutEventsDoesNotTakeThoseOfStrangers) {
  OidcClaims claims;
  claims.repository = "octo/app";
  claims.ref = "refs/heads/main";
  const std::vector<OidcRuleRow> any(1);
  for (const char* event : {"pull_request", "pull_request_target", "issue_comment", "workflow_run"}) {
    claims.event_name = event;
    EXPECT_FALSE(allows_workflow(OidcPolicy::owner, {}, claims));
    EXPECT_FALSE(allows_workflow(OidcPolicy::rules, any, claims));
  }
  claims.event_name = "push";
  EXPECT_TRUE(allows_workflow(OidcPolicy::owner, {}, claims));
  EXPECT_TRUE(allows_workflow(OidcPolicy::rules, any, claims));
  EXPECT_FALSE(allows_workflow(OidcPolicy::rules, {}, claims));
}

}  // namespace
}  // namespace ee::cp
