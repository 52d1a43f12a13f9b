#include "net/proxy/forward.h"

#include "net/proxy/forward_test_support.h"

namespace ee::net {
namespace {

using ee::testing::RawClient;

TEST(Forward, PassesRequestsAndAnswersAndReusesConnections) {
  ProxyServer test;
  RawClient client = test.connect();
  for (int i = 0; i < 5; ++i) {
    client.send("POST /echo?x=%2F HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nKeep-Alive: 3\r\nContent-Length: 5\r\n\r\nhello");
    const auto answer = client.read_response();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_TRUE(answer->body.starts_with("POST /echo?x=%2F HTTP/1.1\r\n")) << answer->body;
    EXPECT_TRUE(answer->body.ends_with("\r\nhello"));
    EXPECT_EQ(answer->body.find("Keep-Alive"), std::string::npos);
  }
  EXPECT_EQ(test.workload.connections(), 1U);
}

// covers: S03_PRX_017 (but HTTP/2)
TEST(Forward, FramesEachKindOfAnswer) {
  ProxyServer test;
  RawClient client = test.connect();
  client.send(get("/chunked/5000"));
  EXPECT_EQ(next(client)->body, std::string(5000, 'c'));
  client.send(get("/trailers"));
  const auto trailers = client.read_response();
  EXPECT_EQ(trailers->body, "body");
  EXPECT_EQ(trailers->trailers, "X-Sum: 4\r\n");
  client.send("HEAD /bytes/7 HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(next(client, true)->header("content-length"), "7");
  client.send(get("/status/204"));
  const auto none = client.read_response();
  EXPECT_EQ(none->status, 204);
  EXPECT_FALSE(none->header("content-length"));
  client.send(get("/status/304"));
  EXPECT_EQ(next(client, true)->status, 304);
  client.send(get("/continue"));
  EXPECT_EQ(next(client, true)->status, 103);
  EXPECT_EQ(next(client)->body, "after");
  test.workload.answer("/old", "HTTP/1.0 200 OK\r\n\r\nuntil the end");
  client.send("GET /echo HTTP/1.0\r\nHost: h\r\n\r\n");
  EXPECT_EQ(next(client)->status, 200);
}

TEST(Forward, PassesChunkedUploadsWithTrailers) {
  ProxyServer test;
  const auto answer = test.call(
      "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n");
  EXPECT_TRUE(answer.body.ends_with("abcde[X-T: 1]")) << answer.body;
}

TEST(Forward, AnswersExpectationsOnceABackendIsChosen) {
  ProxyServer test;
  RawClient client = test.connect();
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(next(client, true)->status, 100);
  client.send("ok");
  const auto answer = client.read_response();
  EXPECT_TRUE(answer->body.ends_with("ok"));
  EXPECT_EQ(answer->body.find("100-continue"), std::string::npos);

  test.app.plan.ports = {closed_port()};
  RawClient refused = test.connect();
  refused.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(next(refused)->status, 502);
}

// covers: S03_PRX_008
TEST(Forward, AnswersForABackendThatFails) {
  ProxyServer test;
  EXPECT_EQ(test.call(get("/close")).body, "upstream_protocol_error");
  EXPECT_EQ(test.workload.count("/close"), 3U) << "GET is tried three times";
  EXPECT_EQ(test.call(post("/close", "x")).status, 502);
  EXPECT_EQ(test.workload.count("/close"), 4U) << "POST once";
  EXPECT_EQ(test.call(get("/dup-cl")).body, "upstream_protocol_error");
  EXPECT_EQ(test.workload.count("/dup-cl"), 1U) << "an answer came: never again";
  for (const char* garbage :
       {"676172626167650d0a0d0a", "485454502f312e3120323030204f4b0a0a", "485454502f312e3120323030204f4b0d0a2066"})
    EXPECT_EQ(test.call(get(std::string("/say?hex=") + garbage)).status, 502) << garbage;
  RawClient client = test.connect();
  client.send(get("/close-mid") + get("/"));
  const std::string all = client.read_to_end();
  EXPECT_NE(all.find("Content-Length: 100"), std::string::npos);
  EXPECT_EQ(all.find("hello"), std::string::npos) << "the connection is cut";
  test.app.plan.ports = {closed_port()};
  EXPECT_EQ(test.call(get("/echo")).body, "upstream_connect_failed");
  EXPECT_EQ(test.call(post("/echo", "x")).body, "upstream_connect_failed");
}

TEST(Forward, TimesOutABackendThatHangs) {
  ProxyServer test;
  RawClient client = test.connect();
  client.send(get("/hang"));
  ASSERT_TRUE(eventually([&] { return test.workload.count("/hang") == 1; }));
  test.server->sweep();
  test.clock.advance(Milliseconds(60'001));
  const auto answer = client.read_response();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 504);
  EXPECT_EQ(test.workload.count("/hang"), 1U);
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
}

TEST(Forward, GivesUpAnExchangeThatMayWaitNoLonger) {
  ProxyServer test;
  RawClient client = test.connect();
  client.send(get("/hang"));
  ASSERT_TRUE(eventually([&] { return test.workload.count("/hang") == 1; }));
  test.app.plan.give_up = true;
  const auto answer = client.read_response();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->body, "service_unavailable");
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
}

TEST(Forward, TriesAnotherBackendWhenNoneWasReached) {
  ProxyServer test;
  test.app.plan.ports = {closed_port(), closed_port(), test.workload.port()};
  const auto answer = test.call(post("/echo", "once"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(test.summary().attempts, 3);
  EXPECT_EQ(test.workload.count("/echo"), 1U);
}

// covers: S03_PRX_010
TEST(Forward, APooledConnectionThatDiedCostsNoError) {
  ProxyServer test;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(test.call(get("/echo")).status, 200);
    test.workload.drop_connections();
  }
  EXPECT_EQ(test.workload.count("/echo"), 20U);
}

// covers: S03_PRX_009
TEST(Forward, NeverSendsAPostTwice) {
  ProxyServer test;
  int failed = 0;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(test.call(get("/echo")).status, 200);  // leaves a pooled connection
    const auto answer = test.call(post("/close", std::to_string(i)));
    failed += answer.status == 502 ? 1 : 0;
  }
  EXPECT_EQ(failed, 1000);
  EXPECT_EQ(test.workload.count("/close"), 1000U);
}

// covers: S03_PRX_006
TEST(Forward, PassesEventsAsTheyComeAndClosesWithTheClient) {
  ProxyServer test;
  RawClient client = test.connect();
  client.send(get("/sse?n=3&ms=1"));
  const auto head = client.read_response(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->header("content-type"), "text/event-stream");
  EXPECT_TRUE(client.read_some(3));
  EXPECT_EQ(test.workload.open_connections(), 1U);
  client.close();
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
  EXPECT_TRUE(test.summary().client_gone);
}

// covers: S03_PRX_007 (tunnels)
TEST(Forward, TunnelsWebSockets) {
  const std::string request =
      "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  ProxyServer test;
  {
    RawClient client = test.connect();
    client.send(request);
    const auto head = client.read_response(true);
    ASSERT_TRUE(head);
    EXPECT_EQ(head->status, 101);
    EXPECT_EQ(head->header("upgrade"), "websocket");
    const std::string binary("\x82\x05\0\xff\x01\x02\x03", 7);
    client.send(binary);
    EXPECT_EQ(client.read_some(7), binary);
    client.half_close();
    EXPECT_EQ(client.read_to_end(), "");
    EXPECT_TRUE(test.summary().tunnel);
  }
  {
    RawClient client = test.connect();
    client.send(request);
    EXPECT_EQ(next(client, true)->status, 101);
    client.send("x");
    EXPECT_EQ(client.read_some(1), "x");
    test.clock.advance(Milliseconds(300'001));
    EXPECT_EQ(client.read_to_end(), std::string("\x88\x02\x03\xe9", 4)) << "idle: going away";
  }
  {
    RawClient client = test.connect();
    client.send(request);
    EXPECT_EQ(next(client, true)->status, 101);
    test.app.plan.end_tunnels = true;
    EXPECT_EQ(client.read_to_end(), std::string("\x88\x02\x03\xe9", 4));
  }
  std::string refused = request;
  EXPECT_EQ(test.call(refused.replace(5, 2, "echo")).status, 200) << "not 101: passed as it is";
  EXPECT_EQ(test.call(get("/echo", "Connection: Upgrade\r\nUpgrade: h2c\r\n")).body, "upgrade_not_supported");
  EXPECT_EQ(test.call(get("/say?hex=485454502f312e3120313031205377690d0a557067726164653a20776562736f636b65740d0a0d0a"))
                .status,
            502)
      << "101 that nobody asked for";
}

TEST(Forward, BoundsInterimAnswers) {
  ProxyServer test;
  std::string hints;
  for (int i = 0; i < 10; ++i) hints += "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  test.workload.answer("/few", hints + answer);
  test.workload.answer("/many", hints + hints + answer);
  RawClient client = test.connect();
  client.send(get("/few"));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(next(client, true)->status, 103);
  EXPECT_EQ(next(client)->body, "ok");
  RawClient other = test.connect();
  other.send(get("/many"));
  int status = 103;
  while (status == 103) status = next(other)->status;
  EXPECT_EQ(status, 502) << "somebody who never comes to the point fills our memory";
}

TEST(Forward, BoundsBodiesThatDoNotSayTheirLength) {
  ProxyServer test;
  test.app.plan.limits.max_body_bytes = 1000;
  EXPECT_EQ(test.call(post("/echo", std::string(1001, 'x'))).body, "body_too_large");
  EXPECT_EQ(test.call(post("/echo", std::string(1000, 'x'))).status, 200);
  std::string chunked = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 3; ++i) chunked += "190\r\n" + std::string(400, 'x') + "\r\n";
  EXPECT_EQ(test.call(chunked + "0\r\n\r\n").body, "body_too_large");
  EXPECT_EQ(test.workload.count("/echo"), 1U);
}

TEST(Forward, RefusesClientsWhoseBodyStalls) {
  ProxyServer test;
  RawClient client = test.connect();
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
  ASSERT_TRUE(eventually([&] { return test.workload.connections() == 1; }));
  // The wait begins when the first half has been passed on, which cannot be seen from here: time goes on until then.
  auto answer = std::async(std::launch::async, [&] { return next(client)->status; });
  for (int minute = 0; minute < 30 && answer.wait_for(Milliseconds(100)) != std::future_status::ready; ++minute) {
    test.server->sweep();
    test.clock.advance(Milliseconds(60'001));
  }
  EXPECT_EQ(answer.get(), 408);
}

// covers: S03_PRX_005 (back-pressure; the full size in tests/e2e/proxy_stream_test.cpp)
TEST(Forward, StreamsLargeBodiesBothWays) {
  ProxyServer test;
  constexpr std::size_t kSize = 24UL * 1024 * 1024;
  RawClient up = test.connect();
  up.send("POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
  const std::string block(1024UL * 1024, 'x');
  for (std::size_t sent = 0; sent < kSize; sent += block.size()) ASSERT_TRUE(up.send(block));
  EXPECT_EQ(next(up)->status, 200);
  EXPECT_EQ(test.workload.seen().back().body, std::to_string(kSize));

  RawClient down = test.connect();
  down.send(get("/bytes/" + std::to_string(kSize)));
  EXPECT_EQ(next(down)->body.size(), kSize);
}

TEST(Forward, EarlyAnswersEndTheUpload) {
  ProxyServer test;
  RawClient client = test.connect();
  client.send("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\nx");
  const auto answer = client.read_response();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body, "early");
  EXPECT_EQ(answer->header("connection"), "close");
}

TEST(Forward, ServerEndsWithExchangesUnderWay) {
  ProxyServer test;
  std::vector<RawClient> clients;
  for (const char* path : {"/hang", "/sse?n=1&ms=1", "/echo"}) {
    clients.push_back(test.connect());
    clients.back().send(get(path));
  }
  ASSERT_TRUE(eventually([&] { return test.workload.seen().size() == 3; }));
  test.server.reset();
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
}

}  // namespace
}  // namespace ee::net
