#include "net/server.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "net/server_test_support.h"

namespace ee::net {
namespace {

using ee::testing::RawResponse;

/// One request on a connection of its own.
RawResponse answer_to(TestServer& test, const std::string& bytes) {
  auto client = test.connect();
  client.send(bytes);
  return client.read_response().value();
}

TEST(Server, AnswersAndKeepsTheConnection) {
  TestServer test;
  test.start();
  auto client = test.connect();

  for (int i = 0; i < 3; ++i) {
    client.send(kGet);
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "hello");
    EXPECT_EQ(response->header("connection"), std::nullopt);
  }
}

TEST(Server, HandsABodyToAWorker) {
  TestServer test;
  test.start();
  auto client = test.connect();

  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
  client.send("cde");
  EXPECT_EQ(client.read_response()->body, "abcde");
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_response()->body, "abcde");
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  TestServer test;
  test.start();
  auto client = test.connect();
  const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n";

  client.send(get("/") + post + "1" + get("/") + post + "2" + get("/none") + post + "3");

  EXPECT_EQ(client.read_response()->body, "hello");
  EXPECT_EQ(client.read_response()->body, "1");
  EXPECT_EQ(client.read_response()->body, "hello");
  EXPECT_EQ(client.read_response()->body, "2");
  EXPECT_EQ(client.read_response()->status, 404);
  EXPECT_EQ(client.read_response()->body, "3");
}

TEST(Server, AnswersThousandsOfPipelinedRequests) {
  TestServer test;
  test.config.max_requests_per_connection = 100'000;
  test.start();
  auto client = test.connect();
  std::string all;
  for (int i = 0; i < 5000; ++i) all += kGet;
  std::jthread sender([&] { client.send(all); });

  for (int i = 0; i < 5000; ++i) ASSERT_EQ(client.read_response()->body, "hello") << i;
}

TEST(Server, PutsTheSecurityHeadersOnEveryAnswer) {
  TestServer test;
  test.config.hsts = true;
  test.start();

  for (const std::string& bytes : {get("/"), get("/none"), std::string("broken\r\n\r\n")}) {
    const RawResponse response = answer_to(test, bytes);
    EXPECT_EQ(response.header("x-content-type-options"), "nosniff");
    EXPECT_EQ(response.header("referrer-policy"), "no-referrer");
    EXPECT_EQ(response.header("x-frame-options"), "DENY");
    EXPECT_EQ(response.header("cross-origin-opener-policy"), "same-origin");
    EXPECT_EQ(response.header("cross-origin-resource-policy"), "same-origin");
    EXPECT_EQ(response.header("permissions-policy"), "camera=(), microphone=(), geolocation=()");
    EXPECT_EQ(response.header("cache-control"), "no-store");
    EXPECT_EQ(response.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    EXPECT_EQ(response.header("strict-transport-security"), "max-age=31536000");
    EXPECT_EQ(response.header("server"), std::nullopt);
    EXPECT_EQ(response.header("date"), "Thu, 01 Jan 2026 00:00:00 GMT");
    EXPECT_TRUE(response.header("x-request-id"));
  }
}

TEST(Server, LeavesOutSecurityHeadersThatTheAnswerSetsOrTheRouteExempts) {
  TestServer test;
  test.app.routes["GET /console"] = {.info = {.fast = true}, .handler = [](Request&&) {
                                       return Response{.headers = {{"cache-control", "max-age=60"}}};
                                     }};
  test.app.routes["GET /proxy"] = {.info = {.fast = true, .security_headers = false},
                                   .handler = [](Request&&) { return Response{}; }};
  test.start();

  const RawResponse console = answer_to(test, get("/console"));
  EXPECT_EQ(console.header_count("cache-control"), 1U);
  EXPECT_EQ(console.header("cache-control"), "max-age=60");
  EXPECT_EQ(console.header("x-frame-options"), "DENY");
  EXPECT_EQ(console.header("strict-transport-security"), std::nullopt);
  EXPECT_EQ(answer_to(test, get("/proxy")).header("x-frame-options"), std::nullopt);
}

TEST(Server, LetsNoHeaderSplitTheAnswer) {
  TestServer test;
  test.app.routes["GET /bad"] = {.info = {.fast = true}, .handler = [](Request&&) {
                                   return Response{.headers = {{"X-Bad", "a\r\nSet-Cookie: b"},
                                                               {"X Bad", "c"},
                                                               {"Content-Length", "77"},
                                                               {"Transfer-Encoding", "chunked"},
                                                               {"Connection", "upgrade"},
                                                               {"X-Good", "d"}}};
                                 }};
  test.start();

  const RawResponse response = answer_to(test, get("/bad"));
  EXPECT_EQ(response.head.find("Set-Cookie"), std::string::npos);
  EXPECT_EQ(response.header("x-bad"), std::nullopt);
  EXPECT_EQ(response.header("x-good"), "d");
  EXPECT_EQ(response.header_count("content-length"), 1U);
  EXPECT_EQ(response.header("content-length"), "0");
  EXPECT_EQ(response.header("transfer-encoding"), std::nullopt);
  EXPECT_EQ(response.header("connection"), std::nullopt);
}

TEST(Server, KeepsAGoodRequestIdAndMakesOneOtherwise) {
  TestServer test;
  test.start();

  EXPECT_EQ(answer_to(test, get("/", "X-Request-Id: ab.CD_12-\r\n")).header("x-request-id"), "ab.CD_12-");
  EXPECT_EQ(test.app.requests().at(0).request_id, "ab.CD_12-");
  std::set<std::string> made;
  for (const std::string& given : {std::string("short12"), std::string(65, 'a'), std::string("with space"),
                                   std::string("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9")}) {
    const std::string id = answer_to(test, get("/", "X-Request-Id: " + given + "\r\n")).header("x-request-id").value();
    EXPECT_EQ(id.size(), 16U);
    made.insert(id);
  }
  EXPECT_EQ(made.size(), 4U);
}

TEST(Server, PassesOnAGoodTraceparentOnly) {
  TestServer test;
  test.start();
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

  answer_to(test, get("/", "Traceparent: " + good + "\r\n"));
  answer_to(test, get("/", "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n"));

  EXPECT_EQ(test.app.requests().at(0).traceparent, good);
  EXPECT_EQ(test.app.requests().at(1).traceparent, "");
}

TEST(Server, AnswersHeadAsGetWithoutTheBody) {
  TestServer test;
  test.start();
  auto client = test.connect();

  client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + std::string(kGet));

  const auto head = client.read_response(true);
  EXPECT_EQ(head->header("content-length"), "5");
  EXPECT_EQ(client.read_response()->body, "hello");
}

