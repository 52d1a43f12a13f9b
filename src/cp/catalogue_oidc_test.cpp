// Workflows and the app catalogue (03 sections 3.6 and 7.1), with the stand-in of GitHub.
#include <gtest/gtest.h>

#include <array>
#include <boost/json/object.hpp>

#include "tests/support/github_case.h"

namespace ee::testing {
namespace {

struct CatalogueOidc : ::testing::Test {
  CatalogueOidc() {
    account = test.account("octo");
    test.link(account, 9001, "octo-org");
  }
  TestAnswer as_workflow(const std::string& method, const std::string& path, const std::string& body,
                         const std::string& repository = "octo-org/app") {
    auto claims = test.github.claims(GithubCase::kAudience);
    claims["repository"] = repository;
    claims["sub"] = "repo:" + repository + ":ref:refs/heads/main";
    return test.cp->call(method, path, body, {{"Authorization", "Bearer " + test.github.token(claims)}});
  }
  static std::string version(const std::string& number) {
    return R"({"version":")" + number + R"(","compose":"services: {web: {image: 'registry.test/web:1'}}"})";
  }

  GithubCase test;
  AccountId account;
};

TEST_F(CatalogueOidc, S03_OID_004_AnAppIsPublishedFromItsRepository) {
  EXPECT_EQ(as_workflow("POST", "/api/v1/apps", R"({"name":"shop"})").code(), "repository_not_allowed");
  EXPECT_EQ(as_workflow("POST", "/api/v1/apps", R"({"name":"shop","source_repo":"octo-org/other"})").code(),
            "repository_not_allowed");
  const TestAnswer made = as_workflow("POST", "/api/v1/apps", R"({"name":"shop","source_repo":"Octo-Org/App"})");
  ASSERT_EQ(made.status, 201) << made.body;
  const TestAnswer published = as_workflow("POST", "/api/v1/apps/shop/versions", version("1"));
  EXPECT_EQ(published.status, 202) << published.body;
  const TestAnswer other = as_workflow("POST", "/api/v1/apps/shop/versions", version("2"), "octo-org/other");
  EXPECT_EQ(other.status, 403);
  EXPECT_EQ(other.code(), "repository_not_allowed");
  EXPECT_EQ(as_workflow("POST", "/api/v1/apps/shop/versions/1/yank", "{}", "octo-org/other").code(),
            "repository_not_allowed");
  EXPECT_EQ(as_workflow("POST", "/api/v1/apps/shop/versions/1/yank", "{}").code(), "invalid_version_transition");
  const auto context = test.cp->values<std::string>("SELECT publish_context FROM app_versions").front();
  EXPECT_NE(context.find(R"("repository":"octo-org/app")"), std::string::npos) << context;
}

// covers: S03_REV_006
TEST_F(CatalogueOidc, WorkflowsDoNothingElse) {
  ASSERT_EQ(as_workflow("POST", "/api/v1/apps", R"({"name":"shop","source_repo":"octo-org/app"})").status, 201);
  const std::string app = "/api/v1/apps/shop";
  for (const auto& [method, path, body] : std::vector<std::array<std::string, 3>>{
           {"PATCH", app, "{}"},
           {"DELETE", app, ""},
           {"POST", app + "/versions/1/remeasure", "{}"},
           {"GET", app + "/revenue-shares", ""},
           {"PUT", app + "/revenue-shares", R"({"shares":[],"expected_set_version":0})"},
           {"POST", app + "/revenue-shares", R"({"account_id":"x","share_bps":1})"},
           {"DELETE", app + "/revenue-shares/x", ""}}) {
    const TestAnswer answer = as_workflow(method, path, body);
    EXPECT_EQ(answer.status, 403) << method << " " << path;
    EXPECT_EQ(answer.code(), "oidc_not_allowed") << method << " " << path;
  }
}

}  // namespace
}  // namespace ee::testing
