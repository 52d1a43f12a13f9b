// A service whose backend is exchanged while requests come in.
#include "cp/http/proxy_test_support.h"

namespace ee::cp {
namespace {

using testing::FakeWorkload;
using testing::ProxyFixture;
using testing::RawClient;

// covers: S03_UPG_003
TEST(ProxySwitch, NoRequestFailsWhileAReplacementTakesOver) {
  auto old_workload = std::make_unique<FakeWorkload>("agent-1");
  FakeWorkload new_workload("agent-2");
  ProxyFixture proxy;
  proxy.settings.rate_scale_percent = 10'000;  // its clock stands still, so no bucket fills again
  proxy.add_service("web");
  const std::string old_deployment = proxy.add_backend("web", old_workload->url());
  proxy.start();

  std::atomic<bool> over = false;
  std::atomic<int> answered = 0;
  std::atomic<int> failed = 0;
  std::vector<std::jthread> clients;
  for (int client = 0; client < 4; ++client)
    clients.emplace_back([&, client] {
      RawClient connection = proxy.connect();
      for (int i = 0; !over; ++i) {
        const bool posts = (client + i) % 2 == 0;  // which is never sent twice
        connection.send(posts ? "POST /proxy/web/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
                              : "GET /proxy/web/echo HTTP/1.1\r\nHost: x\r\n\r\n");
        const auto answer = connection.read_response();
        if (!answer || answer->status != 200) {
          failed.fetch_add(1);
          return;
        }
        answered.fetch_add(1);
      }
    });
  const auto more = [&](int requests) {
    const int until = answered + requests;
    const auto patience = std::chrono::steady_clock::now() + Seconds(30);
    while (answered < until && failed == 0 && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
  };
  more(50);
  proxy.add_backend("web", new_workload.url());  // healthy: both take requests
  proxy.refresh();
  more(100);
  proxy.set(old_deployment, "state='stopping', termination_reason='replaced'");
  more(50);  // this replica has not read its routes again yet
  proxy.refresh();
  more(50);  // what was under way ends
  const std::size_t before = old_workload->seen().size();
  more(50);
  EXPECT_EQ(old_workload->seen().size(), before) << "nothing comes any more";
  old_workload.reset();  // now its agent stops it
  more(100);
  over = true;
  clients.clear();
  EXPECT_EQ(failed, 0);
  EXPECT_GE(answered, 400);
  EXPECT_GT(new_workload.count("/echo"), 150U);
}

TEST(ProxySwitch, ARetryGoesByTheRoutesOfItsOwnTime) {
  auto first = std::make_unique<FakeWorkload>("agent-1");
  FakeWorkload second("agent-2");
  ProxyFixture proxy;
  proxy.add_service("web");
  proxy.add_backend("web", first->url());  // the lower id, so chosen first
  const std::string distrusted = proxy.add_backend("web", second.url());
  proxy.start();
  RawClient client = proxy.connect();
  client.send("GET /proxy/web/hang HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return first->count("/hang") == 1; }));
  proxy.set_agent_of(distrusted, "attestation_state='failed'");
  proxy.refresh();
  first.reset();  // closes before an answer: a GET is tried elsewhere
  const auto answer = client.read_response();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 502);
  EXPECT_EQ(second.connections(), 0U) << "its agent lost trust after the first attempt began";
}

}  // namespace
}  // namespace ee::cp