TEST(Server, SpeaksHttp10) {
  TestServer test;
  test.start();
  auto client = test.connect();
  client.send("GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(client.read_response()->header("connection"), "keep-alive");
  client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");

  EXPECT_EQ(client.read_response()->header("connection"), "close");
  EXPECT_TRUE(client.closed());
}

TEST(Server, SaysContinueOnlyWhenTheBodyIsWanted) {
  TestServer test;
  test.start();
  auto client = test.connect();
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_response()->status, 100);
  client.send("ok");
  EXPECT_EQ(client.read_response()->body, "ok");

  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\nExpect: 100-continue\r\n\r\n");
  const auto refused = client.read_response();
  EXPECT_EQ(refused->status, 413);
  EXPECT_EQ(refused->header("connection"), "close") << "whether the body follows cannot be known";

  EXPECT_EQ(answer_to(test, get("/", "Expect: tea\r\n")).status, 417);
}

TEST(Server, CompressesWhatIsWorthIt) {
  TestServer test;
  const std::string body(5000, 'x');
  const auto add = [&](const std::string& name, const Response& response) {
    for (const bool fast : {true, false})
      test.app.routes["GET /" + name + (fast ? "/fast" : "")] = {.info = {.fast = fast},
                                                                 .handler = [response](Request&&) { return response; }};
  };
  const HttpHeader json{"Content-Type", "application/json"};
  add("large", {.headers = {json}, .body = body});
  add("small", {.headers = {json}, .body = std::string(1024, 'x')});
  add("secret", {.headers = {json}, .body = body, .sensitive = true});
  add("image", {.headers = {{"Content-Type", "image/png"}}, .body = body});
  test.start();
  const auto encoding = [&](const std::string& path, const std::string& accept) {
    return answer_to(test, get(path, "Accept-Encoding: " + accept + "\r\n"))
        .header("content-encoding")
        .value_or("none");
  };

  for (const char* suffix : {"", "/fast"}) {
    EXPECT_EQ(encoding(std::string("/large") + suffix, "br, gzip"), "gzip");
    EXPECT_EQ(encoding(std::string("/large") + suffix, "gzip;q=0"), "none");
    EXPECT_EQ(encoding(std::string("/small") + suffix, "gzip"), "none");
    EXPECT_EQ(encoding(std::string("/secret") + suffix, "gzip"), "none");
    EXPECT_EQ(encoding(std::string("/image") + suffix, "gzip"), "none");
  }
  const RawResponse compressed = answer_to(test, get("/large", "Accept-Encoding: gzip\r\n"));
  EXPECT_LT(compressed.body.size(), 200U);
  EXPECT_EQ(compressed.body.substr(0, 2), "\x1f\x8b");
  EXPECT_EQ(compressed.header("vary"), "Accept-Encoding");
  EXPECT_EQ(answer_to(test, get("/large")).header("vary"), "Accept-Encoding");
}

