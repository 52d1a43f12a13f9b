// The whole way of a workload's traffic in one process: client, control plane, agent, workload, each on real sockets.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "agent/local_api.h"
#include "agent/workload_traffic.h"
#include "tests/support/memory_in_use.h"
#include "tests/support/proxy_fixture.h"

namespace ee {
namespace {

using testing::FakeWorkload;
using testing::ProxyFixture;
using testing::RawClient;

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EE_SLOW_THREADS 1
#endif
#endif
#ifdef EE_SLOW_THREADS
constexpr std::size_t kSize = 64UL * 1024 * 1024;  // takes as long there as the whole size elsewhere
#else
constexpr std::size_t kSize = 1024UL * 1024 * 1024;
#endif
constexpr std::int64_t kMostGrowthKib = 64L * 1024;

/// The most memory seen in use, looked at again and again.
class MemoryWatch {
 public:
  void look() { most_ = std::max(most_, testing::memory_in_use_kib()); }
  std::int64_t growth_kib() const { return most_ - before_; }

 private:
  const std::int64_t before_ = testing::memory_in_use_kib();
  std::int64_t most_ = before_;
};

/// One service `web` on one agent, which demands the control plane's assertion.
class ProxyStreamTest : public ::testing::Test {
 protected:
  ProxyStreamTest() {
    const AgentId agent = testing::make_agent(1).id;
    board_.begin_session(agent::Session{.identity = {.agent_id = agent.str(), .registration_id = "r", .credential = {}},
                                        .signers = agent::SignerSet({cp_.key.public_key()})});
    auto served = std::make_shared<agent::ServedWorkload>();
    served->deployment_id = ProxyFixture::deployment_id(1);
    served->assignment_epoch = 7;
    served->revision = 1;
    served->running = true;
    served->access = agent_api::WorkloadAccess::account;
    served->ingress = {{.path_prefix = "/", .port = workload_.port()}};
    served_ = std::move(served);
    traffic_.emplace(board_, [this] { return served_; }, "127.0.0.1");
    agent::LocalApi::Hooks hooks;
    hooks.traffic = [this](const net::RequestHead& head, const agent::ClassifiedPath& path) {
      return traffic_->open(head, path);
    };
    api_.emplace(config_, "vm-1", board_, std::move(hooks), cp_.clock);
    server_ = net::Server::start(agent::LocalApi::server_config({.host = "127.0.0.1", .port = 0}), *api_, cp_.clock,
                                 cp_.random)
                  .value();
    cp_.settings.limits.max_body_bytes = 2 * kSize;
    cp_.add_service("web");
    cp_.add_backend("web", server_->url());
    cp_.database.execute("UPDATE deployment_revisions SET ingress=:ingress",
                         {{"ingress", R"([{"path_prefix":"/","port":)" + std::to_string(workload_.port()) + "}]"}});
    cp_.start();
  }
  ~ProxyStreamTest() override { cp_.server.reset(); }

  FakeWorkload workload_;
  ProxyFixture cp_;
  agent::AgentConfig config_;
  agent::Board board_{cp_.clock};
  std::shared_ptr<const agent::ServedWorkload> served_;
  std::optional<agent::WorkloadTraffic> traffic_;
  std::optional<agent::LocalApi> api_;
  std::unique_ptr<net::Server> server_;
};

// covers: S03_PRX_005, S02_EEA_PX_005
TEST_F(ProxyStreamTest, AGibibytePassesBothProxiesEachWayInLittleMemory) {
  ASSERT_EQ(cp_.get("/proxy/web/bytes/1000000").body.size(), 1'000'000U) << "warm";
  MemoryWatch memory;
  std::size_t steps = 0;
  // A slow reader: it takes nothing while the other gibibyte passes, and the workload sends what it can.
  RawClient down = cp_.connect();
  down.send("GET /proxy/web/bytes/" + std::to_string(kSize) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const auto head = down.read_response(true);
  ASSERT_TRUE(head);
  ASSERT_EQ(head->header("content-length"), std::to_string(kSize));

  RawClient up = cp_.connect();
  up.send("POST /proxy/web/sink HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
  const std::string block(256UL * 1024, 'x');
  for (std::size_t sent = 0; sent < kSize; sent += block.size()) {
    ASSERT_TRUE(up.send(block));
    if (++steps % 64 == 0) memory.look();
  }
  EXPECT_EQ(up.read_response()->status, 200);
  EXPECT_EQ(workload_.seen().back().body, std::to_string(kSize));
  memory.look();

  const std::string expected(256UL * 1024, 'b');
  std::size_t received = 0;
  while (received < kSize) {
    const auto piece = down.read_some();
    ASSERT_TRUE(piece);
    received += piece->size();
    ASSERT_TRUE(expected.starts_with(std::string_view(*piece).substr(0, expected.size())));
    if (++steps % 64 == 0) memory.look();
  }
  EXPECT_EQ(received, kSize);
  EXPECT_EQ(down.read_to_end(), "");
  EXPECT_LT(memory.growth_kib(), kMostGrowthKib);
}

// covers: S03_SVC_003 (what the proxy sends passes; the same request without its proof does not)
TEST_F(ProxyStreamTest, TheAgentTakesTheProxysWordAndNobodyElses) {
  EXPECT_EQ(cp_.get("/proxy/web/echo", "X-EE-Proxy-Assertion: forged\r\n").status, 200);
  const auto seen = workload_.seen().back();
  EXPECT_EQ(seen.header("X-EE-Service"), "web");
  EXPECT_EQ(seen.header("X-EE-Deployment"), ProxyFixture::deployment_id(1));
  EXPECT_FALSE(seen.has("X-EE-Proxy-Assertion"));
  EXPECT_EQ(seen.header("X-Forwarded-Prefix"), "/proxy/web");
  RawClient direct(server_->port());
  direct.send("GET /echo HTTP/1.1\r\nHost: x\r\nX-EE-Service: web\r\n\r\n");
  const auto refused = direct.read_response();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 403);
  EXPECT_EQ(refused->header("x-ee-agent-error"), "assertion_required");
  EXPECT_EQ(workload_.count("/echo"), 1U);
}

TEST_F(ProxyStreamTest, ATunnelJoinsBothProxies) {
  RawClient client = cp_.connect();
  client.send(
      "GET /proxy/web/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  const auto head = client.read_response(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 101);
  const std::string large(200'000, 'w');
  client.send(large);
  EXPECT_EQ(client.read_some(large.size()), large);
  client.half_close();
  EXPECT_EQ(client.read_to_end(), "");
}

}  // namespace
}  // namespace ee
