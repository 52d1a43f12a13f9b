#include "net/router.h"

#include <gtest/gtest.h>

namespace ee::net {
namespace {

struct Api {
  Router router;
  std::size_t root = router.add("GET /");
  std::size_t list = router.add("GET /api/v1/agents");
  std::size_t register_agent = router.add("POST /api/v1/agents/register");
  std::size_t show = router.add("GET /api/v1/agents/{agent_id}");
  std::size_t remove = router.add("DELETE /api/v1/agents/{agent_id}");
  std::size_t logs = router.add("GET /api/v1/agents/{agent_id}/logs/{stream}");
  std::size_t self_stats = router.add("GET /api/v1/agents/self/stats");
  std::size_t proxy = router.add("* /proxy/{service}/{path...}");
  std::size_t proxy_root = router.add("* /proxy/{service}");
};

TEST(Router, FindsLiteralsAndParameters) {
  const Api api;

  EXPECT_EQ(api.router.match("GET", "/").index, api.root);
  EXPECT_EQ(api.router.match("GET", "/api/v1/agents").index, api.list);
  const RouteMatch show = api.router.match("GET", "/api/v1/agents/a-1");
  ASSERT_EQ(show.outcome, RouteOutcome::found);
  EXPECT_EQ(show.index, api.show);
  ASSERT_EQ(show.params.size(), 1U);
  EXPECT_EQ(show.params[0].name, "agent_id");
  EXPECT_EQ(show.params[0].value, "a-1");
  const RouteMatch logs = api.router.match("GET", "/api/v1/agents/a-1/logs/stderr");
  ASSERT_EQ(logs.index, api.logs);
  EXPECT_EQ(logs.params[1].value, "stderr");
}

TEST(Router, PrefersALiteralAndGoesBackWhenItLeadsNowhere) {
  const Api api;

  EXPECT_EQ(api.router.match("POST", "/api/v1/agents/register").index, api.register_agent);
  EXPECT_EQ(api.router.match("GET", "/api/v1/agents/self/stats").index, api.self_stats);
  const RouteMatch back = api.router.match("GET", "/api/v1/agents/self/logs/stdout");
  ASSERT_EQ(back.outcome, RouteOutcome::found);
  EXPECT_EQ(back.index, api.logs);
  EXPECT_EQ(back.params[0].value, "self");
  EXPECT_EQ(api.router.match("GET", "/api/v1/agents/register").index, api.show);
}

TEST(Router, TellsUnknownPathsFromWrongMethods) {
  const Api api;

  for (const char* path :
       {"/nothing", "/api/v1/agents/", "/api//v1/agents", "/api/v1", "/api/v1/agents/a/logs", "", "x", "*"})
    EXPECT_EQ(api.router.match("GET", path).outcome, RouteOutcome::not_found) << path;
  const RouteMatch wrong = api.router.match("PUT", "/api/v1/agents/register");
  EXPECT_EQ(wrong.outcome, RouteOutcome::method_not_allowed);
  EXPECT_EQ(wrong.allow, "DELETE, GET, HEAD, POST");
  EXPECT_EQ(api.router.match("get", "/").outcome, RouteOutcome::method_not_allowed);
}

TEST(Router, ServesHeadByGet) {
  const Api api;

  EXPECT_EQ(api.router.match("HEAD", "/api/v1/agents").index, api.list);
  EXPECT_EQ(api.router.match("HEAD", "/api/v1/agents/x").index, api.show);
}

TEST(Router, DecodesEachSegmentOnce) {
  const Api api;

  EXPECT_EQ(api.router.match("GET", "/%61pi/v1/agents/a%20b").params.at(0).value, "a b");
  EXPECT_EQ(api.router.match("GET", "/api/v1/agents/%252f").params.at(0).value, "%2f");
  EXPECT_EQ(api.router.match("GET", "/api/v1/agents/%C3%A9").params.at(0).value, "\xc3\xa9");
  EXPECT_EQ(api.router.match("GET", "/api/v1/agents/a+b").params.at(0).value, "a+b");
}

TEST(Router, RefusesPathsThatCouldMeanAnother) {
  const Api api;

  for (const char* path :
       {"/api/v1/agents/..", "/api/v1/agents/%2e%2E", "/api/../admin", "/./api", "/api/v1/agents/a%2fb",
        "/api/v1/agents/a%2Fb", "/api/v1/agents/a%00", "/api/v1/agents/a%0a", "/api/v1/agents/a%7f", "/api/v1/agents/%",
        "/api/v1/agents/%4", "/api/v1/agents/%zz", "/api/v1/agents/a%5cb", "/api/v1/agents/%ff",
        "/api/v1/agents/%c0%af", "/api/v1/agents/%ed%a0%80", "/unknown/%2e%2e/x"})
    EXPECT_EQ(api.router.match("GET", path).outcome, RouteOutcome::bad_path) << path;
}

TEST(Router, GivesTheRestOfAPathAsSent) {
  const Api api;

  const RouteMatch match = api.router.match("PURGE", "/proxy/my-app/a/%2e%2e//b%2f/");
  ASSERT_EQ(match.outcome, RouteOutcome::found);
  EXPECT_EQ(match.index, api.proxy);
  EXPECT_EQ(match.params.at(0).value, "my-app");
  EXPECT_EQ(match.params.at(1).name, "path");
  EXPECT_EQ(match.params.at(1).value, "a/%2e%2e//b%2f/");
  EXPECT_EQ(api.router.match("GET", "/proxy/my-app").index, api.proxy_root);
  EXPECT_EQ(api.router.match("GET", "/proxy/%2e%2e/x").outcome, RouteOutcome::bad_path);
}

TEST(Router, BoundsTheDepthOfPaths) {
  const Api api;
  std::string path;
  for (int i = 0; i < 4000; ++i) path += "/a";

  EXPECT_EQ(api.router.match("GET", path).outcome, RouteOutcome::not_found);
}

TEST(RouterDeathTest, TakesNoBrokenPatternNorTheSameTwice) {
  for (const char* pattern : {"", "/x", "GET x", "GET /a//b", "GET /a/", "GET /{", "GET /{}", "GET /{a}/{a}",
                              "GET /{a...}/b", "GET /a{b}", "GET /%41"})
    EXPECT_DEATH(Router().add(pattern), "") << pattern;
  Router router;
  router.add("GET /a/{b}");
  EXPECT_DEATH(router.add("GET /a/{c}"), "");
}

}  // namespace
}  // namespace ee::net