// covers: S05_HTTP_13
TEST(Server, AnswersOtherOriginsOnlyWhenAllowed) {
  TestServer test;
  test.app.allowed_origin = "https://console.example.org";
  test.start();

  const RawResponse allowed = answer_to(test, get("/", "Origin: https://console.example.org\r\n"));
  EXPECT_EQ(allowed.header("access-control-allow-origin"), "https://console.example.org");
  EXPECT_EQ(allowed.header("vary"), "Origin");
  EXPECT_EQ(allowed.header("access-control-allow-credentials"), std::nullopt);
  for (const char* other : {"https://evil.example.org", "https://console.example.org.evil", "null"})
    EXPECT_EQ(answer_to(test, get("/", std::string("Origin: ") + other + "\r\n")).header("access-control-allow-origin"),
              std::nullopt);

  const std::string preflight = "OPTIONS /echo HTTP/1.1\r\nHost: x\r\nAccess-Control-Request-Method: POST\r\nOrigin: ";
  const RawResponse yes = answer_to(test, preflight + "https://console.example.org\r\n\r\n");
  EXPECT_EQ(yes.status, 204);
  EXPECT_EQ(yes.header("access-control-allow-origin"), "https://console.example.org");
  EXPECT_EQ(yes.header("access-control-allow-methods"), "GET, HEAD, POST, PUT, PATCH, DELETE");
  EXPECT_EQ(yes.header("access-control-allow-headers"),
            "Authorization, Content-Type, Idempotency-Key, If-Match, X-CSRF-Token, X-Request-Id");
  EXPECT_EQ(yes.header("access-control-max-age"), "600");
  EXPECT_EQ(yes.header("content-length"), std::nullopt);
  EXPECT_EQ(answer_to(test, preflight + "https://evil.example.org\r\n\r\n").status, 404);
}

// covers: S05_HTTP_14
TEST(Server, BelievesForwardingHeadersOfTrustedProxiesOnly) {
  const std::string request = get("/", "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\nX-Forwarded-Proto: https\r\n");
  TestServer direct;
  direct.start();
  answer_to(direct, request);
  EXPECT_EQ(direct.app.requests().at(0).client_address, "127.0.0.1");
  EXPECT_EQ(direct.app.requests().at(0).header("x-forwarded-for"), std::nullopt);
  EXPECT_EQ(direct.app.requests().at(0).header("x-forwarded-proto"), std::nullopt);

  TestServer proxied;
  proxied.config.trusted_proxies = {*parse_network("127.0.0.1")};
  proxied.start();
  answer_to(proxied, request);
  EXPECT_EQ(proxied.app.requests().at(0).client_address, "198.51.100.7");
  EXPECT_EQ(proxied.app.requests().at(0).peer_address, "127.0.0.1");
  EXPECT_EQ(proxied.app.requests().at(0).header("x-forwarded-proto"), "https");
}

TEST(Server, TurnsWhatHandlersThrowIntoA500) {
  TestServer test;
  for (const bool fast : {false, true})
    test.app.routes[fast ? "GET /fast" : "GET /slow"] = {
        .info = {.fast = fast}, .handler = [](Request&&) -> Response { throw std::runtime_error("secret detail"); }};
  test.start();

  for (const char* path : {"/fast", "/slow"}) {
    auto client = test.connect();
    client.send(get(path, "X-Request-Id: request-1\r\n"));
    const auto response = client.read_response();
    EXPECT_EQ(response->status, 500);
    EXPECT_NE(response->body.find("\"internal_error\""), std::string::npos) << response->body;
    EXPECT_NE(response->body.find("request-1"), std::string::npos);
    EXPECT_EQ(response->body.find("secret"), std::string::npos);
    client.send(kGet);
    EXPECT_EQ(client.read_response()->status, 200);
  }
}

TEST(Server, RecordsEveryAnswer) {
  TestServer test;
  test.app.routes["POST /who"] = {.info = {.route_template = "/who"}, .handler = [](Request&&) {
                                    return Response{.status = 201, .body = "x", .principal = "account:7"};
                                  }};
  test.start();
  answer_to(test, "POST /who?a=b HTTP/1.1\r\nHost: x\r\nX-Request-Id: record-1\r\nContent-Length: 3\r\n\r\nabc");
  answer_to(test, "broken\r\n\r\n");

  const auto records = test.app.records(2);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].method, "POST");
  EXPECT_EQ(records[0].path, "/who");
  EXPECT_EQ(records[0].route, "/who");
  EXPECT_EQ(records[0].status, 201);
  EXPECT_EQ(records[0].request_id, "record-1");
  EXPECT_EQ(records[0].client_address, "127.0.0.1");
  EXPECT_EQ(records[0].principal, "account:7");
  EXPECT_GT(records[0].bytes_in, 70U);
  EXPECT_GT(records[0].bytes_out, 300U);
  EXPECT_EQ(records[1].status, 400);
  EXPECT_EQ(records[1].method, "");
  EXPECT_EQ(records[1].route, "");
  EXPECT_EQ(records[1].code, "bad_request_framing");
}

TEST(Server, ClosesWithoutAWordWhenToldToDrop) {
  TestServer test;
  test.app.routes["GET /crash"] = {.info = {}, .handler = [](Request&&) { return Response{.drop = true}; }};
  test.start();
  auto client = test.connect();
  client.send(get("/crash"));

  EXPECT_EQ(client.read_to_end(), "");
}

}  // namespace
}  // namespace ee::net
