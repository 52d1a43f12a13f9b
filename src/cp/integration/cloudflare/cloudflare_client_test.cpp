#include "cp/integration/cloudflare/cloudflare_client.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"
#include "net/curl_http_client.h"
#include "tests/standins/cloudflare/cloudflare.h"

namespace ee::cp::cloudflare {
namespace {

constexpr const char* kAccount = "0123456789abcdef0123456789abcdef";
constexpr const char* kZone = "fedcba9876543210fedcba9876543210";
constexpr const char* kTunnel = "f70ff985-a4ef-4643-bbbc-4a0ed4fc8415";

CloudflareConfig config() {
  CloudflareConfig out;
  out.api_url = "https://api.test/client/v4";
  out.account_id = kAccount;
  out.zone_id = kZone;
  out.api_token = Secret("token");
  return out;
}

HttpClientResponse answer(int status, const std::string& body, std::vector<HttpHeader> headers = {}) {
  return {.status = status, .headers = std::move(headers), .body = body};
}
std::string ok(const std::string& result) {
  return R"({"success":true,"errors":[],"messages":[],"result":)" + result + "}";
}
std::string refusal(int code) {
  return R"({"success":false,"errors":[{"code":)" + std::to_string(code) +
         R"(,"message":"text that nobody reads"}],"messages":[],"result":null})";
}

class CloudflareClientTest : public ::testing::Test {
 protected:
  CloudflareClientTest() { clock_.set_auto_advance(true); }
  void answers(const HttpClientResponse& response) {
    http_.set_answer([response](const auto&) { return response; });
  }
  std::size_t calls() const { return http_.calls().size(); }

