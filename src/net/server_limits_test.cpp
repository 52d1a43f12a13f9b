#include <gtest/gtest.h>

#include "net/server.h"
#include "net/server_test_support.h"

namespace ee::net {
namespace {

using ee::testing::RawClient;

// covers: S05_HTTP_01
TEST(ServerLimits, PausesAcceptingAtTheBoundOfConnections) {
  TestServer test;
  test.config.max_connections = 2;
  test.start();
  auto first = test.connect();
  auto second = test.connect();
  first.send(kGet);
  second.send(kGet);
  ASSERT_TRUE(first.read_response() && second.read_response());

  auto third = test.connect();  // by the backlog
  third.send(kGet);
  while (!test.server->stats().accept_paused) test.server->sweep();
  EXPECT_EQ(test.server->stats().connections, 2U);
  EXPECT_TRUE(test.server->stats().accept_paused);

  first.close();
  EXPECT_EQ(third.read_response()->status, 200);
}

// covers: S05_HTTP_02
TEST(ServerLimits, ClosesConnectionsBeyondTheBoundPerAddress) {
  TestServer test;
  test.config.max_connections_per_ip = 2;
  test.start();
  auto first = test.connect();
  auto second = test.connect();
  first.send(kGet);
  second.send(kGet);
  ASSERT_TRUE(first.read_response() && second.read_response());

  EXPECT_TRUE(test.connect().closed());
  EXPECT_EQ(test.server->stats().refused_connections, 1U);

  first.close();
  test.wait_for_connections(1);
  auto again = test.connect();
  again.send(kGet);
  EXPECT_TRUE(again.read_response());
}

TEST(ServerLimits, DoesNotCountTheConnectionsOfTrustedProxies) {
  TestServer test;
  test.config.max_connections_per_ip = 1;
  test.config.trusted_proxies = {*parse_network("127.0.0.0/8")};
  test.start();

  auto first = test.connect();
  auto second = test.connect();
  first.send(kGet);
  second.send(kGet);

  EXPECT_TRUE(first.read_response());
  EXPECT_TRUE(second.read_response());
}

// covers: S05_HTTP_03
TEST(ServerLimits, AnswersOverloadedBeyondTheInFlightBoundButServesReservedRoutes) {
  TestServer test;
  Gate gate;
  test.config.max_in_flight = 2;
  add_gated(test, "POST /slow", gate);
  Gate open_gate;
  open_gate.open();
  add_gated(test, "POST /heartbeat", open_gate, {.reserved = true});
  test.start();
  auto one = test.connect();
  auto two = test.connect();
  auto other = test.connect();
  one.send(post("/slow", ""));
  two.send(post("/slow", ""));
  gate.wait_for_waiting(2);

  for (int i = 0; i < 20; ++i) {
    other.send(post("/slow", ""));
    const auto refused = other.read_response();
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status, 503);
    EXPECT_NE(refused->body.find("\"overloaded\""), std::string::npos) << refused->body;
    const int retry_after = std::atoi(refused->header("retry-after").value_or("0").c_str());
    EXPECT_GE(retry_after, 1);
    EXPECT_LE(retry_after, 5);
    other.send(post("/heartbeat", ""));
    EXPECT_EQ(other.read_response()->status, 200);
  }
  other.send(kGet);
  EXPECT_EQ(other.read_response()->status, 200);

