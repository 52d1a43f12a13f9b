#include "cp/http/proxy.h"

#include "common/jose.h"
#include "cp/http/proxy_test_support.h"

namespace ee::cp {
namespace {

using testing::ProxyFixture;
using testing::RawClient;

// covers: S03_PRX_001
TEST_F(ProxyTest, PassesMethodsPathsQueriesAndStatusesAsTheyAre) {
  start();
  for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    proxy.send(std::string(method) + " /proxy/web/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    EXPECT_EQ(last().method, method);
    EXPECT_EQ(last().body, "ab");
  }
  for (const char* path :
       {"/", "/a%2Fb", "/a//b/", "/%C3%A4?x=%20&y=a+b&z", "/a;b=c", "/%00", "/..%2f..%2fetc", "/a\\b"}) {
    proxy.get(std::string("/proxy/web") + path);
    EXPECT_EQ(last().target, path);
  }
  for (const int status : {200, 201, 204, 301, 304, 400, 404, 418, 500, 503})
    EXPECT_EQ(proxy.get("/proxy/web/status/" + std::to_string(status)).status, status);
  for (const char* method : {"TRACE", "PROPFIND"})
    EXPECT_EQ(proxy.send(std::string(method) + " /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n").status, 405) << method;
  const auto moved = proxy.get("/proxy/web?a=b");
  EXPECT_EQ(moved.status, 308);
  EXPECT_EQ(moved.header("location"), "/proxy/web/?a=b");
  EXPECT_EQ(proxy.error_of("/proxy/other/"), "service_not_found");
  EXPECT_EQ(proxy.error_of("/proxy/%2e%2e/"), "bad_path");
  EXPECT_EQ(proxy.error_of("/proxy/w%2feb/"), "bad_path");
  EXPECT_EQ(proxy.error_of("/proxy/web%00/"), "bad_path");
}

// covers: S03_PRX_002
TEST_F(ProxyTest, RemovesHopByHopFieldsBothWays) {
  start();
  workload.answer("/hop",
                  "HTTP/1.1 200 OK\r\nConnection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n"
                  "Proxy-Authenticate: Basic\r\nTrailer: X\r\nUpgrade: h2\r\nX-Kept: 1\r\nX-EE-Agent: a\r\n"
                  "X-EE-Proxy-Error: forged\r\nContent-Length: 2\r\n\r\nok");
  const auto answer =
      proxy.get("/proxy/web/hop",
                "Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\n"
                "Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nX-Kept: 1\r\n");
  EXPECT_EQ(answer.body, "ok");
  for (const char* name : {"X-Private", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Upgrade"})
    EXPECT_FALSE(last().has(name)) << name;
  EXPECT_TRUE(last().has("X-Kept"));
  EXPECT_EQ(last().header("TE"), "trailers");
  for (const char* name :
       {"X-Mine", "Keep-Alive", "Proxy-Authenticate", "Trailer", "Upgrade", "X-EE-Agent", "X-EE-Proxy-Error"})
    EXPECT_FALSE(answer.header(name)) << name;
  EXPECT_EQ(answer.header("x-kept"), "1");
  EXPECT_EQ(answer.header("x-ee-deployment"), deployment);
  EXPECT_EQ(answer.header("via"), "1.1 easyenclave");
}

// covers: S03_PRX_003
TEST_F(ProxyTest, ReplacesForwardingFieldsOfStrangersAndExtendsThoseOfTrustedProxies) {
  const std::string forged =
      "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 9.9.9.9\r\n"
      "Forwarded: for=9.9.9.9\r\nX-Forwarded-Prefix: /evil\r\n";
  start();
  proxy.get("/proxy/web/echo", forged);
  EXPECT_EQ(last().header("X-Forwarded-For"), "127.0.0.1");
  EXPECT_EQ(last().header("X-Forwarded-Proto"), "http");
  EXPECT_EQ(last().header("X-Forwarded-Host"), "cp.example");
  EXPECT_EQ(last().header("X-Forwarded-Port"), "80");
  EXPECT_EQ(last().header("X-Forwarded-Prefix"), "/proxy/web");
  EXPECT_EQ(last().header("X-Real-IP"), "127.0.0.1");
  EXPECT_EQ(last().head.find("9.9.9.9"), std::string::npos);
  EXPECT_EQ(last().header("Host"), workload.url().substr(7));
  EXPECT_TRUE(last().has("X-Request-Id"));

  proxy.server.reset();
  proxy.config.trusted_proxies = {*net::parse_network("127.0.0.0/8")};
  proxy.start();
  proxy.get("/proxy/web/echo", forged);
  EXPECT_EQ(last().header("X-Forwarded-For"), "9.9.9.9, 127.0.0.1");
  EXPECT_EQ(last().header("X-Forwarded-Proto"), "https");
  EXPECT_EQ(last().header("X-Real-IP"), "9.9.9.9");
  EXPECT_EQ(last().header("X-Forwarded-Prefix"), "/proxy/web");
}

// covers: S03_PRX_004
TEST_F(ProxyTest, KeepsThePlatformsCredentialsFromWorkloads) {
  start("token");
  const std::string token = proxy.add_token("web", "0190d000-0000-7000-8000-000000000001");
  const std::string key = proxy.add_key(proxy.owner_);
  const std::string mine = "X-EE-Authorization: Bearer " + token + "\r\n";
  const std::string cookies = "Cookie: a=1; ee_session=secret; ee_csrf=x; b=2\r\n";
  EXPECT_EQ(
      proxy.get("/proxy/web/echo", mine + cookies + "X-EE-Proxy-Assertion: forged\r\nX-EE-Service: forged\r\n").status,
      200);
  EXPECT_FALSE(last().has("X-EE-Authorization"));
  EXPECT_EQ(last().head.find("secret"), std::string::npos);
  EXPECT_EQ(last().head.find("forged"), std::string::npos);
  EXPECT_EQ(last().header("Cookie"), "a=1; b=2");
  EXPECT_EQ(last().header("X-EE-Service"), "web");
  EXPECT_EQ(last().header("X-EE-Deployment"), deployment);
  EXPECT_EQ(last().header("X-EE-Ingress-Port"), "8080");
  EXPECT_EQ(proxy.get("/proxy/web/api/x", mine).status, 200);
  EXPECT_EQ(last().header("X-EE-Ingress-Port"), "9000") << "the longest prefix";
  EXPECT_EQ(proxy.get("/proxy/web/echo", "Authorization: Bearer " + key + "\r\n").status, 200);
  EXPECT_FALSE(last().has("Authorization")) << "used for access";
  EXPECT_EQ(proxy.get("/proxy/web/echo", mine + "Authorization: Bearer " + key + "\r\n").status, 200);
  EXPECT_FALSE(last().has("Authorization")) << "ours, though not used";
  EXPECT_EQ(proxy.get("/proxy/web/echo", mine + "Authorization: Basic Zm9v\r\n").status, 200);
  EXPECT_EQ(last().header("Authorization"), "Basic Zm9v") << "the workload's own login";
}

TEST_F(ProxyTest, ProvesToTheAgentThatItIsTheProxy) {
  start();
  proxy.get("/proxy/web/echo");
  const std::string assertion = last().header("X-EE-Proxy-Assertion");
  const auto token =
      jose::UnverifiedToken::parse(assertion, {.algorithms = {jose::Algorithm::eddsa}, .types = {"ee-proxy+jwt"}});
  ASSERT_TRUE(token);
  const auto verified = token->verify(jose::PublicKey::from_ed25519(proxy.key.public_key()));
  ASSERT_TRUE(verified);
  EXPECT_EQ(jose::text_member(verified->claims(), "dep"), deployment);
  EXPECT_EQ(jose::integer_member(verified->claims(), "epoch"), 7);
  EXPECT_EQ(*jose::integer_member(verified->claims(), "exp") - *jose::integer_member(verified->claims(), "iat"), 120);
  proxy.get("/proxy/web/echo");
  EXPECT_EQ(last().header("X-EE-Proxy-Assertion"), assertion) << "made once a minute";
  proxy.clock.advance(Seconds(61));
  proxy.get("/proxy/web/echo");
  EXPECT_NE(last().header("X-EE-Proxy-Assertion"), assertion);
}

// covers: S03_SVC_001 (but sessions and workflows, whose principals the authenticator's tests show)
TEST_F(ProxyTest, LetsInWhomTheServicesAccessNames) {
  start("account");
  proxy.add_service("open", "public");
  proxy.add_backend("open", workload.url());
  proxy.add_service("tok", "token");
  proxy.add_backend("tok", workload.url());
  proxy.refresh();
  const std::string id = "0190d000-0000-7000-8000-000000000001";
  const auto bearer = [](const std::string& text) { return "X-EE-Authorization: Bearer " + text + "\r\n"; };
  const std::string own = bearer(proxy.add_key(proxy.owner_));
  const std::string foreign = bearer(proxy.add_key(proxy.stranger_));
  const std::string token = bearer(proxy.add_token("tok", id));
  struct Row {
    const char* path;
    const std::string& fields;
    const char* error;
  };
  const std::string none;
  const std::string garbage = bearer("ee_live_aaaaaaaaaaaaaaaa_nonsense");
  for (const int pass : {1, 2}) {  // from the rows, then from the cache
    for (const Row& row :
         {Row{"/proxy/open/", none, "none"}, Row{"/proxy/open/", garbage, "none"},
          Row{"/proxy/web/", none, "proxy_auth_required"}, Row{"/proxy/web/", own, "none"},
          Row{"/proxy/web/", foreign, "proxy_forbidden"}, Row{"/proxy/web/", token, "proxy_auth_required"},
          Row{"/proxy/web/", garbage, "proxy_auth_required"}, Row{"/proxy/tok/", none, "proxy_auth_required"},
          Row{"/proxy/tok/", own, "none"}, Row{"/proxy/tok/", foreign, "proxy_forbidden"},
          Row{"/proxy/tok/", token, "none"}})
      EXPECT_EQ(proxy.error_of(row.path, row.fields), row.error) << row.path << ' ' << row.fields.substr(0, 30) << pass;
  }
  EXPECT_EQ(proxy.get("/proxy/web/").status, 401);
  EXPECT_EQ(proxy.get("/proxy/web/", foreign).status, 403);
}

// covers: S03_SVC_002 (the revocation)
TEST_F(ProxyTest, RevokedAndExpiredTokensEndAtOnce) {
  start("token");
  const std::string id = "0190d000-0000-7000-8000-000000000001";
  const std::string fields = "X-EE-Authorization: Bearer " + proxy.add_token("web", id) + "\r\n";
  EXPECT_EQ(proxy.error_of("/proxy/web/", fields), "none");
  const auto revoked = proxy.database->write<bool>([&](db::Transaction& tx) {
    return ServiceTokenStore().revoke(tx, ProxyFixture::service_id("web"), id, proxy.clock.now());
  });
  EXPECT_TRUE(revoked.value());
  proxy.access.forget_token(id);
  EXPECT_EQ(proxy.error_of("/proxy/web/", fields), "proxy_auth_required");
  const std::string brief =
      "X-EE-Authorization: Bearer " +
      proxy.add_token("web", "0190d000-0000-7000-8000-000000000002", proxy.clock.now() + Seconds(10)) + "\r\n";
  EXPECT_EQ(proxy.error_of("/proxy/web/", brief), "none");
  proxy.clock.advance(Seconds(11));
  EXPECT_EQ(proxy.error_of("/proxy/web/", brief), "proxy_auth_required");
}

TEST_F(ProxyTest, StopsListeningToAnAddressThatKeepsFailing) {
  start("token");
  const std::string bad = "X-EE-Authorization: Bearer ee_svc_aaaaaaaaaaaaaaaa_nonsense\r\n";
  for (int i = 0; i < 20; ++i) EXPECT_EQ(proxy.get("/proxy/web/", bad).status, 401) << i;
  const auto answer = proxy.get("/proxy/web/", bad);
  EXPECT_EQ(answer.status, 429);
  EXPECT_TRUE(answer.header("retry-after"));
}

// covers: S03_PRX_014
TEST_F(ProxyTest, RefusesSmuggledRequests) {
  start();
  const std::string line = "POST /proxy/web/echo HTTP/1.1\r\nHost: x\r\n";
  for (const std::string& rest :
       {std::string("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        std::string("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        std::string("X: a\r\n b\r\nContent-Length: 0\r\n\r\n"), std::string("X: a\nContent-Length: 0\r\n\r\n"),
        std::string("Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n"), std::string("X: \0\r\n\r\n", 8)}) {
    RawClient client = proxy.connect();
    client.send(line + rest);
    const auto answer = client.read_response();
    ASSERT_TRUE(answer) << rest;
    EXPECT_EQ(answer->status, 400) << rest;
    EXPECT_EQ(client.read_to_end(), "") << rest;
  }
  EXPECT_EQ(workload.count("/echo"), 0U);
}

// covers: S03_PRX_016
TEST_F(ProxyTest, FencesInPagesThatShareTheConsolesOrigin) {
  start();
  const auto page = [&](const std::string& fields) {
    workload.answer("/page", "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 2\r\n\r\nok");
    return proxy.get("/proxy/web/page");
  };
  for (const char* type : {"Content-Type: text/html; charset=utf-8\r\n", "Content-Type: IMAGE/SVG+XML\r\n",
                           "Content-Type: application/pdf\r\n", "", "Content-Type: nonsense\r\n"})
    EXPECT_TRUE(page(type).header("content-security-policy").value_or("").starts_with("sandbox")) << type;
  EXPECT_FALSE(page("Content-Type: application/json\r\n").header("content-security-policy"));
  const auto answer = page(
      "Content-Type: text/plain\r\nSet-Cookie: a=1; Path=/x; Domain=cp.example; HttpOnly\r\nSet-Cookie: "
      "ee_session=evil\r\n"
      "Set-Cookie: __Host-x=1; Path=/\r\nService-Worker-Allowed: /\r\nClear-Site-Data: \"*\"\r\n"
      "Strict-Transport-Security: max-age=1\r\nAlt-Svc: h3\r\n");
  EXPECT_EQ(answer.header_count("set-cookie"), 1U);
  EXPECT_EQ(answer.header("set-cookie"), "a=1; Path=/proxy/web/x; HttpOnly");
  for (const char* name : {"Service-Worker-Allowed", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc"})
    EXPECT_FALSE(answer.header(name)) << name;

  const auto by_host = proxy.send("GET /page HTTP/1.1\r\nHost: web.apps.example\r\n\r\n");
  EXPECT_EQ(by_host.status, 200);
  EXPECT_EQ(by_host.header_count("set-cookie"), 3U);
  EXPECT_EQ(by_host.header("alt-svc"), "h3");
  EXPECT_EQ(proxy.send("GET /proxy/other/ HTTP/1.1\r\nHost: web.apps.example\r\n\r\n").status, 200)
      << "the whole path is the workload's";
  EXPECT_EQ(last().target, "/proxy/other/");
}

// covers: S03_PRX_018
TEST_F(ProxyTest, RewritesLocationsOfTheBackendOnly) {
  start();
  const auto location = [&](const std::string& to) {
    return proxy.get("/proxy/web/redirect?to=" + to).header("location").value_or("none");
  };
  EXPECT_EQ(location(workload.url() + "/a?b=c"), "/proxy/web/a?b=c");
  EXPECT_EQ(location("/login"), "/proxy/web/login");
  EXPECT_EQ(location("sub/page"), "sub/page");
  EXPECT_EQ(location("https://elsewhere.example/x"), "https://elsewhere.example/x");
  EXPECT_EQ(location("//elsewhere.example/x"), "//elsewhere.example/x");
}

}  // namespace
}  // namespace ee::cp
