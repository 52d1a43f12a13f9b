#include "cp/integration/github/github_client.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"

namespace ee::cp::github {
namespace {

class GithubClientTest : public ::testing::Test {
 protected:
  void SetUp() override { clock_.set_auto_advance(true); }
  void answer(int status, const std::string& body) {
    http_.set_answer([=](const HttpClientRequest&) { return HttpClientResponse{.status = status, .body = body}; });
  }
  static std::string header(const HttpClientRequest& request, std::string_view name) {
    for (const HttpHeader& header : request.headers)
      if (header.name == name) return header.value;
    return "";
  }

  FakeClock clock_;
  FakeRandom random_;
  metrics::Registry metrics_;
  FakeHttpClient http_{[](const HttpClientRequest&) { return std::unexpected(HttpFailure::connect); }};
  const OAuthConfig config_{.base_url = "https://github.example/",
                            .api_url = "https://api.example",
                            .client_id = "id&1",
                            .client_secret = Secret("s=cret"),
                            .redirect_uri = "https://cp.example/cb"};
  const AccessToken token_{.token = Secret("gho_1")};
  Client client_{http_, clock_, random_, metrics_};
};

TEST_F(GithubClientTest, SendsWhatIsDocumentedWithinItsLimits) {
  answer(200, R"({"access_token":"gho_1","token_type":"Bearer","scope":"read:user,admin:org"})");
  const auto token = client_.exchange(config_, "co de", "verifier", {});
  ASSERT_TRUE(token);
  EXPECT_EQ(token->token.reveal(), "gho_1");
  EXPECT_TRUE(token->reads_organizations());
  const HttpClientRequest exchange = http_.calls().back();
  EXPECT_EQ(exchange.method, "POST");
  EXPECT_EQ(exchange.url, "https://github.example/login/oauth/access_token");
  EXPECT_EQ(exchange.body,
            "client_id=id%261&client_secret=s%3Dcret&code=co%20de&redirect_uri=https%3A%2F%2Fcp.example%2Fcb"
            "&code_verifier=verifier");

  answer(200, R"({"id":7,"login":"mona","avatar_url":"http://plain.example/a.png","further":{"a":[1]}})");
  const auto user = client_.user(config_, token_, {});
  ASSERT_TRUE(user);
  EXPECT_EQ(user->id, 7);
  EXPECT_EQ(user->avatar_url, "") << "only https pictures";
  const HttpClientRequest get = http_.calls().back();
  EXPECT_EQ(get.url, "https://api.example/user");
  EXPECT_EQ(header(get, "Authorization"), "Bearer gho_1");
  for (const HttpClientRequest& request : http_.calls()) {
    EXPECT_EQ(header(request, "User-Agent"), "easyenclave");
    EXPECT_EQ(header(request, "Accept"), "application/json");
    EXPECT_EQ(header(request, "X-GitHub-Api-Version"), "2022-11-28");
    EXPECT_EQ(request.connect_timeout, Seconds(3));
    EXPECT_EQ(request.total_timeout, Seconds(10));
    EXPECT_LE(request.max_response_bytes, 64U * 1024U);
  }
}

TEST_F(GithubClientTest, RepeatsReadsTwiceWhereThatCanHelpAndExchangesNever) {
  struct Row {
    int status;
    std::size_t calls;
    ErrorCode code;
  };
  for (const Row& row : {Row{500, 3, ErrorCode::github_unavailable}, Row{429, 3, ErrorCode::github_unavailable},
                         Row{401, 1, ErrorCode::github_oauth_rejected}, Row{404, 1, ErrorCode::github_unavailable},
                         Row{302, 1, ErrorCode::github_unavailable}}) {
    answer(row.status, "{}");
    const std::size_t before = http_.calls().size();
    const auto user = client_.user(config_, token_, {});
    ASSERT_FALSE(user);
    EXPECT_EQ(user.error().code, row.code) << row.status;
    EXPECT_EQ(http_.calls().size() - before, row.calls) << row.status;
  }
  for (const HttpFailure failure : {HttpFailure::connect, HttpFailure::timeout, HttpFailure::answer_too_large}) {
    http_.set_answer([failure](const HttpClientRequest&) { return std::unexpected(failure); });
    const std::size_t before = http_.calls().size();
    const auto token = client_.exchange(config_, "code", "verifier", {});
    ASSERT_FALSE(token);
    EXPECT_EQ(token.error().code, ErrorCode::github_unavailable);
    EXPECT_EQ(http_.calls().size() - before, 1U);
  }
}

TEST_F(GithubClientTest, TakesNoAnswerOfAnotherForm) {
  for (const char* body :
       {"", "[]", "{}", R"({"access_token":""})", R"({"access_token":"a b","token_type":"bearer"})",
        R"({"access_token":"a","token_type":"mac"})", R"({"access_token":1,"token_type":"bearer"})"}) {
    answer(200, body);
    EXPECT_FALSE(client_.exchange(config_, "code", "verifier", {})) << body;
  }
  for (const char* body : {"", "[]", R"({"login":"x"})", R"({"id":"7","login":"x"})", R"({"id":-7,"login":"x"})",
                           R"({"id":7.5,"login":"x"})", R"({"id":7,"login":""})", R"({"id":7,"login":"a\nb"})"}) {
    answer(200, body);
    EXPECT_FALSE(client_.user(config_, token_, {})) << body;
  }
  for (const char* body :
       {"{}", "[1]", R"([{"role":"admin"}])", R"([{"role":"admin","organization":{"id":0,"login":"x"}}])"}) {
    answer(200, body);
    EXPECT_FALSE(client_.memberships(config_, token_, {})) << body;
  }
}

}  // namespace
}  // namespace ee::cp::github
