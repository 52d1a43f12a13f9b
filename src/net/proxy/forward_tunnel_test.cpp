#include "net/proxy/forward_test_support.h"

namespace ee::net {
namespace {

using ee::testing::RawClient;

constexpr std::size_t kMiB = 1024UL * 1024;
constexpr std::size_t kSocketBuffers = 48 * kMiB;  ///< what kernels hold of four sockets, and more
constexpr std::string_view kUpgrade =
    "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client of a tunnel that echoes.
RawClient open_tunnel(ProxyServer& test) {
  RawClient client = test.connect();
  client.send(kUpgrade);
  if (next(client, true)->status != 101) throw std::runtime_error("no tunnel");
  return client;
}

TEST(ForwardTunnel, PassesMuchBothWaysAtOnce) {
  ProxyServer test;
  RawClient client = open_tunnel(test);
  constexpr std::size_t kSize = 16 * kMiB;
  std::string sent;
  sent.reserve(kSize + 16);
  for (int i = 0; sent.size() < kSize; ++i) sent += std::to_string(i);
  std::jthread sender([&] { client.send(sent); });
  std::string received;
  while (received.size() < sent.size()) {
    const auto piece = client.read_some();
    ASSERT_TRUE(piece);
    received += *piece;
  }
  EXPECT_TRUE(received == sent);
  sender.join();
  client.half_close();
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_EQ(test.summary().bytes_in, sent.size());
  EXPECT_EQ(test.summary().bytes_out, sent.size());
}

TEST(ForwardTunnel, WhatComesWithTheRequestOrWithTheEndIsPassedOn) {
  ProxyServer test;
  for (int i = 0; i < 50; ++i) {
    RawClient client = test.connect();
    client.send(std::string(kUpgrade) + "first");
    ASSERT_EQ(next(client, true)->status, 101);
    client.send("last");
    client.half_close();
    ASSERT_EQ(client.read_to_end(), "firstlast");
  }
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
}

TEST(ForwardTunnel, MessagesOfManyTunnelsKeepTheirOrder) {
  ProxyServer test;
  std::vector<RawClient> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(open_tunnel(test));
  for (int round = 0; round < 50; ++round) {
    for (std::size_t i = 0; i < clients.size(); ++i)
      clients[i].send("message " + std::to_string(round) + " of " + std::to_string(i) + "\n");
    for (std::size_t i = 0; i < clients.size(); ++i) {
      const std::string expected = "message " + std::to_string(round) + " of " + std::to_string(i) + "\n";
      ASSERT_EQ(clients[i].read_some(expected.size()), expected);
    }
  }
  test.app.plan.end_tunnels = true;
  for (RawClient& client : clients) EXPECT_EQ(client.read_to_end(), std::string("\x88\x02\x03\xe9", 4));
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
}

// What a client does not read comes back to hold up what it sends.
TEST(ForwardTunnel, AClientThatReadsNothingIsHeldBackAndDropped) {
  ProxyServer test;
  RawClient client = test.connect();
  client.shrink_receive_buffer();
  client.send(kUpgrade);
  ASSERT_EQ(next(client, true)->status, 101);
  std::atomic<std::size_t> sent = 0;
  std::jthread sender([&] {
    const std::string block(64UL * 1024, 'x');
    while (sent < 512 * kMiB && client.send(block)) sent += block.size();
  });
  ASSERT_TRUE(eventually([&] { return sent > 0; }));
  const auto ended = [&] {
    const std::lock_guard lock(test.app.plan.mutex);
    return !test.app.plan.ended.empty();
  };
  for (int second = 0; second < 10'000 && !ended(); ++second) {
    test.server->sweep();
    test.clock.advance(Milliseconds(1'000));
    std::this_thread::yield();
  }
  const ForwardSummary summary = test.summary();
  EXPECT_TRUE(summary.tunnel);
  EXPECT_LT(summary.bytes_in, kSocketBuffers);
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
}

TEST(ForwardTunnel, AResetOfEitherSideEndsTheOther) {
  ProxyServer test;
  RawClient client = open_tunnel(test);
  client.send("x");
  EXPECT_EQ(client.read_some(1), "x");
  client.reset();
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
  EXPECT_TRUE(test.summary().client_gone);
  RawClient other = open_tunnel(test);
  other.send("x");
  EXPECT_EQ(other.read_some(1), "x");
  test.workload.drop_connections();
  EXPECT_EQ(other.read_to_end(), "");
}

TEST(ForwardTunnel, TheServerEndsWithTunnelsOpen) {
  ProxyServer test;
  test.config.io_threads = 2;
  std::vector<RawClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(open_tunnel(test));
    clients.back().send("x");
    EXPECT_EQ(clients.back().read_some(1), "x");
  }
  for (RawClient& client : clients) client.send("on its way");
  test.server.reset();
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
  for (std::size_t i = 0; i < clients.size(); ++i) EXPECT_TRUE(test.summary(i).tunnel);
}

}  // namespace
}  // namespace ee::net
