#include "net/proxy/forward_test_support.h"

namespace ee::net {
namespace {

using ee::testing::RawClient;

constexpr std::size_t kMiB = 1024UL * 1024;
constexpr std::size_t kSocketBuffers = 24 * kMiB;  ///< what kernels hold of a connection on both of its sides, and more

/// Bytes still on their way count as movement, so the clock goes on for as long as the machine needs for them.
template <class Done>
void pass_minutes_until(ProxyServer& test, Done done) {
  const auto patience = std::chrono::steady_clock::now() + Seconds(60);
  while (!done() && std::chrono::steady_clock::now() < patience) {
    test.server->sweep();
    test.clock.advance(Milliseconds(60'001));
    std::this_thread::yield();
  }
}

// A client that does not read holds back its backend, costs no memory, and is dropped.
TEST(ForwardSlow, AClientThatStopsReadingStopsItsBackend) {
  ProxyServer test;
  RawClient client = test.connect();
  client.shrink_receive_buffer();
  client.send(get("/bytes/" + std::to_string(512 * kMiB)));
  ASSERT_TRUE(eventually([&] { return test.workload.count("/bytes/" + std::to_string(512 * kMiB)) == 1; }));
  ASSERT_TRUE(client.read_some(1));
  pass_minutes_until(test, [&] { return test.workload.open_connections() == 0; });
  const ForwardSummary summary = test.summary();
  EXPECT_TRUE(summary.client_gone || summary.cut);
  EXPECT_LT(summary.bytes_out, kSocketBuffers);
  EXPECT_TRUE(eventually([&] { return test.workload.open_connections() == 0; }));
}

// Slow is not idle: time-outs count from the last byte that moved.
TEST(ForwardSlow, AClientThatReadsSlowlyGetsItsAnswer) {
  ProxyServer test;
  constexpr std::size_t kSize = 128 * kMiB;
  RawClient client = test.connect();
  client.send(get("/bytes/" + std::to_string(kSize)));
  std::size_t received = 0;
  for (int step = 0; step < 14; ++step) {
    for (const std::size_t until = received + 8 * kMiB; received < until;) {
      const auto piece = client.read_some();
      ASSERT_TRUE(piece) << step;
      received += piece->size();
    }
    test.server->sweep();
    test.clock.advance(Milliseconds(45'000));
    test.server->sweep();
  }
  while (received < kSize) {
    const auto piece = client.read_some();
    ASSERT_TRUE(piece);
    received += piece->size();
  }
  EXPECT_FALSE(test.summary().cut);
}

// A head that never ends is one that never comes; nothing of it is tried again.
TEST(ForwardSlow, ABackendThatStopsInTheMiddleOfItsHeadIsTooLate) {
  ProxyServer test;
  test.workload.answer("/partial", "HTTP/1.1 200 OK\r\nX-Half: ");
  RawClient client = test.connect();
  client.send(get("/partial"));
  ASSERT_TRUE(eventually([&] { return test.workload.count("/partial") == 1; }));
  auto answer = std::async(std::launch::async, [&] { return next(client)->body; });
  for (int minute = 0; minute < 30 && answer.wait_for(Milliseconds(50)) != std::future_status::ready; ++minute) {
    test.server->sweep();
    test.clock.advance(Milliseconds(60'001));
  }
  EXPECT_EQ(answer.get(), "upstream_timeout");
  EXPECT_EQ(test.workload.count("/partial"), 1U);
}

TEST(ForwardSlow, ABackendThatStopsInTheMiddleOfItsBodyIsCut) {
  ProxyServer test;
  test.workload.answer("/partial", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  RawClient client = test.connect();
  client.send(get("/partial"));
  EXPECT_EQ(next(client, true)->status, 200);
  EXPECT_EQ(client.read_some(4), "half");
  pass_minutes_until(test, [&] { return test.workload.open_connections() == 0; });
  EXPECT_EQ(client.read_to_end(), "") << "reset, so that it is no end";
  EXPECT_TRUE(test.summary().cut);
}

// A backend that takes no more of an upload than its socket holds.
TEST(ForwardSlow, ABackendThatStopsReadingStopsItsClient) {
  ProxyServer test;
  test.app.plan.limits.max_body_bytes = 1024 * kMiB;
  RawClient client = test.connect();
  std::atomic<std::size_t> sent = 0;  // MiB
  std::jthread sender([&] {
    const std::string block(kMiB, 'x');
    client.send("POST /stuck HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(512 * kMiB) + "\r\n\r\n");
    while (sent < 512 && client.send(block)) ++sent;
  });
  ASSERT_TRUE(eventually([&] { return test.workload.count("/stuck") == 1; }));
  const auto ended = [&] {
    const std::lock_guard lock(test.app.plan.mutex);
    return !test.app.plan.ended.empty();
  };
  for (int second = 0; second < 10'000 && !ended(); ++second) {  // in small steps: what moves is not idle
    test.server->sweep();
    test.clock.advance(Milliseconds(1'000));
    std::this_thread::yield();
  }
  const ForwardSummary summary = test.summary();
  EXPECT_EQ(summary.status, 504);
  EXPECT_LT(summary.bytes_in, kSocketBuffers);
}

}  // namespace
}  // namespace ee::net
