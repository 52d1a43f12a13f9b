#include "tests/standins/cloudflare/cloudflare.h"

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "common/bytes.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "net/curl_http_client.h"

namespace ee::standins {
namespace {

namespace bj = boost::json;

class CloudflareFakeTest : public ::testing::Test {
 protected:
  struct Answer {
    int status = 0;
    bj::value body;
    std::int64_t code() const {
      const auto& errors = body.at("errors").get_array();
      return errors.empty() ? 0 : errors.front().at("code").get_int64();
    }
  };
  Answer call(const std::string& method, const std::string& path, const std::string& body = {},
              const std::string& token = "fake-cloudflare-token") {
    const auto answer = client_.send({.method = method,
                                      .url = std::string(CloudflareDirectClient::kUrl) + path,
                                      .headers = {{"Authorization", "Bearer " + token}},
                                      .body = body,
                                      .max_response_bytes = 100'000'000});
    if (!answer) return {};
    return {.status = answer->status, .body = bj::parse(answer->body)};
  }
  std::string tunnel(const std::string& name) {
    const auto made = call(
        "POST", tunnels_,
        R"({"name":")" + name + R"(","config_src":"cloudflare","tunnel_secret":")" + std::string(43, 'A') + "=\"}");
    return made.status == 200 ? std::string(made.body.at("result").at("id").get_string()) : std::string();
  }
  static std::string record_body(const std::string& name, const std::string& content) {
    return R"({"type":"CNAME","name":")" + name + R"(","content":")" + content +
           R"(","proxied":true,"ttl":1,"comment":"c"})";
  }

  FakeClock clock_;
  FakeRandom random_;
  CloudflareFake fake_{{}, clock_, random_};
  CloudflareDirectClient client_{fake_};
  std::string tunnels_ = "/accounts/" + fake_.config().account_id + "/cfd_tunnel";
  std::string records_ = "/zones/" + fake_.config().zone_id + "/dns_records";
};

TEST_F(CloudflareFakeTest, ATunnelsNameIsUniqueWhileItLives) {
  const std::string id = tunnel("one");
  ASSERT_FALSE(id.empty());
  const auto again = call("POST", tunnels_, R"({"name":"one","tunnel_secret":")" + std::string(43, 'A') + "=\"}");
  EXPECT_EQ(again.code(), 1013);
  EXPECT_EQ(call("DELETE", tunnels_ + "/" + id).status, 200);
  EXPECT_NE(tunnel("one"), id);
  EXPECT_EQ(call("DELETE", tunnels_ + "/" + id).code(), 1003);
  EXPECT_EQ(call("GET", tunnels_ + "/" + id + "/token").status, 404);
  EXPECT_EQ(fake_.all_tunnels().size(), 2U);
}

TEST_F(CloudflareFakeTest, ATokenNamesAccountTunnelAndSecret) {
  const std::string id = tunnel("one");
  const auto token = call("GET", tunnels_ + "/" + id + "/token").body.at("result").get_string();
  const auto parts = parse_tunnel_token(std::string(token));
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->account, fake_.config().account_id);
  EXPECT_EQ(parts->tunnel_id, id);
  EXPECT_EQ(parts->secret, std::string(43, 'A') + "=");
}

TEST_F(CloudflareFakeTest, RefusesWhatCloudflareRefuses) {
  EXPECT_EQ(call("GET", tunnels_, {}, "wrong").code(), 10000);
  EXPECT_EQ(call("GET", "/accounts/ffffffffffffffffffffffffffffffff/cfd_tunnel").code(), 10000);
  EXPECT_EQ(call("GET", "/nothing").status, 404);
  EXPECT_EQ(call("POST", tunnels_, "").code(), 6003);
  EXPECT_EQ(call("POST", tunnels_, R"({"name":"x","tunnel_secret":"c2hvcnQ="})").code(), 6003);
  EXPECT_EQ(call("POST", tunnels_, R"({"name":"x","tunnel_secret":"x","extra":1})").code(), 6003);
  EXPECT_EQ(call("POST", records_, R"({"type":"CNAME"})").code(), 6003);
  EXPECT_EQ(call("DELETE", records_ + "/" + std::string(32, '0')).code(), 81044);
}

