#include "agent/workload_traffic.h"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "agent/local_api.h"
#include "common/crypto.h"
#include "common/ed25519.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "tests/support/fake_workload.h"
#include "tests/support/raw_client.h"

namespace ee::agent {
namespace {

using ee::testing::FakeWorkload;
using ee::testing::RawClient;
using ee::testing::RawResponse;

constexpr const char* kAgentId = "0190a000-0000-7000-8000-000000000001";
constexpr const char* kDeployment = "0190a000-0000-7000-8000-0000000000d1";

struct Claims {
  std::string typ = "ee-proxy+jwt", aud = kAgentId, dep = kDeployment;
  std::int64_t epoch = 4, life = 120, age = 0;
};

/// The agent's listener in front of a real workload on loopback.
class WorkloadTrafficTest : public ::testing::Test {
 protected:
  WorkloadTrafficTest() {
    board_.begin_session(Session{.identity = {.agent_id = kAgentId, .registration_id = "r", .credential = {}},
                                 .signers = SignerSet({key_.public_key()})});
    served_.deployment_id = kDeployment;
    served_.assignment_epoch = 4;
    served_.revision = 1;
    served_.running = true;
    served_.access = agent_api::WorkloadAccess::account;
    served_.ingress = {{.path_prefix = "/", .port = workload_.port()},
                       {.path_prefix = "/second", .port = second_.port()}};
    publish();
    traffic_.emplace(board_, [this] { return current(); }, "127.0.0.1");
    LocalApi::Hooks hooks;
    hooks.traffic = [this](const net::RequestHead& head, const ClassifiedPath& path) {
      return traffic_->open(head, path);
    };
    api_.emplace(config_, "vm-1", board_, std::move(hooks), clock_);
    server_ =
        net::Server::start(LocalApi::server_config({.host = "127.0.0.1", .port = 0}), *api_, clock_, random_).value();
  }

  void publish() { set(std::make_shared<const ServedWorkload>(served_)); }
  void set(std::shared_ptr<const ServedWorkload> served) {
    const std::lock_guard lock(mutex_);
    current_ = std::move(served);
  }
  std::shared_ptr<const ServedWorkload> current() {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  std::string assertion(const Claims& claims = {}, const Ed25519PrivateKey* key = nullptr) {
    const Ed25519PrivateKey& signer = key != nullptr ? *key : key_;
    const std::int64_t now = unix_ms(clock_.now()) / 1000 - claims.age;
    const std::string header = boost::json::serialize(
        boost::json::object{{"alg", "EdDSA"}, {"kid", key_id(signer.public_key())}, {"typ", claims.typ}});
    const std::string body = boost::json::serialize(boost::json::object{
        {"aud", claims.aud}, {"dep", claims.dep}, {"epoch", claims.epoch}, {"iat", now}, {"exp", now + claims.life}});
    const std::string input = to_base64url(bytes_of(header)) + "." + to_base64url(bytes_of(body));
    return input + "." + to_base64url(signer.sign(bytes_of(input)));
  }
  std::string with(const std::string& token) { return "X-EE-Proxy-Assertion: " + token + "\r\n"; }
  RawResponse get(const std::string& path, const std::string& fields = {}) {
    RawClient client(server_->port());
    client.send("GET " + path + " HTTP/1.1\r\nHost: app.example.com\r\n" + fields + "\r\n");
    return client.read_response().value_or(RawResponse{});
  }
  std::string refused(const RawResponse& answer) { return answer.header("X-EE-Agent-Error").value_or(""); }

  FakeClock clock_;
  FakeRandom random_;
  AgentConfig config_;
  Board board_{clock_};
  Ed25519PrivateKey key_ = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x11));
  Ed25519PrivateKey other_ = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x22));
  FakeWorkload workload_;
  FakeWorkload second_;
  ServedWorkload served_;
  std::mutex mutex_;
  std::shared_ptr<const ServedWorkload> current_;
  std::optional<WorkloadTraffic> traffic_;
  std::optional<LocalApi> api_;
  std::unique_ptr<net::Server> server_;
};

