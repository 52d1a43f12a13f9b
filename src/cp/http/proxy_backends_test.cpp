#include "cp/http/proxy.h"

#include "cp/http/proxy_test_support.h"

namespace ee::cp {
namespace {

using testing::FakeWorkload;
using testing::RawClient;

// covers: S03_PRX_011
TEST_F(ProxyTest, SendsTrafficOnlyWhereItMayGo) {
  start();
  FakeWorkload sick("agent-2"), deploying("agent-3"), foreign_assignment("agent-4"), quarantined("agent-5");
  proxy.add_backend("web", sick.url(), "running", "unhealthy");
  proxy.add_backend("web", deploying.url(), "deploying");
  const std::string moved = proxy.add_backend("web", foreign_assignment.url());
  proxy.set(moved, "assignment_epoch=6");
  proxy.set_agent_of(proxy.add_backend("web", quarantined.url()),
                     "status='quarantined', quarantine_reason='attestation_failed'");
  proxy.refresh();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(proxy.get("/proxy/web/echo").status, 200);
  EXPECT_EQ(workload.count("/echo"), 20U);
  for (const FakeWorkload* other : {&sick, &deploying, &foreign_assignment, &quarantined})
    EXPECT_EQ(other->connections(), 0U);
}

TEST_F(ProxyTest, LeavesAFailingBackendAloneForAWhile) {
  start();
  FakeWorkload other("agent-2");
  FakeWorkload& bad = workload;  // the lower id, so chosen first while nothing is in flight
  bad.answer("/echo",
             "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nX-EE-Agent-Error: workload_unreachable\r\n\r\n");
  proxy.add_backend("web", other.url());
  proxy.refresh();
  const auto call = [&] { return proxy.get("/proxy/web/echo").status; };
  for (int i = 0; i < 40; ++i) {
    call();
    proxy.clock.advance(Milliseconds(20));
  }
  EXPECT_EQ(bad.count("/echo"), 5U) << "ejected after five";
  proxy.clock.advance(Seconds(10));
  for (int i = 0; i < 40; ++i) {
    call();
    proxy.clock.advance(Milliseconds(20));
  }
  EXPECT_GT(bad.count("/echo"), 5U) << "tried again after the ejection";
}

// covers: S03_PRX_012
TEST_F(ProxyTest, SaysWhyThereIsNobodyToAnswer) {
  start();
  proxy.add_service("empty");
  proxy.refresh();
  const auto none = proxy.get("/proxy/empty/");
  EXPECT_EQ(none.status, 503);
  EXPECT_EQ(none.header("x-ee-proxy-error"), "service_unavailable");
  EXPECT_EQ(none.header("retry-after"), "5");
  EXPECT_EQ(proxy.error_of("/proxy/unknown/"), "service_not_found");
  proxy.set_agent_of(deployment, "attestation_state='failed'");
  proxy.refresh();
  EXPECT_EQ(proxy.error_of("/proxy/web/"), "service_attestation_failed");
  proxy.set_agent_of(deployment, "attestation_state='verified'");
  proxy.refresh();
  EXPECT_EQ(proxy.error_of("/proxy/web/"), "none");
  proxy.database.execute("ALTER TABLE route_epoch RENAME TO away");
  EXPECT_FALSE(proxy.routes.refresh());
  EXPECT_EQ(proxy.error_of("/proxy/web/"), "none") << "known a moment ago";
  proxy.clock.advance(Seconds(16));
  EXPECT_FALSE(proxy.routes.refresh());
  EXPECT_EQ(proxy.error_of("/proxy/web/"), "routing_unavailable");
  proxy.database.execute("ALTER TABLE away RENAME TO route_epoch");
  EXPECT_TRUE(proxy.routes.refresh());
  EXPECT_EQ(proxy.error_of("/proxy/web/"), "none");
}

// covers: S03_PRX_013
TEST_F(ProxyTest, ConnectsToNoForbiddenAddress) {
  start();
  for (const char* path : {"/.easyenclave/v1/health", "/%2eeasyenclave/v1", "/%2Eeasyenclave/", "/%252eeasyenclave/x",
                           "/a/../.easyenclave/x", "/a/%2e%2e/.easyenclave/", "/./.easyenclave/", "//.easyenclave/x",
                           "/.%65asyenclave/", "/%5c.easyenclave/", "/.EasyEnclave/v1", "/.easyenclave",
                           "/.easyenclave%2fv1", "/.easyenclave;x/v1", "/a\\b/../.easyenclave/v1",
                           "/a%5cb/../.easyenclave/v1", "/a%2fb/%2e%2e/.easyenclave/", "/a/..;x/.easyenclave/"})
    EXPECT_EQ(proxy.error_of(std::string("/proxy/web") + path), "not_found") << path;
  EXPECT_EQ(workload.connections(), 0U);
  const auto far = proxy.get("/proxy/web/redirect?to=http://169.254.169.254/");
  EXPECT_EQ(far.status, 302) << "never followed";
  proxy.add_service("tunnel");
  const std::string tunneled = proxy.add_backend("tunnel", "https://a1.tunnel.example");
  proxy.refresh();
  for (const char* address :
       {"127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.1.1", "0.0.0.0", "224.0.0.1", "::1",
        "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::", "168.63.129.16", "64:ff9b::a00:1"}) {
    proxy.names["a1.tunnel.example"] = {*net::parse_ip("8.8.8.8"), *net::parse_ip(address)};
    EXPECT_EQ(proxy.error_of("/proxy/tunnel/"), "upstream_address_forbidden") << address;
    proxy.clock.advance(Seconds(1));
  }
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(proxy.mutex);
    return proxy.refused_targets.size() == 14U;
  })) << "each is told to the audit log";
  proxy.set_agent_of(tunneled, "hostname='a1.evil.example'");
  proxy.refresh();
  EXPECT_EQ(proxy.error_of("/proxy/tunnel/"), "service_unavailable") << "not below the domain";
  proxy.direct_cidrs = {"10.0.0.0/8"};
  proxy.refresh();
  EXPECT_EQ(proxy.error_of("/proxy/web/"), "service_unavailable") << "no longer an allowed range";
}

