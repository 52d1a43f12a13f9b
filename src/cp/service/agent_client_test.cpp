#include "cp/service/agent_client.h"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <set>

#include "common/crypto.h"
#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"
#include "common/jose.h"
#include "tests/support/agents.h"

namespace ee::cp {
namespace {

class AgentClientTest : public ::testing::Test {
 protected:
  AgentClientTest() {
    agent_.tunnel_state = TunnelState::ready;
    agent_.hostname = "vm-1.dev.example.com";
  }
  HttpClientResponse answer(int status, std::string body = "{}") const {
    return {.status = status, .headers = {{"x-ee-agent", agent_.id.str()}}, .body = std::move(body)};
  }
  void answers(std::expected<HttpClientResponse, HttpFailure> with) {
    http_.set_answer([with](const HttpClientRequest&) { return with; });
  }
  /// The claims of the call's token, whose signature was checked.
  boost::json::object claims(const HttpClientRequest& request) const {
    for (const HttpHeader& header : request.headers) {
      if (header.name != "Authorization") continue;
      EXPECT_TRUE(header.value.starts_with("EE-Control "));
      const auto token =
          jose::UnverifiedToken::parse(std::string_view(header.value).substr(11),
                                       {.algorithms = {jose::Algorithm::eddsa}, .types = {"ee-control+jwt"}});
      if (!token) break;
      EXPECT_EQ(jose::text_member(token->header(), "typ"), "ee-control+jwt");
      EXPECT_EQ(token->kid(), keys_.kid());
      const auto verified = token->verify(jose::PublicKey::from_ed25519(keys_.published_raw().front()));
      EXPECT_TRUE(verified);
      return verified ? verified->claims() : boost::json::object();
    }
    ADD_FAILURE() << "no token";
    return {};
  }
  std::string text(const boost::json::object& claims, std::string_view name) const {
    return std::string(jose::text_member(claims, name).value_or("(none)"));
  }

  AgentRow agent_ = testing::make_agent(1);
  SigningKeys keys_{*Ed25519PrivateKey::from_seed(ByteVector(32, 0x11)), {}};
  FakeClock clock_;
  FakeRandom random_;
  FakeHttpClient http_{[this](const HttpClientRequest&) { return answer(200); }};
  AgentEndpoint endpoint_{[] { return EndpointSettings{.domain = "dev.example.com"}; }};
  AgentClient client_{
      {.endpoint = endpoint_, .signing_keys = keys_, .http = http_, .clock = clock_, .random = random_}};
};

TEST_F(AgentClientTest, EveryCallBearsATokenOfItsOwn) {
  ASSERT_TRUE(client_.put_deployment(agent_, R"({"a":1})", {.kid = "k", .signature = "s"}));
  ASSERT_TRUE(client_.delete_deployment(agent_, DeploymentId("0190a000-0000-7000-8000-0000000000d1"), 7));
  ASSERT_TRUE(client_.get_deployment(agent_));
  ASSERT_TRUE(client_.sync(agent_));
  ASSERT_TRUE(client_.logs(agent_, {.container = "web 1", .since = "5m", .tail = 10, .search = "a&b"}));
  ASSERT_TRUE(client_.stats(agent_));
  ASSERT_TRUE(client_.evidence(agent_, std::string(64, 'a')));
  ASSERT_TRUE(client_.reattest(agent_));
  struct Expected {
    std::string method, target, body;
  };
  const std::vector<Expected> expected = {
      {"PUT", "/.easyenclave/v1/deployment", R"({"a":1})"},
      {"DELETE", "/.easyenclave/v1/deployment?deployment_id=0190a000-0000-7000-8000-0000000000d1&assignment_epoch=7",
       ""},
      {"GET", "/.easyenclave/v1/deployment", ""},
      {"POST", "/.easyenclave/v1/sync", ""},
      {"GET", "/.easyenclave/v1/logs?container=web%201&since=5m&tail=10&q=a%26b", ""},
      {"GET", "/.easyenclave/v1/stats", ""},
      {"GET", std::string("/.easyenclave/v1/evidence?nonce=" + std::string(64, 'a')), ""},
      {"POST", "/.easyenclave/v1/reattest", ""}};
  const auto calls = http_.calls();
  ASSERT_EQ(calls.size(), expected.size());
  std::set<std::string> ids;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(calls[i].method, expected[i].method);
    EXPECT_EQ(calls[i].url, std::string("https://vm-1.dev.example.com") + expected[i].target);
    EXPECT_EQ(calls[i].body, expected[i].body);
    EXPECT_EQ(calls[i].max_response_bytes, i == 4 ? 1024U * 1024 : i == 6 ? 256U * 1024 : 64U * 1024);
    EXPECT_LE(calls[i].total_timeout, Milliseconds(i < 2 ? 30'000 : 10'000));
    if (i < 2) EXPECT_EQ(calls[i].total_timeout, Seconds(30)) << "pushes and stops";
    const auto said = claims(calls[i]);
    EXPECT_EQ(text(said, "iss"), "easyenclave-cp");
    EXPECT_EQ(text(said, "aud"), agent_.id.str());
    EXPECT_EQ(text(said, "htm"), expected[i].method);
    EXPECT_EQ(text(said, "htp"), expected[i].target);
    EXPECT_EQ(text(said, "bsh"), to_base64url(sha256(bytes_of(expected[i].body))));
    EXPECT_EQ(jose::integer_member(said, "iat"), unix_ms(clock_.now()) / 1000);
    EXPECT_EQ(jose::integer_member(said, "exp"), unix_ms(clock_.now()) / 1000 + 60);
    ids.insert(text(said, "jti"));
  }
  EXPECT_EQ(ids.size(), calls.size()) << "no token is used twice";
}

TEST_F(AgentClientTest, ADocumentBearsItsSignature) {
  ASSERT_TRUE(client_.put_deployment(agent_, "{}", {.kid = "kid-1", .signature = "sig-1"}));
  const auto calls = http_.calls();
  const auto has = [&](std::string_view name, std::string_view value) {
    return std::ranges::any_of(calls.front().headers,
                               [&](const HttpHeader& h) { return h.name == name && h.value == value; });
  };
  EXPECT_TRUE(has("X-EE-Kid", "kid-1"));
  EXPECT_TRUE(has("X-EE-Signature", "sig-1"));
}

TEST_F(AgentClientTest, ErrorsOfTheAgentAreAnswers) {
  for (const int status : {200, 204, 400, 409, 412, 413, 422, 429, 503}) {
    answers(answer(status, "body"));
    const auto got = client_.get_deployment(agent_);
    ASSERT_TRUE(got) << status;
    EXPECT_EQ(got->status, status);
    EXPECT_EQ(got->body, "body");
    EXPECT_EQ(got->ok(), status < 300);
  }
}

TEST_F(AgentClientTest, SomebodyElsesAnswerIsNone) {
  HttpClientResponse none = answer(200);
  none.headers.clear();
  HttpClientResponse other = answer(200);
  other.headers = {{"X-EE-Agent", testing::make_agent(2).id.str()}};
  HttpClientResponse both = answer(200);
  both.headers.push_back({"X-EE-Agent", testing::make_agent(2).id.str()});
  HttpClientResponse twice = answer(200);
  twice.headers.push_back(twice.headers.front());
  HttpClientResponse redirect = answer(302);
  redirect.headers.push_back({"Location", "http://169.254.169.254/"});
  for (const auto& wrong : {none, other, both, twice, redirect, answer(101), answer(0)}) {
    answers(wrong);
    const auto got = client_.stats(agent_);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::agent_bad_response);
  }
}