// covers: S03_SVC_003 (nothing at all; expired and for another agent below)
TEST_F(WorkloadTrafficTest, S02_EEA_PX_001_an_assertion_is_required_unless_public) {
  const auto bare = get("/echo");
  EXPECT_EQ(bare.status, 403);
  EXPECT_EQ(refused(bare), "assertion_required");
  EXPECT_EQ(bare.header("X-EE-Agent"), kAgentId);
  const auto passed = get("/echo", with(assertion()));
  EXPECT_EQ(passed.status, 200);
  EXPECT_EQ(passed.header("X-EE-Agent"), kAgentId);
  EXPECT_EQ(refused(passed), "");
  served_.access = agent_api::WorkloadAccess::public_;
  publish();
  EXPECT_EQ(get("/echo").status, 200);
}

// covers: S03_SVC_003
TEST_F(WorkloadTrafficTest, S02_EEA_PX_002_an_assertion_for_anything_else_is_none) {
  const struct {
    const char* what;
    Claims claims;
  } rows[] = {{"epoch", {.epoch = 3}},
              {"later epoch", {.epoch = 5}},
              {"deployment", {.dep = "0190a000-0000-7000-8000-0000000000e1"}},
              {"agent", {.aud = "0190a000-0000-7000-8000-000000000002"}},
              {"type", {.typ = "ee-console+jwt"}},
              {"too long", {.life = 121}},
              {"expired", {.age = 151}},
              {"of the future", {.age = -31}}};
  for (const auto& row : rows)
    EXPECT_EQ(refused(get("/echo", with(assertion(row.claims)))), "assertion_required") << row.what;
  EXPECT_EQ(refused(get("/echo", with(assertion({}, &other_)))), "assertion_required");
  std::string forged = assertion();
  forged[forged.size() - 5] = forged[forged.size() - 5] == 'A' ? 'B' : 'A';
  EXPECT_EQ(refused(get("/echo", with(forged))), "assertion_required");
  EXPECT_TRUE(workload_.seen().empty());

  const std::string good = assertion();
  EXPECT_EQ(get("/echo", with(good)).status, 200);
  clock_.advance(std::chrono::seconds(100));
  EXPECT_EQ(get("/echo", with(good)).status, 200) << "from the cache";
  clock_.advance(std::chrono::seconds(51));
  EXPECT_EQ(refused(get("/echo", with(good))), "assertion_required") << "the cache does not make it live longer";
  const std::string next = assertion();
  EXPECT_EQ(get("/echo", with(next)).status, 200);
  served_.assignment_epoch = 5;
  publish();
  EXPECT_EQ(refused(get("/echo", with(next))), "assertion_required") << "cached for another epoch";
}

TEST_F(WorkloadTrafficTest, S02_EEA_PX_003_fields_of_the_platform_do_not_reach_the_workload) {
  const std::string fields =
      "X-EE-Service: hello\r\nX_EE_Service: forged\r\nCF_Access-Jwt: forged\r\nX-EE-Deployment: "
      "d\r\nX-EE-Authorization: Bearer s\r\nX-EE-Anything: x\r\n"
      "Cf-Access-Jwt-Assertion: t\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: gzip\r\n"
      "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.example.com\r\nX-Own: "
      "kept\r\n";
  ASSERT_EQ(get("/echo?a=%2F&b", with(assertion()) + fields).status, 200);
  auto seen = workload_.seen().back();
  EXPECT_EQ(seen.target, "/echo?a=%2F&b");
  EXPECT_EQ(seen.header("X-EE-Service"), "hello");
  EXPECT_EQ(seen.head.find("forged"), std::string::npos) << seen.head;
  EXPECT_EQ(seen.header("X-Own"), "kept");
  EXPECT_EQ(seen.header("X-Forwarded-For"), "198.51.100.1") << seen.head;
  EXPECT_EQ(seen.header("Host"), "app.example.com");
  for (const char* gone :
       {"X-EE-Proxy-Assertion", "X-EE-Authorization", "X-EE-Anything", "Cf-Access-Jwt-Assertion", "X-Hop", "TE"})
    EXPECT_FALSE(seen.has(gone)) << gone;
  served_.access = agent_api::WorkloadAccess::public_;
  publish();
  ASSERT_EQ(get("/echo", fields).status, 200);
  EXPECT_FALSE(workload_.seen().back().has("X-EE-Service")) << "nobody vouches for it";
  workload_.answer("/lies",
                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-EE-Agent: another\r\nX-EE-Agent-Error: x\r\n\r\n");
  const auto lies = get("/lies");
  EXPECT_EQ(lies.header_count("X-EE-Agent"), 1U);
  EXPECT_EQ(lies.header("X-EE-Agent"), kAgentId);
  EXPECT_FALSE(lies.header("X-EE-Agent-Error"));
}

TEST_F(WorkloadTrafficTest, S02_EEA_PX_004_websockets_are_tunnelled) {
  RawClient client(server_->port());
  client.send(
      "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
      with(assertion()) + "\r\n");
  const auto head = client.read_response();
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 101);
  client.send("any bytes");
  EXPECT_EQ(client.read_some(9), "any bytes");
  served_.running = false;
  publish();
  const std::string close_frame = "\x88\x02\x03\xe9";  // 1001, going away
  EXPECT_EQ(client.read_to_end(), close_frame) << "the workload was stopped";
}