  FakeClock clock_;
  FakeRandom random_;
  FakeHttpClient http_{[](const auto&) { return answer(200, ok("null")); }};
  std::vector<std::string> observed_;
  CloudflareClient client_{http_, clock_, random_, config, [this](std::string_view op, std::string_view status) {
                             observed_.push_back(std::string(op) + ":" + std::string(status));
                           }};
};

// Requests as section 7.3 of the agent contract names them.
TEST_F(CloudflareClientTest, SendsTheCallsOfTheContract) {
  answers(answer(200, ok(R"({"id":"f70ff985-a4ef-4643-bbbc-4a0ed4fc8415","token":"tok"})")));
  const auto created = client_.create_tunnel("ee-dev-1", {});
  ASSERT_TRUE(created);
  EXPECT_EQ(created->id, kTunnel);
  EXPECT_EQ(created->token.reveal(), "tok");
  const auto create = http_.calls().back();
  EXPECT_EQ(create.method, "POST");
  EXPECT_EQ(create.url, std::string("https://api.test/client/v4/accounts/") + kAccount + "/cfd_tunnel");
  EXPECT_TRUE(create.body.starts_with(R"({"name":"ee-dev-1","config_src":"cloudflare","tunnel_secret":")"));
  EXPECT_EQ(create.body.size(),
            std::string(R"({"name":"ee-dev-1","config_src":"cloudflare","tunnel_secret":""})").size() + 44);
  EXPECT_EQ(create.headers.front().value, "Bearer token");
  EXPECT_EQ(create.connect_timeout, Milliseconds(5000));
  EXPECT_EQ(create.total_timeout, Milliseconds(20000));
  EXPECT_EQ(create.max_response_bytes, 4UL * 1024 * 1024);

  answers(answer(200, ok("{}")));
  ASSERT_TRUE(client_.configure_tunnel(kTunnel, "vm.example.com", "http://127.0.0.1:8088", {}));
  EXPECT_EQ(http_.calls().back().method, "PUT");
  EXPECT_TRUE(http_.calls().back().url.ends_with(std::string("/cfd_tunnel/") + kTunnel + "/configurations"));
  EXPECT_EQ(http_.calls().back().body,
            R"({"config":{"ingress":[{"hostname":"vm.example.com","service":"http://127.0.0.1:8088"},)"
            R"({"service":"http_status:404"}]}})");

  answers(answer(200, ok(R"({"id":"00000000000000000000000000000001"})")));
  ASSERT_EQ(client_.create_record("vm.example.com", "t.cfargotunnel.com", "ee c=dev agent=1", {}),
            std::string("00000000000000000000000000000001"));
  EXPECT_EQ(http_.calls().back().body,
            R"({"type":"CNAME","name":"vm.example.com","content":"t.cfargotunnel.com","proxied":true,"ttl":1,)"
            R"("comment":"ee c=dev agent=1"})");

  answers(answer(200, ok("[]")));
  ASSERT_TRUE(client_.list_records("ee c=dev agent=", {}));
  EXPECT_TRUE(http_.calls().back().url.ends_with(
      "/dns_records?type=CNAME&comment.startswith=ee%20c%3Ddev%20agent%3D&per_page=100&page=1"));
  ASSERT_TRUE(client_.find_tunnels("ee-dev-1", {}));
  EXPECT_TRUE(http_.calls().back().url.ends_with("/cfd_tunnel?name=ee-dev-1&is_deleted=false"));
  EXPECT_EQ(observed_.front(), "create_tunnel:200");
}

TEST_F(CloudflareClientTest, DecidesByCodeAndStatus) {
  struct Row {
    int status;
    std::string body;
    Failure failure;
  };
  const Row rows[] = {
      {409, refusal(1013), Failure::name_exists},
      {400, refusal(1022), Failure::has_connections},
      {400, refusal(1003), Failure::gone},
      {404, refusal(7003), Failure::gone},
      {404, "", Failure::gone},
      {400, refusal(81053), Failure::record_exists},
      {400, refusal(81054), Failure::record_exists},
      {400, refusal(81057), Failure::record_exists},
      {404, refusal(81044), Failure::gone},
      {400, refusal(6003), Failure::refused},
      {500, "", Failure::transient},
      {503, refusal(1), Failure::transient},
      {301, "", Failure::transient},
      {200, "{}", Failure::transient},
      {200, R"({"success":"true"})", Failure::transient},
      {200, "<html>", Failure::transient},
      {200, refusal(1013), Failure::name_exists},
      // The first code that means something decides, wherever it stands.
      {400, R"({"success":false,"errors":[{"code":7},{"code":1022}]})", Failure::has_connections},
  };
  for (const Row& row : rows) {
    answers(answer(row.status, row.body));
    const auto result = client_.delete_tunnel(kTunnel, {});
    ASSERT_FALSE(result) << row.status << row.body;
    EXPECT_EQ(result.error().failure, row.failure) << row.status << row.body << to_string(result.error().failure);
    EXPECT_EQ(result.error().detail.find("nobody reads"), std::string::npos);
    clock_.advance(Seconds(300));
  }
}

TEST_F(CloudflareClientTest, RepeatsWhatMayBeRepeatedTwiceMore) {
  answers(answer(503, ""));
  const SteadyTime before = clock_.steady_now();
  EXPECT_FALSE(client_.configure_tunnel(kTunnel, "h", "s", {}));
  EXPECT_EQ(calls(), 3U);
  const auto waited = clock_.steady_now() - before;
  EXPECT_GE(waited, Milliseconds(250 + 1000));
  EXPECT_LE(waited, Milliseconds(750 + 3000));
  EXPECT_FALSE(client_.tunnel_token(kTunnel, {}));
  EXPECT_EQ(calls(), 6U);
  EXPECT_FALSE(client_.delete_record(std::string(32, '0'), {}));
  EXPECT_EQ(calls(), 9U);
  EXPECT_FALSE(client_.create_tunnel("x", {}));  // it may have worked
  EXPECT_EQ(calls(), 10U);
}

TEST_F(CloudflareClientTest, ADeadlineIsKept) {
  answers(answer(503, ""));
  const CallContext context{.deadline = clock_.steady_now() + Milliseconds(200)};
  EXPECT_FALSE(client_.configure_tunnel(kTunnel, "h", "s", context));
  EXPECT_EQ(calls(), 1U);
  EXPECT_EQ(http_.calls().back().total_timeout, Milliseconds(200));
  clock_.advance(Milliseconds(200));
  EXPECT_FALSE(client_.configure_tunnel(kTunnel, "h", "s", context));
  EXPECT_EQ(calls(), 1U);
}

TEST_F(CloudflareClientTest, AStopEndsAWaitAndPreventsACall) {
  std::stop_source stop;
  answers(answer(503, ""));
  http_.set_answer([&](const auto&) {
    stop.request_stop();
    return answer(503, "");
  });
  const auto result = client_.tunnel_token(kTunnel, {.stop = stop.get_token()});
  EXPECT_EQ(result.error().failure, Failure::cancelled);
  EXPECT_EQ(calls(), 1U);
  EXPECT_EQ(client_.tunnel_token(kTunnel, {.stop = stop.get_token()}).error().failure, Failure::cancelled);
  EXPECT_EQ(calls(), 1U);
}

TEST_F(CloudflareClientTest, ARefusedTokenOpensTheCircuitForFiveMinutes) {
  for (const auto& refused : {answer(401, ""), answer(403, refusal(9109)), answer(400, refusal(10000))}) {
    const std::size_t before = calls();
    answers(refused);
    EXPECT_EQ(client_.tunnel_token(kTunnel, {}).error().failure, Failure::bad_token);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(client_.create_tunnel("x", {}).error().failure, Failure::bad_token);
    EXPECT_EQ(calls(), before + 1);
    EXPECT_EQ(client_.status().circuit_closes_at, clock_.now() + Seconds(300));
    clock_.advance(Seconds(300));
    EXPECT_FALSE(client_.status().circuit_closes_at);
  }
  answers(answer(200, ok("\"token\"")));
  EXPECT_TRUE(client_.tunnel_token(kTunnel, {}));
}

TEST_F(CloudflareClientTest, ARateLimitPausesEveryCall) {
  answers(answer(429, "", {{"Retry-After", "30"}}));
  EXPECT_EQ(client_.tunnel_token(kTunnel, {}).error().retry_after, Seconds(30));
  answers(answer(200, ok("\"token\"")));
  clock_.advance(Milliseconds(29'999));
  EXPECT_EQ(client_.find_records("x", {}).error().failure, Failure::rate_limited);
  EXPECT_EQ(calls(), 1U);
  clock_.advance(Milliseconds(1));
  EXPECT_TRUE(client_.tunnel_token(kTunnel, {}));
  for (const char* value : {"", "soon", "-3", "99999999999999999999"}) {
    answers(answer(429, "", {{"Retry-After", value}}));
    EXPECT_EQ(client_.tunnel_token(kTunnel, {}).error().retry_after, Seconds(300)) << value;
    clock_.advance(Seconds(300));
  }
}

TEST_F(CloudflareClientTest, TheBudgetHasABurstAndARate) {
  clock_.set_auto_advance(false);
  answers(answer(200, ok("[]")));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(client_.find_records("x", {})) << i;
  const auto over = client_.find_records("x", {});
  EXPECT_EQ(over.error().failure, Failure::over_budget);
  EXPECT_EQ(over.error().retry_after, Seconds(1));
  EXPECT_EQ(client_.status().budget_remaining, 0);
  clock_.advance(Milliseconds(300));  // 1,000 calls in 300 s
  EXPECT_TRUE(client_.find_records("x", {}));
  EXPECT_FALSE(client_.find_records("x", {}));
  clock_.advance(Seconds(600));
  EXPECT_EQ(client_.status().budget_remaining, 50);
}

TEST_F(CloudflareClientTest, ACallerThatWaitsGetsItsTurn) {
  answers(answer(200, ok("[]")));
  const CallContext patient{.wait_for_budget = true};
  const SteadyTime before = clock_.steady_now();
  for (int i = 0; i < 150; ++i) ASSERT_TRUE(client_.find_records("x", patient));
  EXPECT_EQ(clock_.steady_now() - before, Seconds(30));  // 100 beyond the burst at 300 ms each
}

TEST_F(CloudflareClientTest, DeletionsTakeHalfOfTheBudgetAtMost) {
  clock_.set_auto_advance(false);
  answers(answer(200, ok("null")));
  int deleted = 0;
  while (client_.drop_connections(kTunnel, {})) ++deleted;
  EXPECT_EQ(deleted, 25);
  EXPECT_EQ(client_.status().budget_remaining, 25);
}

TEST_F(CloudflareClientTest, ForeignIdsNeverReachAPath) {
  answers(answer(200, ok(R"({"id":"../../user/tokens","token":"t"})")));
  EXPECT_FALSE(client_.create_tunnel("x", {}));
  answers(answer(200, ok(R"([{"id":"a/b","name":"x","type":"CNAME"}])")));
  EXPECT_FALSE(client_.find_records("x", {}));
}

TEST_F(CloudflareClientTest, FindsExactNamesOnlyWhateverTheFilterGives) {
  answers(answer(200, ok(R"([{"id":"f70ff985-a4ef-4643-bbbc-4a0ed4fc8415","name":"ee-dev-10"}])")));
  EXPECT_TRUE(client_.find_tunnels("ee-dev-1", {})->empty());
}

TEST_F(CloudflareClientTest, AListingWithoutTotalsEndsWithAShortPage) {
  int page = 0;
  http_.set_answer([&](const auto&) {
    std::string items;
    const int count = ++page < 3 ? 100 : 50;
    for (int i = 0; i < count; ++i)
      items += std::string(i == 0 ? "" : ",") + R"({"id":"f70ff985-a4ef-4643-bbbc-4a0ed4fc8415","name":"ee-x"})";
    return answer(200, ok("[" + items + "]"));
  });
  EXPECT_EQ(client_.list_tunnels("ee-", {})->size(), 250U);
  EXPECT_EQ(calls(), 3U);
}

TEST_F(CloudflareClientTest, AListingThatDoesNotEndIsRefused) {
  http_.set_answer(
      [&](const auto&) { return answer(200, R"({"success":true,"result":[],"result_info":{"total_pages":100000}})"); });
  EXPECT_FALSE(client_.list_tunnels("ee-", {.wait_for_budget = true}));
  EXPECT_EQ(calls(), CloudflareClient::kMaxPages);
}

// The real client, a real socket, a real curl.
TEST(CloudflareClientOnSockets, TalksToTheStandIn) {
  standins::CloudflareStandIn standin;
  standin.start();
  SystemClock clock;
  SystemRandom random;
  net::CurlHttpClient http;
  CloudflareClient client(http, clock, random, [&] {
    CloudflareConfig out;
    out.api_url = standin.api_url();
    out.account_id = standin.fake().config().account_id;
    out.zone_id = standin.fake().config().zone_id;
    out.api_token = Secret(standin.fake().config().api_token);
    return out;
  });
  EXPECT_TRUE(client.verify_token({}));
  const auto tunnel = client.create_tunnel("ee-dev-1", {});
  ASSERT_TRUE(tunnel) << tunnel.error().short_text();
  EXPECT_EQ(client.tunnel_token(tunnel->id, {})->reveal(), tunnel->token.reveal());
  standin.fake().inject({.kind = standins::Fault::Kind::oversized, .method = "POST"});
  EXPECT_EQ(client.create_tunnel("ee-dev-2", {}).error().failure, Failure::transient);
  standin.fake().inject({.kind = standins::Fault::Kind::drop_after, .method = "POST"});
  EXPECT_EQ(client.create_tunnel("ee-dev-2", {}).error().failure, Failure::transient);
  EXPECT_EQ(client.create_tunnel("ee-dev-2", {}).error().failure, Failure::name_exists);
  EXPECT_EQ(client.list_tunnels("ee-dev-", {})->size(), 2U);
  ASSERT_TRUE(client.delete_tunnel(tunnel->id, {}));
  EXPECT_EQ(client.delete_tunnel(tunnel->id, {}).error().failure, Failure::gone);
}

}  // namespace
}  // namespace ee::cp::cloudflare
