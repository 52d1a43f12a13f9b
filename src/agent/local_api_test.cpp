#include "agent/local_api.h"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <thread>

#include "common/crypto.h"
#include "common/ed25519.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/jose.h"
#include "common/json.h"
#include "net/curl_http_client.h"
#include "tests/support/raw_client.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
constexpr const char* kAgentId = "0190a000-0000-7000-8000-000000000001";
constexpr const char* kStatus = "/.easyenclave/v1/status";
constexpr const char* kSync = "/.easyenclave/v1/sync";

/// Everything that a control token says, right at first.
struct Token {
  std::string alg = "EdDSA", typ = "ee-control+jwt", kid = {}, iss = "easyenclave-cp", aud = kAgentId, htm = "GET",
              htp = kStatus, bsh = to_base64url(sha256({})), jti = "jti-1";
  std::int64_t iat = 0, exp = 0;
  bool without_typ = false;
};

class LocalApiTest : public ::testing::Test {
 protected:
  LocalApiTest() {
    config_.node_size = "tiny";
    config_.datacenter = "gcp:us-central1-a";
    Session session{.identity = {.agent_id = kAgentId, .registration_id = "r", .credential = Secret("c")},
                    .signers = SignerSet({key_.public_key()})};
    session.hostname = "vm-1.example.com";
    board_.begin_session(session);
    board_.set_phase(AgentPhase::active);
  }

  std::string sign(const Token& token, const Ed25519PrivateKey& key) const {
    boost::json::object claims{{"iss", token.iss}, {"aud", token.aud}, {"htm", token.htm}, {"htp", token.htp},
                               {"bsh", token.bsh}, {"jti", token.jti}, {"iat", token.iat}, {"exp", token.exp}};
    boost::json::object header{{"alg", token.alg}, {"kid", token.kid.empty() ? key_id(key.public_key()) : token.kid}};
    if (!token.without_typ) header["typ"] = token.typ;
    const std::string head = to_base64url(bytes_of(boost::json::serialize(header)));
    const std::string body = to_base64url(bytes_of(boost::json::serialize(claims)));
    const std::string input = head + "." + body;
    return input + "." + to_base64url(key.sign(bytes_of(input)));
  }
  Token good() const {
    Token token;
    token.iat = unix_ms(clock_.now()) / 1000;
    token.exp = token.iat + 60;
    return token;
  }
  net::Response call(std::string method, std::string path, std::string authorization = {}, std::string body = {},
                     std::string query = {}) {
    const auto admission = api_.admit({.method = method,
                                       .path = path,
                                       .query = query,
                                       .fields = {},
                                       .content_length = {},
                                       .peer_address = "127.0.0.1",
                                       .client_address = "127.0.0.1",
                                       .request_id = "req-1"});
    if (admission.answer) return *admission.answer;
    net::Request request{.method = std::move(method),
                         .path = std::move(path),
                         .query = std::move(query),
                         .body = std::move(body),
                         .request_id = "req-1"};
    request.route = admission.route_index;
    if (!authorization.empty()) request.headers.push_back({"Authorization", std::move(authorization)});
    return api_.handle(std::move(request));
  }
  net::Response call_with(const Token& token, std::string method = "GET", std::string path = kStatus) {
    return call(std::move(method), std::move(path), "EE-Control " + sign(token, key_));
  }
  static std::string header(const net::Response& response, std::string_view name) {
    for (const HttpHeader& h : response.headers)
      if (h.name == name) return h.value;
    return {};
  }

  Ed25519PrivateKey key_ = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x11));
  Ed25519PrivateKey other_ = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x22));
  FakeClock clock_;
  AgentConfig config_;
  Board board_{clock_};
  int syncs_ = 0, reattests_ = 0;
  bool may_reattest_ = true;
  LocalApi api_{config_, "vm-1", board_,
                LocalApi::Hooks{.sync = [this] { ++syncs_; },
                                .reattest =
                                    [this] {
                                      ++reattests_;
                                      return may_reattest_;
                                    }},
                clock_};
};

TEST_F(LocalApiTest, HealthSaysLittleToEverybody) {
  clock_.advance(65s);
  const auto answer = call("GET", "/.easyenclave/v1/health");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"status":"ok","agent_state":"active","uptime_seconds":65})");
  EXPECT_EQ(header(answer, "X-EE-Agent"), kAgentId);
  board_.fail_check("clock_jump", "clock_jump");
  EXPECT_NE(call("GET", "/.easyenclave/v1/health").body.find("degraded"), std::string::npos);
}