  gate.open();
  EXPECT_EQ(one.read_response()->body, "opened");
  EXPECT_EQ(two.read_response()->body, "opened");
  other.send(post("/slow", ""));
  EXPECT_EQ(other.read_response()->status, 200);
  EXPECT_EQ(test.server->stats().in_flight, 0U);
}

TEST(ServerLimits, ARouteMayHaveABoundOfItsOwn) {
  TestServer test;
  Gate gate;
  const auto bound = std::make_shared<WorkBound>(2, Seconds(5), Seconds(30));
  add_gated(test, "POST /slow", gate, {.bound = bound});
  test.config.worker_threads = 1;  // the second waits in the queue, and counts
  test.start();
  auto one = test.connect();
  auto two = test.connect();
  auto other = test.connect();
  one.send(post("/slow", ""));
  gate.wait_for_waiting(1);
  two.send(post("/slow", ""));
  ASSERT_TRUE(eventually([&] { return bound->count == 2; }));
  for (int i = 0; i < 20; ++i) {
    other.send(post("/slow", ""));
    const auto refused = other.read_response();
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status, 503);
    EXPECT_NE(refused->body.find("\"overloaded\""), std::string::npos) << refused->body;
    const int retry_after = std::atoi(refused->header("retry-after").value_or("0").c_str());
    EXPECT_GE(retry_after, 5);
    EXPECT_LE(retry_after, 30);
    other.send(kGet);
    EXPECT_EQ(other.read_response()->status, 200) << "other routes go on";
  }
  EXPECT_EQ(bound->count, 2U) << "what was refused does not count";
  gate.open();
  EXPECT_EQ(one.read_response()->body, "opened");
  EXPECT_EQ(two.read_response()->body, "opened");
  other.send(post("/slow", ""));
  EXPECT_EQ(other.read_response()->status, 200);
  EXPECT_TRUE(eventually([&] { return bound->count == 0; }));
}

TEST(ServerLimits, BoundsTheReservedShareToo) {
  TestServer test;
  Gate gate;
  test.config.max_in_flight = 10;  // and one more for reserved routes
  test.config.worker_threads = 16;
  add_gated(test, "POST /heartbeat", gate, {.reserved = true});
  test.start();
  std::vector<RawClient> clients;
  for (int i = 0; i < 11; ++i) {
    clients.push_back(test.connect());
    clients.back().send(post("/heartbeat", ""));
  }
  gate.wait_for_waiting(11);

  auto late = test.connect();
  late.send(post("/heartbeat", ""));
  EXPECT_EQ(late.read_response()->status, 503);
  gate.open();
  for (RawClient& client : clients) EXPECT_EQ(client.read_response()->status, 200);
}

// covers: S05_HTTP_06
TEST(ServerLimits, RefusesALongBodyBeforeReadingIt) {
  TestServer test;
  test.start();
  auto client = test.connect();

  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n");

  const auto response = client.read_response();
  EXPECT_EQ(response->status, 413);
  EXPECT_NE(response->body.find("\"body_too_large\""), std::string::npos);
  EXPECT_TRUE(test.app.requests().empty());
  client.send(std::string(1025, 'x'));  // short enough to drop: the connection stays
  client.send(post("/echo", std::string(1024, 'y')));
  EXPECT_EQ(client.read_response()->body, std::string(1024, 'y'));
}

TEST(ServerLimits, ClosesWhenARefusedBodyIsLong) {
  TestServer test;
  test.start();
  auto client = test.connect();

  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nbegin");

  const auto response = client.read_response();
  EXPECT_EQ(response->status, 413);
  EXPECT_EQ(response->header("connection"), "close");
  client.half_close();
  EXPECT_TRUE(client.closed());
}

/// Room for a body is made from the length that is announced, piece by piece.
TEST(ServerLimits, TakesALongBodyInPieces) {
  TestServer test;
  test.app.routes["POST /large"] = {
      .info = {.route_template = "/large", .max_body_bytes = 1024UL * 1024},
      .handler = [](Request&& request) { return Response{.body = std::move(request.body)}; }};
  test.start();
  auto client = test.connect();
  for (const std::size_t size : {1UL, 2000UL, 16384UL, 16385UL, 41'000UL, 300'000UL, 1024UL * 1024}) {
    std::string body(size, '\0');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>('a' + i % 23 + i / 8192 % 3);
    const std::string_view rest = body;
    client.send("POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
                body.substr(0, size / 50));
    test.settle();
    client.send(std::string(rest.substr(size / 50, size / 3)));
    test.settle();
    client.send(std::string(rest.substr(size / 50 + size / 3)));
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200) << size;
    EXPECT_TRUE(response->body == body) << size;
  }
  EXPECT_EQ(test.server->stats().buffered_body_bytes, 0U);
}