TEST_F(WorkloadTrafficTest, S02_EEA_PX_005_bodies_stream_in_bounded_memory) {
  constexpr std::size_t kSize = 64UL * 1024 * 1024;
  RawClient client(server_->port());
  client.send("GET /bytes/" + std::to_string(kSize) + " HTTP/1.1\r\nHost: h\r\n" + with(assertion()) + "\r\n");
  std::size_t received = 0;
  while (received < kSize) {
    const auto piece = client.read_some();
    ASSERT_TRUE(piece);
    received += piece->size();
    ASSERT_EQ(server_->stats().buffered_body_bytes, 0U);
  }
  RawClient upload(server_->port());
  upload.send("POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(kSize) + "\r\n" +
              with(assertion()) + "\r\n");
  const std::string piece(1024UL * 1024, 'x');
  for (std::size_t sent = 0; sent < kSize; sent += piece.size()) ASSERT_TRUE(upload.send(piece));
  const auto answer = upload.read_response();
  ASSERT_TRUE(answer);
  EXPECT_NE(answer->body.find(std::to_string(kSize)), std::string::npos);
}

TEST_F(WorkloadTrafficTest, S02_EEA_PX_006_reserved_paths_and_workloads_that_are_down) {
  const std::string token = with(assertion());
  for (const char* path : {"/%252eeasyenclave/v1/status", "/a/%252e%252e/.easyenclave/v1/x"})
    EXPECT_EQ(refused(get(path, token)), "bad_path") << path;
  for (const char* path : {"/%2eeasyenclave/v1/x", "//.easyenclave/x", "/a/../.easyenclave/x"})
    EXPECT_EQ(refused(get(path, token)), "not_found") << path;
  EXPECT_TRUE(workload_.seen().empty());
  EXPECT_EQ(workload_.connections(), 0U);

  served_.ingress.front().port = FakeWorkload().port();  // nobody listens there any more
  publish();
  const auto unreachable = get("/echo", token);
  EXPECT_EQ(unreachable.status, 502);
  EXPECT_EQ(refused(unreachable), "workload_unreachable");
  served_.running = false;
  publish();
  EXPECT_EQ(refused(get("/echo", token)), "workload_not_running");
  set(nullptr);
  EXPECT_EQ(get("/echo", token).status, 503);
}

TEST_F(WorkloadTrafficTest, the_ingress_is_chosen_by_the_proxy_or_by_the_longest_prefix) {
  const std::string token = with(assertion());
  EXPECT_EQ(get("/second/echo", token).status, 200);
  EXPECT_EQ(second_.seen().size(), 1U);
  EXPECT_EQ(get("/echo", token).status, 200);
  EXPECT_EQ(get("/echo", token + "X-EE-Ingress-Port: " + std::to_string(second_.port()) + "\r\n").status, 200);
  EXPECT_EQ(second_.seen().size(), 2U);
  EXPECT_EQ(refused(get("/echo", token + "X-EE-Ingress-Port: 22\r\n")), "invalid_request");
  served_.access = agent_api::WorkloadAccess::public_;
  publish();
  EXPECT_EQ(get("/echo", "X-EE-Ingress-Port: 22\r\n").status, 200) << "without an assertion it says nothing";
  served_.ingress.clear();
  publish();
  EXPECT_EQ(refused(get("/echo", token)), "not_found");
}

}  // namespace
}  // namespace ee::agent