TEST_F(LocalApiTest, HealthIsLimitedToTwentyASecond) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(call("GET", "/.easyenclave/v1/health").status, 200);
  const auto limited = call("GET", "/.easyenclave/v1/health");
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(header(limited, "X-EE-Agent-Error"), "rate_limited");
  EXPECT_FALSE(header(limited, "Retry-After").empty());
  clock_.advance(1s);
  EXPECT_EQ(call("GET", "/.easyenclave/v1/health").status, 200);
}

TEST_F(LocalApiTest, StatusTellsTheControlPlane) {
  config_.vm_id = "vm-77";
  board_.note_signed_time(clock_.now() + 3s);
  board_.note_attested(clock_.now() - 60s);
  Token token = good();
  const auto answer = call_with(token);
  ASSERT_EQ(answer.status, 200) << answer.body;
  const auto body = json::parse(answer.body);
  ASSERT_TRUE(body);
  const auto& object = body->get_object();
  EXPECT_EQ(object.at("agent_id").as_string(), kAgentId);
  EXPECT_EQ(object.at("vm_id").as_string(), "vm-77");
  EXPECT_EQ(object.at("agent_state").as_string(), "active");
  EXPECT_EQ(object.at("tunnel").as_object().at("hostname").as_string(), "vm-1.example.com");
  EXPECT_EQ(object.at("clock_offset_ms").as_int64(), 3000);
  EXPECT_EQ(object.at("evidence_age_seconds").as_int64(), 63);
  EXPECT_TRUE(object.at("workload").is_null());
  EXPECT_EQ(answer.body.find("\"c\""), std::string::npos);  // never the credential
}

TEST_F(LocalApiTest, SyncWakesTheHeartbeatOnceASecond) {
  Token token = good();
  token.htm = "POST";
  token.htp = kSync;
  EXPECT_EQ(call_with(token, "POST", kSync).status, 202);
  token.jti = "jti-2";
  EXPECT_EQ(call_with(token, "POST", kSync).status, 429);
  clock_.advance(1s);
  token.jti = "jti-3";
  EXPECT_EQ(call_with(token, "POST", kSync).status, 202);
  EXPECT_EQ(syncs_, 2);
}

TEST_F(LocalApiTest, ReattestAsksForEvidence) {
  Token token = good();
  token.htm = "POST";
  token.htp = "/.easyenclave/v1/reattest";
  EXPECT_EQ(call_with(token, "POST", token.htp).status, 202);
  may_reattest_ = false;
  token.jti = "jti-2";
  EXPECT_EQ(call_with(token, "POST", token.htp).status, 429);
  EXPECT_EQ(reattests_, 2);
}

// covers: S02_EEA_API_001
TEST_F(LocalApiTest, S02_EEA_API_001_refuses_a_control_token_with_any_one_thing_wrong) {
  struct Row {
    const char* what;
    void (*break_it)(Token&);
  };
  const std::vector<Row> rows = {
      {"alg none", [](Token& t) { t.alg = "none"; }},
      {"alg HS256", [](Token& t) { t.alg = "HS256"; }},
      {"alg ES256", [](Token& t) { t.alg = "ES256"; }},
      {"typ missing", [](Token& t) { t.without_typ = true; }},
      {"typ of a console token", [](Token& t) { t.typ = "ee-console+jwt"; }},
      {"unknown kid", [](Token& t) { t.kid = "0000000000000000"; }},
      {"issuer", [](Token& t) { t.iss = "someone"; }},
      {"audience", [](Token& t) { t.aud = "0190a000-0000-7000-8000-000000000002"; }},
      {"too long a life", [](Token& t) { t.exp = t.iat + 61; }},
      {"ends before it begins", [](Token& t) { t.exp = t.iat - 1; }},
      {"over", [](Token& t) { t.iat -= 91, t.exp -= 91; }},
      {"not yet", [](Token& t) { t.iat += 31, t.exp += 31; }},
      {"another method", [](Token& t) { t.htm = "POST"; }},
      {"another path", [](Token& t) { t.htp = kSync; }},
      {"a query", [](Token& t) { t.htp = std::string(kStatus) + "?x=1"; }},
      {"another body", [](Token& t) { t.bsh = to_base64url(sha256(bytes_of("x"))); }},
      {"empty jti", [](Token& t) { t.jti = ""; }},
      {"long jti", [](Token& t) { t.jti = std::string(129, 'x'); }},
  };
  for (const Row& row : rows) {
    Token token = good();
    row.break_it(token);
    const auto refused = call_with(token);
    EXPECT_EQ(refused.status, 401) << row.what;
    EXPECT_EQ(header(refused, "X-EE-Agent-Error"), "invalid_token") << row.what;
    clock_.advance(61s);  // no lock-out between rows
  }
  for (const auto& authorization : {std::string(), "Bearer " + sign(good(), key_), std::string("EE-Control "),
                                    std::string("EE-Control x.y.z"), "EE-Control " + sign(good(), other_)}) {
    EXPECT_EQ(call("GET", kStatus, authorization).status, 401) << authorization;
    clock_.advance(61s);
  }
  EXPECT_EQ(call_with(good()).status, 200);
}