// covers: S03_PRX_015
TEST_F(ProxyTest, HoldsItsLimits) {
  proxy.config.trusted_proxies = {*net::parse_network("127.0.0.0/8")};
  start("public", R"({"max_body_bytes":2000})");
  EXPECT_EQ(proxy.send("POST /proxy/web/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\n\r\n").status, 413);
  EXPECT_EQ(proxy.get("/proxy/web/echo", "X: " + std::string(33'000, 'x') + "\r\n").status, 431);
  EXPECT_EQ(proxy.get("/proxy/web/" + std::string(9'000, 'x')).status, 414);
  proxy.clock.advance(Seconds(60));
  int passed = 0;
  int limited = 0;
  RawClient client = proxy.connect();
  const auto burst = [&](int count) {
    for (int i = 0; i < count; ++i) {  // many senders
      client.send("GET /proxy/web/status/204 HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 8.8." + std::to_string(i % 200) +
                  ".1\r\n\r\n");
      const auto answer = client.read_response();
      ASSERT_TRUE(answer);
      passed += answer->status == 204 ? 1 : 0;
      limited += answer->status == 429 ? 1 : 0;
      EXPECT_EQ(answer->header("retry-after").has_value(), answer->status == 429);
    }
  };
  burst(450);
  EXPECT_EQ(passed, 400);
  EXPECT_EQ(limited, 50);
  proxy.clock.advance(Milliseconds(250));
  burst(60);
  EXPECT_EQ(passed, 450) << "50 tokens are back after a quarter of a second";
}

// A name that leads nowhere is not looked up for each request, and not forgotten for long.
TEST_F(ProxyTest, AsksTheResolverOnceASecondForANameThatFails) {
  proxy.add_service("tunnel");
  start();
  proxy.add_backend("tunnel", "https://a1.tunnel.example");
  proxy.refresh();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(proxy.error_of("/proxy/tunnel/"), "upstream_connect_failed");
  EXPECT_EQ(proxy.looked_up.size(), 1U);
  proxy.names["a1.tunnel.example"] = {*net::parse_ip("10.0.0.1")};
  proxy.clock.advance(Seconds(1));
  EXPECT_EQ(proxy.error_of("/proxy/tunnel/"), "upstream_address_forbidden");
  EXPECT_EQ(proxy.looked_up.size(), 2U);
}

TEST_F(ProxyTest, ChoosesTheIngressByWhatThePathMeans) {
  start();
  const auto port = [&](const std::string& path) {
    proxy.get("/proxy/web" + path);
    EXPECT_EQ(last().target, path) << "sent as it came";
    return last().header("X-EE-Ingress-Port");
  };
  for (const char* path : {"/api", "/api/x", "//api/x", "/%61pi/x", "/./api/", "/x/../api/y", "/api?a=/x/.."})
    EXPECT_EQ(port(path), "9000") << path;
  for (const char* path : {"/", "/apix", "/api/../x", "/api/%2e%2e/x", "/x?y=/api"})
    EXPECT_EQ(port(path), "8080") << path;
}

TEST_F(ProxyTest, BoundsRequestsInFlight) {
  proxy.settings.max_in_flight_service = 2;
  start();
  RawClient one = proxy.connect();
  RawClient two = proxy.connect();
  one.send("GET /proxy/web/hang HTTP/1.1\r\nHost: x\r\n\r\n");
  two.send("GET /proxy/web/hang HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return workload.count("/hang") == 2; }));
  EXPECT_EQ(proxy.error_of("/proxy/web/echo"), "proxy_overloaded");
  one.close();
  EXPECT_TRUE(eventually([&] { return proxy.error_of("/proxy/web/echo") == "none"; }));
}

// covers: S03_PRX_019
TEST_F(ProxyTest, DrainsWhatLeftRouting) {
  start();
  RawClient tunnel = proxy.connect();
  tunnel.send(
      "GET /proxy/web/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_EQ(tunnel.read_response(true)->status, 101);
  proxy.set(deployment, "state='stopping'");
  proxy.refresh();
  EXPECT_EQ(proxy.error_of("/proxy/web/"), "service_unavailable");
  proxy.server->sweep();
  proxy.clock.advance(Seconds(29));
  proxy.server->sweep();
  tunnel.send("x");
  EXPECT_EQ(tunnel.read_some(1), "x") << "goes on while it drains";
  proxy.clock.advance(Seconds(2));
  EXPECT_EQ(tunnel.read_to_end(), std::string("\x88\x02\x03\xe9", 4));
}

TEST_F(ProxyTest, CutsTunnelsAtOnceWhenTheAgentLosesTrust) {
  start();
  RawClient tunnel = proxy.connect();
  tunnel.send(
      "GET /proxy/web/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_EQ(tunnel.read_response(true)->status, 101);
  proxy.set_agent_of(deployment, "attestation_state='failed'");
  proxy.refresh();
  EXPECT_EQ(tunnel.read_to_end(), std::string("\x88\x02\x03\xe9", 4));
}

TEST_F(ProxyTest, EndsWhatWaitsForAnAnswerWhenTheBackendLeavesRouting) {
  start();
  const auto upload = [&](RawClient& client, std::size_t before) {
    client.send("POST /proxy/web/hang HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
    ASSERT_TRUE(eventually([&] { return workload.count("/hang") == before + 1; }));
  };
  RawClient distrusted = proxy.connect();
  upload(distrusted, 0);
  proxy.set_agent_of(deployment, "attestation_state='failed'");
  proxy.refresh();
  const auto at_once = distrusted.read_response();
  ASSERT_TRUE(at_once);
  EXPECT_EQ(at_once->status, 503);
  EXPECT_EQ(at_once->header("x-ee-proxy-error"), "service_unavailable");

  proxy.set_agent_of(deployment, "attestation_state='verified'");
  proxy.refresh();
  RawClient drained = proxy.connect();
  upload(drained, 1);
  proxy.set(deployment, "state='stopping'");
  proxy.refresh();
  proxy.server->sweep();
  proxy.clock.advance(Seconds(29));
  proxy.server->sweep();
  drained.send("d");  // goes on while it drains
  proxy.clock.advance(Seconds(2));
  const auto later = drained.read_response();
  ASSERT_TRUE(later);
  EXPECT_EQ(later->status, 503);
}

TEST_F(ProxyTest, ASnapshotFollowsTheCounter) {
  start();
  proxy.add_service("late");
  EXPECT_TRUE(proxy.routes.refresh());
  EXPECT_EQ(proxy.error_of("/proxy/late/"), "service_not_found") << "nobody raised the counter";
  proxy.database.execute("UPDATE route_epoch SET epoch=epoch+1 WHERE id=1");
  EXPECT_TRUE(proxy.routes.refresh());
  EXPECT_EQ(proxy.error_of("/proxy/late/"), "service_unavailable");
}

}  // namespace
}  // namespace ee::cp