TEST(ServerLimits, BoundsTheMemoryOfAllBodiesTogether) {
  TestServer test;
  test.config.max_buffered_body_bytes = 1500;
  test.start();
  auto slow = test.connect();
  slow.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\n" + std::string(1000, 'x'));
  test.settle();
  ASSERT_EQ(test.server->stats().buffered_body_bytes, 1000U);

  auto other = test.connect();
  other.send(post("/echo", std::string(600, 'y')));
  EXPECT_EQ(other.read_response()->status, 503);

  slow.send(std::string(24, 'x'));
  EXPECT_EQ(slow.read_response()->status, 200);
  EXPECT_EQ(test.server->stats().buffered_body_bytes, 0U);
}

TEST(ServerLimits, ServesABoundedNumberOfRequestsPerConnection) {
  TestServer test;
  test.config.max_requests_per_connection = 3;
  test.start();
  auto client = test.connect();
  client.send(std::string(kGet) + std::string(kGet) + std::string(kGet) + std::string(kGet));

  EXPECT_EQ(client.read_response()->header("connection"), std::nullopt);
  EXPECT_EQ(client.read_response()->header("connection"), std::nullopt);
  EXPECT_EQ(client.read_response()->header("connection"), "close");
  EXPECT_EQ(client.read_response(), std::nullopt);
}

TEST(ServerLimits, ShedsByOrderWhenTheApplicationSaysSo) {
  TestServer test;
  for (const auto& [path, shed] :
       {std::pair{"/logs", Shed::first}, {"/deploy", Shed::second}, {"/heartbeat", Shed::never}})
    test.app.routes[std::string("GET ") + path] = {.info = {.fast = true, .shed = shed},
                                                   .handler = [](Request&&) { return Response{}; }};
  test.config.shed_after = Milliseconds(4);
  test.start();
  auto client = test.connect();
  const auto status = [&](const std::string& path) {
    client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return client.read_response()->status;
  };
  EXPECT_EQ(status("/logs"), 200);

  test.server->set_overloaded(true);
  while (status("/logs") != 503) test.server->sweep();
  EXPECT_TRUE(test.server->stats().shedding);
  while (status("/deploy") != 503) test.server->sweep();
  EXPECT_EQ(status("/heartbeat"), 200);

  test.server->set_overloaded(false);
  while (status("/deploy") != 200) test.server->sweep();
  EXPECT_EQ(status("/logs"), 200);
}

TEST(ServerLimits, ShedsWhenTheEventLoopLags) {
  TestServer test;
  test.config.shed_lag = Milliseconds(10);
  test.config.shed_after = Milliseconds(0);
  test.app.routes["GET /block"] = {.info = {.fast = true, .shed = Shed::never}, .handler = [](Request&&) {
                                     const auto end = std::chrono::steady_clock::now() + Milliseconds(40);
                                     while (std::chrono::steady_clock::now() < end) {
                                     }
                                     return Response{};
                                   }};
  test.app.routes["GET /logs"] = {.info = {.fast = true, .shed = Shed::first},
                                  .handler = [](Request&&) { return Response{}; }};
  test.start();
  auto client = test.connect();
  // One block keeps the loop from its tick; the next tick notes how late it came.
  bool shed = false;
  for (int i = 0; i < 50 && !shed; ++i) {
    client.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_EQ(client.read_response()->status, 200);
    client.send("GET /logs HTTP/1.1\r\nHost: x\r\n\r\n");
    shed = client.read_response()->status == 503;
  }
  EXPECT_TRUE(shed);
}

}  // namespace
}  // namespace ee::net