TEST_F(AgentClientTest, FailuresHaveOneOfTwoNames) {
  for (const HttpFailure failure : {HttpFailure::bad_url, HttpFailure::resolve, HttpFailure::connect, HttpFailure::tls,
                                    HttpFailure::timeout, HttpFailure::cancelled}) {
    answers(std::unexpected(failure));
    EXPECT_EQ(client_.stats(agent_).error().code, ErrorCode::agent_unreachable) << to_string(failure);
  }
  for (const HttpFailure failure : {HttpFailure::answer_too_large, HttpFailure::protocol}) {
    answers(std::unexpected(failure));
    EXPECT_EQ(client_.stats(agent_).error().code, ErrorCode::agent_bad_response) << to_string(failure);
  }
}

TEST_F(AgentClientTest, LinesBeforeAnEndThatDidNotComeAreKeptWhenAskedFor) {
  const auto breaks_off = [&](const HttpClientResponse& part, HttpFailure failure) {
    http_.set_answer(
        [part, failure](const HttpClientRequest& request) -> std::expected<HttpClientResponse, HttpFailure> {
          if (request.broken_off != nullptr) *request.broken_off = part;
          return std::unexpected(failure);
        });
  };
  breaks_off(answer(200, "line\nhal"), HttpFailure::protocol);
  const auto part = client_.logs(agent_, {.keep_part = true});
  ASSERT_TRUE(part);
  EXPECT_TRUE(part->broken_off);
  EXPECT_EQ(part->body, "line\nhal");
  EXPECT_FALSE(client_.logs(agent_, {})) << "nobody asked for a part";
  breaks_off({.status = 200, .headers = {}, .body = "line\n"}, HttpFailure::timeout);
  EXPECT_EQ(client_.logs(agent_, {.keep_part = true}).error().code, ErrorCode::agent_bad_response) << "whose is it?";
  breaks_off(answer(502, "line\n"), HttpFailure::protocol);
  EXPECT_FALSE(client_.logs(agent_, {.keep_part = true}));
}

TEST_F(AgentClientTest, LinesThatAreTooManyAreAskedForAgainOrNot) {
  answers(std::unexpected(HttpFailure::answer_too_large));
  EXPECT_EQ(client_.logs(agent_, {.tail = 64, .shorten = false}).error().code, ErrorCode::body_too_large);
  EXPECT_EQ(http_.calls().size(), 1U);
  EXPECT_EQ(client_.logs(agent_, {.tail = 64}).error().code, ErrorCode::agent_bad_response);
  EXPECT_EQ(http_.calls().size(), 4U) << "64, 8 and 1 lines";
}

TEST_F(AgentClientTest, WithoutAnAddressNothingIsCalled) {
  agent_.tunnel_state = TunnelState::pending;
  const auto got = client_.stats(agent_);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::agent_unreachable);
  EXPECT_NE(got.error().detail.find("tunnel_not_ready"), std::string::npos);
  EXPECT_TRUE(http_.calls().empty());
}

}  // namespace
}  // namespace ee::cp