TEST_F(CloudflareFakeTest, IngressMustEndWithARuleForEverything) {
  const std::string id = tunnel("one");
  const std::string path = tunnels_ + "/" + id + "/configurations";
  EXPECT_EQ(call("PUT", path, R"({"config":{"ingress":[{"hostname":"h","service":"http://127.0.0.1:1"}]}})").code(),
            1056);
  EXPECT_EQ(
      call("PUT", path,
           R"({"config":{"ingress":[{"hostname":"h","service":"http://127.0.0.1:1"},{"service":"http_status:404"}]}})")
          .status,
      200);
}

TEST_F(CloudflareFakeTest, AConnectedTunnelCannotBeDeleted) {
  const std::string id = tunnel("one");
  ASSERT_TRUE(fake_.set_connections(id, 1));
  EXPECT_EQ(call("DELETE", tunnels_ + "/" + id).code(), 1022);
  EXPECT_EQ(call("DELETE", tunnels_ + "/" + id + "/connections").status, 200);
  EXPECT_EQ(call("DELETE", tunnels_ + "/" + id).status, 200);
}

TEST_F(CloudflareFakeTest, RecordsHaveUniqueNames) {
  EXPECT_EQ(call("POST", records_, record_body("a.example.com", "x")).status, 200);
  EXPECT_EQ(call("POST", records_, record_body("a.example.com", "x")).code(), 81057);
  EXPECT_EQ(call("POST", records_, record_body("a.example.com", "y")).code(), 81053);
  const auto found = call("GET", records_ + "?type=CNAME&name=a.example.com&per_page=100");
  ASSERT_EQ(found.body.at("result").get_array().size(), 1U);
  EXPECT_EQ(call("GET", records_ + "?comment.startswith=d").body.at("result").get_array().size(), 0U);
  EXPECT_EQ(call("GET", records_ + "?comment.startswith=c").body.at("result").get_array().size(), 1U);
}

TEST_F(CloudflareFakeTest, ListsInPages) {
  for (int i = 0; i < 25; ++i) tunnel("ee-x-" + std::to_string(i));
  tunnel("other");
  const auto page = call("GET", tunnels_ + "?include_prefix=ee-x-&is_deleted=false&per_page=10&page=3");
  EXPECT_EQ(page.body.at("result").get_array().size(), 5U);
  EXPECT_EQ(page.body.at("result_info").at("total_pages").to_number<int>(), 3);
  EXPECT_EQ(page.body.at("result_info").at("total_count").to_number<int>(), 25);
}

TEST_F(CloudflareFakeTest, FaultsHitTheCallTheyName) {
  fake_.inject({.kind = Fault::Kind::drop_after, .call_number = 2});
  fake_.inject({.kind = Fault::Kind::status, .method = "DELETE", .status = 503, .code = 42});
  EXPECT_EQ(call("GET", tunnels_).status, 200);
  EXPECT_EQ(tunnel("one"), "");  // dropped, but done
  EXPECT_EQ(fake_.live_tunnels().size(), 1U);
  EXPECT_EQ(call("DELETE", tunnels_ + "/x").status, 503);
  EXPECT_EQ(call("DELETE", tunnels_ + "/x").status, 404);
  fake_.inject({.kind = Fault::Kind::drop_before});
  EXPECT_EQ(tunnel("two"), "");
  EXPECT_EQ(fake_.live_tunnels().size(), 1U);
}

TEST_F(CloudflareFakeTest, LogsRequestsWithoutSecrets) {
  tunnel("one");
  ASSERT_EQ(fake_.requests().size(), 1U);
  const auto logged = fake_.requests().front();
  EXPECT_EQ(logged.method, "POST");
  EXPECT_TRUE(logged.authorized);
  EXPECT_NE(logged.body.find("\"tunnel_secret\":\"***\""), logged.body.npos);
  EXPECT_EQ(fake_.dump_json().find("AAAAAAAA"), std::string::npos);
}

TEST_F(CloudflareFakeTest, SameSeedSameIds) {
  FakeRandom random_a(7), random_b(7);
  CloudflareState a(random_a), b(random_b);
  EXPECT_EQ(a.new_uuid(), b.new_uuid());
  EXPECT_EQ(a.new_hex_id(), b.new_hex_id());
}

// The same behind a real socket, with the hooks and the edge.
TEST(CloudflareStandIn, ServesApiHooksAndEdge) {
  CloudflareStandIn standin;
  standin.start();
  net::CurlHttpClient http;
  const auto& config = standin.fake().config();
  const auto send = [&](const std::string& method, const std::string& url, const std::string& body,
                        std::vector<HttpHeader> headers) {
    return http.send({.method = method, .url = url, .headers = std::move(headers), .body = body});
  };
  const HttpHeader bearer{"Authorization", "Bearer " + config.api_token};
  const HttpHeader secret{"X-Fake-Secret", config.hook_secret};
  const std::string account = standin.api_url() + "/accounts/" + config.account_id + "/cfd_tunnel";

  const auto made =
      send("POST", account, R"({"name":"one","tunnel_secret":")" + std::string(43, 'A') + "=\"}", {bearer});
  ASSERT_TRUE(made);
  ASSERT_EQ(made->status, 200) << made->body;
  const auto tunnel = bj::parse(made->body).at("result");
  const std::string id(tunnel.at("id").get_string());
  const std::string token(tunnel.at("token").get_string());
  EXPECT_EQ(send("GET", standin.url() + "/__fake/state", {}, {})->status, 403);

  // The edge's origin is the stand-in itself: its answer to a hook shows that the request went round.
  const std::string rules = R"({"config":{"ingress":[{"hostname":"h.example.com","service":"http://127.0.0.1:1"},)"
                            R"({"service":"http_status:404"}]}})";
  ASSERT_EQ(send("PUT", account + "/" + id + "/configurations", rules, {bearer})->status, 200);
  ASSERT_EQ(send("POST", standin.api_url() + "/zones/" + config.zone_id + "/dns_records",
                 R"({"type":"CNAME","name":"h.example.com","content":")" + id +
                     R"(.cfargotunnel.com","proxied":true,"ttl":1,"comment":""})",
                 {bearer})
                ->status,
            200);
  EXPECT_EQ(send("GET", standin.url() + "/x", {}, {{"Host", "h.example.com"}})->status, 530);  // not connected
  ASSERT_EQ(send("POST", standin.url() + "/__fake/connect",
                 R"({"token":")" + token + R"(","connections":4,"origin":")" + standin.url() + "\"}", {secret})
                ->status,
            200);
  EXPECT_EQ(standin.fake().live_tunnels().front().connections, 4);
  EXPECT_EQ(standin.fake().route("h.example.com"), standin.url());
  EXPECT_EQ(send("GET", standin.url() + "/x", {}, {{"Host", "other.example.com"}})->status, 530);

  ASSERT_EQ(
      send("POST", standin.url() + "/__fake/faults", R"({"kind":"drop_after","method":"DELETE","times":2})", {secret})
          ->status,
      200);
  // Closed without an answer; libcurl itself tries once more when it had used the connection before.
  EXPECT_FALSE(send("DELETE", account + "/" + id + "/connections", {}, {bearer}));
  ASSERT_EQ(send("DELETE", standin.url() + "/__fake/faults", {}, {secret})->status, 200);
  EXPECT_EQ(standin.fake().live_tunnels().front().connections, 0);
  ASSERT_EQ(
      send("POST", standin.url() + "/__fake/rate_limit", R"({"calls":0,"retry_after_seconds":7})", {secret})->status,
      200);
  const auto limited = send("GET", account, {}, {bearer});
  EXPECT_EQ(limited->status, 429);
  EXPECT_EQ(limited->header("retry-after"), "7");
  EXPECT_EQ(send("POST", standin.url() + "/__fake/connect", R"({"token":"bm8="})", {secret})->status, 401);
}

}  // namespace
}  // namespace ee::standins
