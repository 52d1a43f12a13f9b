#include "cp/http/proxy_cors.h"

#include "cp/http/proxy_test_support.h"

namespace ee::cp {
namespace {

constexpr const char* kCors =
    R"({"cors":{"origins":["https://app.example","https://b.example:8443"],"methods":["GET","PUT"],)"
    R"("headers":["X-One","X-EE-Authorization"],"credentials":true}})";

std::string preflight(const std::string& origin) {
  return "OPTIONS /proxy/web/echo HTTP/1.1\r\nHost: x\r\nOrigin: " + origin +
         "\r\nAccess-Control-Request-Method: PUT\r\n\r\n";
}

TEST_F(ProxyTest, AnswersPreflightsOfServicesThatSaySo) {
  start("token", kCors);
  const auto allowed = proxy.send(preflight("https://app.example"));
  EXPECT_EQ(allowed.status, 204) << "without a credential: browsers send none";
  EXPECT_EQ(allowed.header("access-control-allow-origin"), "https://app.example");
  EXPECT_EQ(allowed.header("access-control-allow-credentials"), "true");
  EXPECT_EQ(allowed.header("access-control-allow-methods"), "GET, PUT");
  EXPECT_EQ(allowed.header("access-control-allow-headers"), "X-One, X-EE-Authorization");
  EXPECT_EQ(allowed.header("vary"), "Origin");
  for (const char* origin : {"https://app.example.evil", "https://APP.example", "null", "http://app.example", "*"}) {
    const auto refused = proxy.send(preflight(origin));
    EXPECT_FALSE(refused.header("access-control-allow-origin")) << origin;
    EXPECT_FALSE(refused.header("access-control-allow-methods")) << origin;
  }
  EXPECT_EQ(workload.connections(), 0U);
}

TEST_F(ProxyTest, LetsNamedPagesReadAnswersAndDropsWhatTheWorkloadSays) {
  start("public", kCors);
  workload.answer("/own",
                  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n"
                  "Access-Control-Expose-Headers: X-Own\r\n\r\n");
  const auto named = proxy.get("/proxy/web/own", "Origin: https://b.example:8443\r\n");
  EXPECT_EQ(named.header_count("access-control-allow-origin"), 1U);
  EXPECT_EQ(named.header("access-control-allow-origin"), "https://b.example:8443");
  EXPECT_EQ(named.header("access-control-expose-headers"), "X-Own");
  const auto other = proxy.get("/proxy/web/own", "Origin: https://c.example\r\n");
  EXPECT_FALSE(other.header("access-control-allow-origin"));
  EXPECT_EQ(other.header("vary"), "Origin");
  EXPECT_FALSE(proxy.get("/proxy/web/own").header("access-control-allow-origin"));
  proxy.set(deployment, "state='stopping'");
  proxy.refresh();
  EXPECT_EQ(proxy.get("/proxy/web/", "Origin: https://app.example\r\n").header("access-control-allow-origin"),
            "https://app.example")
      << "so that a page can read why";
}

TEST_F(ProxyTest, WithoutTheSettingTheWorkloadAnswersItself) {
  start();
  EXPECT_EQ(proxy.send(preflight("https://app.example")).status, 200);
  EXPECT_EQ(last().method, "OPTIONS");
}

TEST(ProxyCors, AnybodyIsNeverAnybodyWithCredentials) {
  const ServiceCors anybody{.origins = {"*"}, .credentials = true};  // the service refuses to store it
  EXPECT_EQ(allowed_origin(anybody, "https://x.example"), "*");
  EXPECT_EQ(allowed_origin(anybody, ""), "");
  std::string fields;
  append_cors(fields, anybody, "*");
  EXPECT_EQ(fields, "Access-Control-Allow-Origin: *\r\nVary: Origin\r\n");
}

}  // namespace
}  // namespace ee::cp