TEST_F(LocalApiTest, TimesWithinTheSkewCount) {
  Token token = good();
  token.iat -= 90;
  token.exp -= 90;
  EXPECT_EQ(call_with(token).status, 200);
  token = good();
  token.iat += 30;
  token.exp += 30;
  token.jti = "jti-2";
  EXPECT_EQ(call_with(token).status, 200);
}

TEST_F(LocalApiTest, JudgesTimesByTheControlPlanesClock) {
  board_.note_signed_time(clock_.now() + 2h);
  EXPECT_EQ(call_with(good()).status, 401);
  Token token = good();
  token.iat += 7200;
  token.exp += 7200;
  EXPECT_EQ(call_with(token).status, 200);
}

// covers: S02_EEA_API_002
TEST_F(LocalApiTest, S02_EEA_API_002_a_token_counts_once) {
  EXPECT_EQ(call_with(good()).status, 200);
  EXPECT_EQ(call_with(good()).status, 401);
  clock_.advance(30s);
  Token again = good();
  again.iat -= 30;  // the very same token
  again.exp -= 30;
  EXPECT_EQ(call_with(again).status, 401);
}

// covers: S02_EEA_API_003
TEST_F(LocalApiTest, S02_EEA_API_003_a_full_replay_cache_refuses) {
  Token token = good();
  for (std::size_t i = 0; i < ControlTokens::kReplayCacheSize; ++i) {
    token.jti = "j" + std::to_string(i);
    ASSERT_EQ(call_with(token).status, 200) << i;
  }
  token.jti = "one more";
  const auto refused = call_with(token);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(header(refused, "X-EE-Agent-Error"), "replay_cache_full");
  clock_.advance(91s);  // those are over
  token = good();
  token.jti = "later";
  EXPECT_EQ(call_with(token).status, 200);
}

// covers: S02_EEA_API_004
TEST_F(LocalApiTest, S02_EEA_API_004_a_changed_body_or_query_is_refused) {
  Token token = good();
  token.htm = "POST";
  token.htp = kSync;
  token.bsh = to_base64url(sha256(bytes_of("{}")));
  const std::string authorization = "EE-Control " + sign(token, key_);
  EXPECT_EQ(call("POST", kSync, authorization, "{ }").status, 401);
  EXPECT_EQ(call("POST", kSync, authorization, "{}", "a=b").status, 401);
  EXPECT_EQ(call("POST", kSync, authorization, "{}").status, 202);
}

// covers: S02_EEA_API_007
TEST_F(LocalApiTest, S02_EEA_API_007_twenty_failures_lock_out_everything_but_valid_tokens) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(call("GET", kStatus).status, 401) << i;
  const auto locked = call("GET", kStatus);
  EXPECT_EQ(locked.status, 429);
  EXPECT_EQ(header(locked, "Retry-After"), "60");
  EXPECT_EQ(call_with(good()).status, 200);
  clock_.advance(60s);
  EXPECT_EQ(call("GET", kStatus).status, 401);
}

TEST_F(LocalApiTest, SlowFailuresDoNotLockOut) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(call("GET", kStatus).status, 401);
    clock_.advance(4s);
  }
}

TEST_F(LocalApiTest, WithoutRegistrationNoTokenIsValid) {
  const Token token = good();
  board_.end_session();
  const auto refused = call_with(token);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(header(refused, "X-EE-Agent"), "");
}

