#include <gtest/gtest.h>

#include "net/server.h"
#include "net/server_test_support.h"

namespace ee::net {
namespace {

// covers: S05_HTTP_07
TEST(ServerTimeouts, GivesAHeadTenSecondsFromItsFirstByte) {
  TestServer test;
  test.start();
  auto client = test.connect();
  test.pass(Milliseconds(70'000));  // nothing sent yet: idle
  client.send("GET / HT");
  test.pass(Milliseconds(9'000));
  client.send("TP/1.1\r\nHost: ");  // a byte now and then does not help
  test.pass(Milliseconds(999));
  client.send("x");
  test.pass(Milliseconds(1));

  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_NE(response->body.find("\"request_timeout\""), std::string::npos);
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_TRUE(client.closed());
}

// covers: S05_HTTP_08
TEST(ServerTimeouts, WantsABodyToComeAtItsRate) {
  TestServer test;
  test.app.routes["POST /echo"].info.max_body_bytes = 1024UL * 1024;
  test.start();
  auto client = test.connect();
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  for (int i = 0; i < 20; ++i) {  // 2 KiB in each of 20 seconds
    client.send(std::string(2048, 'x'));
    test.pass(Milliseconds(1'000));
  }
  EXPECT_EQ(test.server->stats().connections, 1U);
  for (int i = 0; i < 11 && test.app.record_count() == 0; ++i) {  // then 500 bytes in each
    client.send(std::string(500, 'x'));
    test.pass(Milliseconds(1'000));
  }

  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_TRUE(test.app.requests().empty());
  EXPECT_EQ(test.server->stats().buffered_body_bytes, 0U);
}

TEST(ServerTimeouts, GivesAWholeBodyAMinute) {
  TestServer test;
  test.app.routes["POST /echo"].info.max_body_bytes = 1024UL * 1024;
  test.start();
  auto client = test.connect();
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  for (int i = 0; i < 59; ++i) {
    client.send(std::string(2048, 'x'));
    test.pass(Milliseconds(1'000));
  }
  ASSERT_EQ(test.server->stats().connections, 1U);
  client.send(std::string(2048, 'x'));
  test.pass(Milliseconds(1'000));

  EXPECT_EQ(client.read_response()->status, 408);
}

// covers: S05_HTTP_09
TEST(ServerTimeouts, AnswersForAHandlerThatTakesTooLongAndStopsIt) {
  TestServer test;
  Gate gate;
  add_gated(test, "POST /slow", gate, {.handler_timeout = Milliseconds(30'000)});
  test.start();
  auto client = test.connect();
  client.send(post("/slow", ""));
  gate.wait_for_waiting(1);
  test.pass(Milliseconds(29'999));
  EXPECT_EQ(test.server->stats().in_flight, 1U);
  test.pass(Milliseconds(1));

  const auto response = client.read_response();
  EXPECT_EQ(response->status, 504);
  EXPECT_NE(response->body.find("\"handler_timeout\""), std::string::npos);
  gate.wait_for_passed(1);  // by its stop token
  client.send(kGet);        // the connection goes on, and the handler's own answer is not in the way
  EXPECT_EQ(client.read_response()->body, "hello");
  EXPECT_EQ(test.app.requests().at(0).deadline - SteadyTime{}, std::chrono::hours(1) + Seconds(30));
}

TEST(ServerTimeouts, SaysOverloadedWhenARequestWaitedForAWorkerAllItsTime) {
  TestServer test;
  Gate gate;
  test.config.worker_threads = 1;
  add_gated(test, "POST /slow", gate, {.handler_timeout = Milliseconds(60'000)});
  test.start();
  auto first = test.connect();
  first.send(post("/slow", ""));
  gate.wait_for_waiting(1);
  auto second = test.connect();
  second.send(post("/echo", "x"));
  test.pass(Milliseconds(30'000));

  EXPECT_EQ(second.read_response()->status, 503);
  gate.open();
  EXPECT_EQ(first.read_response()->status, 200);
  EXPECT_EQ(test.app.requests().size(), 1U) << "what nobody waits for is not run";
}

TEST(ServerTimeouts, StopsTheHandlerWhenThePeerGoes) {
  for (const bool by_reset : {false, true}) {
    TestServer test;
    Gate gate;
    add_gated(test, "POST /slow", gate);
    test.start();
    auto client = test.connect();
    client.send(post("/slow", ""));
    gate.wait_for_waiting(1);

    if (by_reset)
      client.reset();
    else
      client.close();

    gate.wait_for_passed(1);
  }
}

// covers: S05_HTTP_10
TEST(ServerTimeouts, ClosesIdleConnections) {
  TestServer test;
  test.start();
  auto fresh = test.connect();
  auto used = test.connect();
  test.wait_for_connections(2);
  test.pass(Milliseconds(74'999));
  used.send(kGet);
  ASSERT_TRUE(used.read_response());
  EXPECT_EQ(test.server->stats().connections, 2U);
  test.pass(Milliseconds(1));
  EXPECT_TRUE(fresh.closed());
  test.pass(Milliseconds(74'998));
  EXPECT_EQ(test.server->stats().connections, 1U);
  test.pass(Milliseconds(1));
  EXPECT_TRUE(used.closed());
}

// covers: S05_HTTP_11
TEST(ServerTimeouts, ClosesWhenThePeerDoesNotReadItsAnswer) {
  TestServer test;
  const std::string large(32UL * 1024 * 1024, 'x');  // more than the socket buffers hold
  test.app.routes["GET /large"] = {.info = {.fast = true},
                                   .handler = [&](Request&&) { return Response{.body = large}; }};
  test.start();
  auto client = test.connect();
  client.shrink_receive_buffer();
  client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n" + std::string(kGet));
  test.pass(Milliseconds(29'999));
  EXPECT_EQ(test.server->stats().connections, 1U);
  test.pass(Milliseconds(1));

  EXPECT_EQ(test.server->stats().connections, 0U);
  EXPECT_LT(client.read_to_end().size(), large.size());
}

TEST(ServerTimeouts, SendsALargeAnswerToASlowReader) {
  TestServer test;
  const std::string large(8UL * 1024 * 1024, 'x');
  test.app.routes["GET /large"] = {.info = {.fast = true},
                                   .handler = [&](Request&&) { return Response{.body = large}; }};
  test.start();
  auto client = test.connect();
  client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n" + std::string(kGet));

  EXPECT_EQ(client.read_response()->body.size(), large.size());
  EXPECT_EQ(client.read_response()->body, "hello");
}

// The ticks look at a few connections at a time, and still at each.
TEST(ServerTimeouts, ComeToEachOfManyConnections) {
  TestServer test;
  test.start();
  std::vector<testing::RawClient> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(test.connect());
  test.wait_for_connections(200);
  test.clock.advance(test.config.idle_timeout + Milliseconds(1));
  EXPECT_TRUE(eventually([&] { return test.server->stats().connections == 0; }));
  for (testing::RawClient& client : clients) EXPECT_TRUE(client.closed());
}

}  // namespace
}  // namespace ee::net