TEST_F(LocalApiTest, EverythingElseIsTheWorkloads) {
  for (const char* path :
       {"/", "/index.html", "/api/v1/agents", "/.easyenclavex", "/.well-known/x", "/x/.easyenclave/v1/status"}) {
    const auto answer = call("GET", path);
    EXPECT_EQ(answer.status, 503) << path;
    EXPECT_EQ(header(answer, "X-EE-Agent-Error"), "workload_not_running") << path;
    EXPECT_EQ(header(answer, "X-EE-Agent"), kAgentId) << path;
  }
}

TEST_F(LocalApiTest, ReservedPathsNeverReachTheWorkload) {
  for (const char* path :
       {"/.easyenclave", "/.easyenclave/", "/.easyenclave/v2/x", "/.easyenclave/v1/deployments", "//.easyenclave/v1/x",
        "/%2eeasyenclave/v1/x", "/a/../.easyenclave/x", "/./.easyenclave/x"}) {
    EXPECT_EQ(header(call("GET", path), "X-EE-Agent-Error"), "not_found") << path;
  }
  for (const char* path : {"/%252eeasyenclave/v1/status", "/a/%252e%252e/.easyenclave/x", "/%2", "/%zz", "/a%00b", "*"})
    EXPECT_EQ(header(call("GET", path), "X-EE-Agent-Error"), "bad_path") << path;
  EXPECT_EQ(call("POST", kStatus).status, 405);
  EXPECT_EQ(header(call("POST", kStatus), "Allow"), "GET");
}

TEST_F(LocalApiTest, NormalisesAWaySafelyWhateverTheShape) {
  EXPECT_EQ(classify_path("/../../.easyenclave/v1/status").normal, "/.easyenclave/v1/status");
  EXPECT_EQ(classify_path("/.easyenclave/v1/./status").normal, "/.easyenclave/v1/status");
  EXPECT_EQ(classify_path("/").normal, "/");
  EXPECT_EQ(classify_path("/a/b/").normal, "/a/b/");
  EXPECT_EQ(classify_path("/a/..").normal, "/");
}

// Through real sockets: limits, and that the server's own refusals do not break the protocol.
// covers: S02_EEA_API_005
TEST_F(LocalApiTest, S02_EEA_API_005_serves_over_a_socket_within_its_limits) {
  FakeRandom random;
  auto server = net::Server::start(LocalApi::server_config({.host = "127.0.0.1", .port = 0}), api_, clock_, random);
  ASSERT_TRUE(server) << server.error();
  net::CurlHttpClient http;
  const auto health = http.send({.url = (*server)->url() + "/.easyenclave/v1/health"});
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status, 200);
  EXPECT_EQ(health->header("X-EE-Agent"), kAgentId);

  Token token = good();
  const auto status =
      http.send({.url = (*server)->url() + kStatus, .headers = {{"Authorization", "EE-Control " + sign(token, key_)}}});
  ASSERT_TRUE(status);
  EXPECT_EQ(status->status, 200);

  const auto large =
      http.send({.method = "POST", .url = (*server)->url() + kSync, .body = std::string(512UL * 1024 + 1, 'x')});
  ASSERT_TRUE(large);
  EXPECT_EQ(large->status, 413);
  const auto header = http.send({.url = (*server)->url() + kStatus, .headers = {{"X-Long", std::string(40000, 'x')}}});
  ASSERT_TRUE(header);
  EXPECT_EQ(header->status, 431);
}

// covers: S02_EEA_API_006
TEST_F(LocalApiTest, S02_EEA_API_006_a_slow_client_is_cut_off) {
  FakeRandom random;
  auto server = net::Server::start(LocalApi::server_config({.host = "127.0.0.1", .port = 0}), api_, clock_, random);
  ASSERT_TRUE(server);
  ee::testing::RawClient slow((*server)->port());
  slow.send("GET /.easyenclave/v1/health HTTP/1.1\r\nHost: a\r\n");
  while ((*server)->stats().connections == 0) std::this_thread::yield();
  clock_.advance(9s);
  (*server)->sweep();
  EXPECT_EQ((*server)->stats().connections, 1U);
  // Its ten seconds begin with its first byte, which the server may read some moments after the connection is counted.
  for (int second = 0; second < 15 && (*server)->stats().connections != 0; ++second) {
    clock_.advance(1s);
    (*server)->sweep();
  }
  const std::string rest = slow.read_to_end();
  EXPECT_TRUE(rest.empty() || rest.find("408") != std::string::npos) << rest;
  while ((*server)->stats().connections != 0) std::this_thread::yield();
}

}  // namespace
}  // namespace ee::agent
