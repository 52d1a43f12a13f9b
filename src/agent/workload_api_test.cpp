#include "agent/workload_api.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "agent/fake_control_plane.h"
#include "agent/local_api.h"
#include "agent/workload/reconciler_fixture.h"
#include "attestation/binding.h"
#include "common/jose.h"
#include "net/server.h"
#include "tests/support/raw_client.h"

namespace ee::agent::testing {
namespace {

using namespace std::chrono_literals;

/// The local API with a reconciler on the fake engine, called as the control plane and console users do.
class WorkloadApiTest : public ReconcilerFixture {
 protected:
  WorkloadApiTest() {
    config_.control_plane_url = "https://cp.example.com";
    config_.node_size = "tiny";
    board_.set_phase(AgentPhase::active);
    workload_.emplace(*reconciler_, logs_, own_, WorkloadApi::Hooks{}, clock_);
    evidence_.emplace(
        config_, "vm-1", board_, keys_, quotes_, host_, [this] { return reconciler_->served(); }, nullptr, clock_);
    LocalApi::Hooks hooks;
    hooks.workload = [this] { return reconciler_->report(); };
    hooks.workload_api = &*workload_;
    hooks.evidence = &*evidence_;
    hooks.console = [](std::string_view authorization, std::string_view scope) -> Result<ConsoleAccess> {
      if (authorization == "Bearer tenant") return ConsoleAccess{.only_deployment = kDeploymentD};  // every scope
      if (authorization != "Bearer logs" && authorization != "Bearer status") return fail(ErrorCode::invalid_token, "");
      const bool logs = authorization == "Bearer logs";
      if (logs ? scope != "logs" : scope != "status" && scope != "stats")
        return fail(ErrorCode::insufficient_scope, "");
      return ConsoleAccess{.only_deployment = logs ? std::optional<std::string>(kDeploymentD) : std::nullopt};
    };
    api_.emplace(config_, "vm-1", board_, std::move(hooks), clock_);
  }

  std::string control(const std::string& method, const std::string& target, const std::string& body) {
    const std::int64_t now = unix_ms(clock_.now()) / 1000;
    const boost::json::object claims{{"iss", "easyenclave-cp"},
                                     {"aud", kAgentId},
                                     {"htm", method},
                                     {"htp", target},
                                     {"bsh", to_base64url(sha256(bytes_of(body)))},
                                     {"jti", "jti-" + std::to_string(++jti_)},
                                     {"iat", now},
                                     {"exp", now + 60}};
    const boost::json::object header{
        {"alg", "EdDSA"}, {"kid", key_id(cp_key_.public_key())}, {"typ", "ee-control+jwt"}};
    const std::string input = to_base64url(bytes_of(boost::json::serialize(header))) + "." +
                              to_base64url(bytes_of(boost::json::serialize(claims)));
    return "EE-Control " + input + "." + to_base64url(cp_key_.sign(bytes_of(input)));
  }
  /// `authorization`: `control` makes a token for this very call.
  net::Response call(const std::string& method, const std::string& path, const std::string& query = {},
                     std::string authorization = "control", const std::string& body = {},
                     std::vector<HttpHeader> headers = {}, const std::string& peer = "192.0.2.1") {
    const std::string full = "/.easyenclave/v1/" + path;
    const auto admission = api_->admit({.method = method,
                                        .path = full,
                                        .query = query,
                                        .fields = {},
                                        .content_length = {},
                                        .peer_address = peer,
                                        .client_address = peer,
                                        .request_id = "req-1"});
    if (admission.answer) return *admission.answer;
    if (authorization == "control") authorization = control(method, full + (query.empty() ? "" : "?" + query), body);
    net::Request request{.method = method, .path = full, .query = query, .headers = std::move(headers), .body = body};
    if (!authorization.empty()) request.headers.push_back({"Authorization", authorization});
    request.peer_address = peer;
    request.route = admission.route_index;
    return api_->handle(std::move(request));
  }
  net::Response put(const std::string& body) {
    return call("PUT", "deployment", "", "control", body,
                {{"X-EE-Kid", key_id(cp_key_.public_key())}, {"X-EE-Signature", signature(body)}});
  }
  static std::string header(const net::Response& response, std::string_view name) {
    for (const HttpHeader& h : response.headers)
      if (h.name == name) return h.value;
    return {};
  }
  static std::string code(const net::Response& response) { return header(response, "X-EE-Agent-Error"); }

  AgentConfig config_;
  Host host_{"/nonexistent"};
  FakeQuoteSource quotes_;
  LogRing logs_{clock_};
  LogRing own_{clock_};
  int jti_ = 0;
  std::optional<WorkloadApi> workload_;
  std::optional<PublicEvidence> evidence_;
  std::optional<LocalApi> api_;
};

TEST_F(WorkloadApiTest, a_document_is_put_shown_and_deleted) {
  EXPECT_EQ(call("GET", "deployment").status, 204);
  const std::string body = document({});
  EXPECT_EQ(put(body).status, 202);
  step();
  const auto again = put(body);
  EXPECT_EQ(again.status, 200);
  EXPECT_NE(again.body.find(R"("phase":"running")"), std::string::npos) << again.body;
  const auto shown = call("GET", "deployment");
  EXPECT_EQ(
      shown.body.find(R"({"deployment_id":"0190a000-0000-7000-8000-0000000000d1","assignment_epoch":1,"revision":1)"),
      0U);
  EXPECT_EQ(header(shown, "X-EE-Agent"), kAgentId);

  const auto other = put(document({.deployment_id = kDeploymentE}));
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(code(other), "deployment_held");
  EXPECT_NE(other.body.find(std::string(R"("deployment_id":")") + kDeploymentD), std::string::npos) << other.body;
  deploy({.epoch = 2});
  EXPECT_EQ(put(document({.epoch = 1})).status, 412);

  const std::string query = std::string("deployment_id=") + kDeploymentD + "&assignment_epoch=2";
  EXPECT_EQ(call("DELETE", "deployment", std::string("deployment_id=") + kDeploymentE + "&assignment_epoch=1").status,
            409);
  EXPECT_EQ(call("DELETE", "deployment", query).status, 202);
  step();
  EXPECT_EQ(call("DELETE", "deployment", query).status, 204);
  EXPECT_TRUE(containers().empty());
  EXPECT_EQ(call("DELETE", "deployment", "deployment_id=x&assignment_epoch=1").status, 400);
  EXPECT_EQ(call("DELETE", "deployment", query + "&force=1").status, 400);
}

TEST_F(WorkloadApiTest, a_document_that_is_wrong_is_refused_with_its_reason) {
  const std::string body = document({});
  const auto unsigned_ = call("PUT", "deployment", "", "control", body);
  EXPECT_EQ(unsigned_.status, 422);
  EXPECT_EQ(code(unsigned_), "signature_invalid");
  EXPECT_EQ(put("{}").status, 400);
  const auto forbidden = put(document({.compose = R"({"services":{"web":{"image":")" + reference("web") +
                                                  R"(","privileged":true,"ports":["8080:80"]}}})"}));
  EXPECT_EQ(forbidden.status, 422);
  EXPECT_EQ(code(forbidden), "compose_failed");
  EXPECT_EQ(call("PUT", "deployment", "", "", body).status, 401);
  EXPECT_EQ(call("PUT", "deployment", "", "Bearer status", body).status, 403);
  EXPECT_TRUE(holds_nothing());
}

TEST_F(WorkloadApiTest, console_tokens_reach_what_their_scopes_name) {
  const struct {
    const char* method;
    const char* path;
    const char* token;
    int status;
  } rows[] = {{"GET", "status", "Bearer status", 200}, {"GET", "stats", "Bearer status", 200},
              {"GET", "logs", "Bearer status", 403},   {"GET", "logs", "Bearer logs", 200},
              {"GET", "status", "Bearer logs", 403},   {"GET", "deployment", "Bearer status", 403},
              {"POST", "sync", "Bearer status", 403},  {"POST", "reattest", "Bearer status", 403},
              {"GET", "status", "Bearer other", 401},  {"GET", "status", "Basic x", 401}};
  for (const auto& row : rows)
    EXPECT_EQ(call(row.method, row.path, "", row.token).status, row.status) << row.method << row.path << row.token;
}

TEST_F(WorkloadApiTest, a_tenants_token_shows_nothing_of_the_next_tenant) {
  const auto status_of = [&](const char* path) { return call("GET", path, "", "Bearer tenant").status; };
  EXPECT_EQ(status_of("status"), 403) << "nothing of it runs yet";
  const auto run = [&](const char* id) {
    auto read = json::read<agent_api::DeploymentDocument>(document({.deployment_id = id})).value();
    read.access = agent_api::WorkloadAccess::account;
    EXPECT_EQ(take_body(json::write(read), DocumentPath::pull).value().taken, Reconciler::Taken::accepted);
    step();
    return reconciler_->report()->deployment_id;
  };
  ASSERT_EQ(run(kDeploymentD), kDeploymentD);
  EXPECT_EQ(status_of("status"), 200);
  EXPECT_EQ(status_of("stats"), 200);
  const auto names = [&] {
    return call("GET", "evidence", "nonce=" + std::string(64, 'a'), "Bearer tenant").body.find(R"("images")");
  };
  EXPECT_NE(names(), std::string::npos);
  // Another deployment takes the agent, in the same registration: the token is good for some time still.
  ASSERT_EQ(run(kDeploymentE), kDeploymentE);
  EXPECT_EQ(status_of("status"), 403);
  EXPECT_EQ(status_of("stats"), 403);
  EXPECT_EQ(names(), std::string::npos);
  EXPECT_EQ(status_of("logs"), 200) << "the lines of its own deployment, while they are kept";
  EXPECT_EQ(call("GET", "status", "", "Bearer status").status, 200) << "who is not a tenant sees the agent";
}

TEST_F(WorkloadApiTest, S02_EEA_API_008_pages_of_the_control_plane_only_may_read) {
  EXPECT_TRUE(api_->allows_origin("https://cp.example.com"));
  EXPECT_FALSE(api_->allows_origin("https://evil.example.com"));
  EXPECT_FALSE(api_->allows_origin("null"));
  EXPECT_EQ(LocalApi::server_config({.host = "127.0.0.1", .port = 0}).cors_methods, "GET");
}

TEST_F(WorkloadApiTest, logs_are_filtered_bounded_and_end_with_a_record) {
  const EngineTime at = unix_ms(clock_.now()) * 1'000'000;
  logs_.append({.deployment_id = kDeploymentD, .service = "web"},
               {.stream = LogStream::out, .at = at, .text = "hello"});
  logs_.append({.deployment_id = kDeploymentD, .service = "web"}, {.stream = LogStream::err, .at = at, .text = "oops"});
  logs_.append({.deployment_id = kDeploymentE, .service = "web"},
               {.stream = LogStream::out, .at = at, .text = "other"});
  own_.append({.deployment_id = "", .service = "_agent"}, {.stream = LogStream::err, .at = at, .text = "agent line"});
  EXPECT_EQ(call("GET", "logs", "stream=stderr&container=web", "Bearer logs").body,
            R"({"at":"2026-01-01T00:00:00.000Z","container":"web","stream":"stderr","line":"oops"})"
            "\n"
            R"({"end":true,"dropped":0})"
            "\n");
  const std::string all = call("GET", "logs").body;
  EXPECT_NE(all.find("other"), std::string::npos);
  EXPECT_EQ(call("GET", "logs", "", "Bearer logs").body.find("other"), std::string::npos) << "another deployment's";
  const std::string of_e = call("GET", "logs", std::string("deployment_id=") + kDeploymentE).body;
  EXPECT_NE(of_e.find("other"), std::string::npos);
  EXPECT_EQ(of_e.find("hello"), std::string::npos) << "lines of a deployment that ran here before";
  EXPECT_EQ(call("GET", "logs", std::string("deployment_id=") + kDeploymentE, "Bearer logs").body.find("other"),
            std::string::npos)
      << "a token names the deployment, not its holder";
  EXPECT_NE(call("GET", "logs", "container=_agent").body.find("agent line"), std::string::npos);
  EXPECT_EQ(call("GET", "logs", "container=_agent", "Bearer logs").status, 403);
  EXPECT_EQ(call("GET", "logs", "q=hel%6Co&since=5m&tail=1").body.find("hello") != std::string::npos, true);
  for (const char* bad : {"deployment_id=x", "tail=0", "tail=10001", "stream=x", "since=yesterday", "follow=maybe",
                          "x=1", "tail=1&tail=2", "container=..%2f", "q=%zz"})
    EXPECT_EQ(call("GET", "logs", bad).status, 400) << bad;
}

TEST_F(WorkloadApiTest, followers_get_lines_as_they_come_and_are_few) {
  FakeClock server_clock;
  auto server =
      net::Server::start(LocalApi::server_config({.host = "127.0.0.1", .port = 0}), *api_, server_clock, random_)
          .value();
  const auto connect = [&] {
    auto client = std::make_unique<ee::testing::RawClient>(server->port());
    client->send("GET /.easyenclave/v1/logs?follow=true HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer logs\r\n\r\n");
    return client;
  };
  std::vector<std::unique_ptr<ee::testing::RawClient>> clients;
  const EngineTime at = unix_ms(clock_.now()) * 1'000'000;
  logs_.append({.deployment_id = kDeploymentD, .service = "web"}, {.at = at, .text = "first"});
  for (std::size_t i = 0; i < WorkloadApi::kMaxFollowers; ++i) {
    clients.push_back(connect());
    std::string seen;
    while (seen.find("first") == std::string::npos) seen += clients.back()->read_some().value();
  }
  auto refused = connect();
  EXPECT_EQ(refused->read_response()->status, 429);
  logs_.append({.deployment_id = kDeploymentD, .service = "web"}, {.at = at, .text = "second"});
  for (auto& client : clients) {
    std::string seen;
    while (seen.find("second") == std::string::npos) seen += client->read_some().value();
  }
  clock_.advance(301s);
  for (auto& client : clients) {
    std::string seen;
    while (seen.find(R"("end":true)") == std::string::npos) seen += client->read_some().value();
  }
  workload_.reset();
}

// ---- public evidence -----------------------------------------------------------------------------------------------

const std::string kNonce(64, 'a');

TEST_F(WorkloadApiTest, S02_EEA_EV_001_the_nonce_is_bound_with_purpose_4) {
  const auto answer = call("GET", "evidence", "nonce=" + kNonce, "");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(header(answer, "Cache-Control"), "no-store");
  const auto json = json::parse(answer.body)->get_object();
  EXPECT_EQ(json.at("purpose"), "public");
  EXPECT_EQ(json.at("nonce"), kNonce.c_str());
  EXPECT_EQ(json.at("deployment"), nullptr);
  const auto binding = attestation::agent_binding(keys_.signing.public_key(), keys_.sealing.public_key(), "vm-1");
  const auto expected = attestation::build_report_data(attestation::Purpose::public_, *from_hex_exact<32>(kNonce),
                                                       binding, "https://cp.example.com");
  const auto quote =
      from_base64(std::string_view(json.at("quote").get_string().data(), json.at("quote").get_string().size()));
  EXPECT_TRUE(std::equal(expected.value.begin(), expected.value.end(), quote->end() - 64));  // as FakeQuoteSource does
  EXPECT_EQ(json.at("binding"), to_hex(binding).c_str());
  for (const char* bad : {"", "nonce=", "nonce=ab", "nonce=zz"})
    EXPECT_EQ(call("GET", "evidence", bad, "").status, 400) << bad;
  EXPECT_EQ(call("GET", "evidence", "nonce=" + std::string(64, 'A'), "").status, 400);
}

TEST_F(WorkloadApiTest, S02_EEA_EV_002_what_runs_is_signed_over_the_nonce) {
  deploy();
  const auto json = json::parse(call("GET", "evidence", "nonce=" + kNonce, "").body)->get_object();
  ByteVector input;
  append(input, "ee-evidence-v1");
  input.push_back(0);
  append(input, *from_hex(kNonce));
  append(input, sha256(bytes_of(*json::canonical(json.at("deployment")))));
  const auto& text = json.at("deployment_signature").get_string();
  EXPECT_TRUE(
      ed25519_verify(keys_.signing.public_key(), input, *from_base64(std::string_view(text.data(), text.size()))));
  EXPECT_EQ(json.at("deployment").at("service"), "hello");
  EXPECT_EQ(json.at("deployment").at("images").at("web"), reference("web").c_str());
}

TEST_F(WorkloadApiTest, S02_EEA_EV_003_a_private_service_shows_hashes_only) {
  auto read = json::read<agent_api::DeploymentDocument>(document({})).value();
  read.access = agent_api::WorkloadAccess::account;
  ASSERT_TRUE(take_body(json::write(read), DocumentPath::pull));
  step();
  const auto hidden = json::parse(call("GET", "evidence", "nonce=" + kNonce, "").body)->get_object();
  EXPECT_EQ(hidden.at("deployment").get_object().size(), 4U);
  EXPECT_EQ(hidden.at("deployment").at("compose_sha256"), read.compose_sha256.c_str());
  const auto shown = json::parse(call("GET", "evidence", "nonce=" + kNonce, "Bearer status").body)->get_object();
  EXPECT_EQ(shown.at("deployment").at("service"), "hello");
  EXPECT_EQ(call("GET", "evidence", "nonce=" + kNonce, "Bearer other").status, 401);
}

TEST_F(WorkloadApiTest, S02_EEA_EV_004_evidence_is_limited_by_source_and_in_all) {
  const auto ask = [&](const std::string& peer, const std::string& authorization = "",
                       std::vector<HttpHeader> headers = {}) {
    return call("GET", "evidence", "nonce=" + kNonce, authorization, "", std::move(headers), peer);
  };
  for (int i = 0; i < 6; ++i) EXPECT_EQ(ask("192.0.2.1").status, 200);
  const auto limited = ask("192.0.2.1");
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(code(limited), "rate_limited");
  EXPECT_FALSE(header(limited, "Retry-After").empty());
  EXPECT_EQ(ask("127.0.0.1", "", {{"CF-Connecting-IP", "198.51.100.1"}}).status, 200)
      << "another visitor of the tunnel";
  EXPECT_EQ(ask("192.0.2.1", "", {{"CF-Connecting-IP", "198.51.100.2"}}).status, 429) << "only cloudflared is believed";
  for (int i = 0; i < 23; ++i) EXPECT_EQ(ask("192.0.2.1", "control").status, 200) << "counts in all only";
  EXPECT_EQ(ask("192.0.2.9").status, 429) << "the total of 30";
  clock_.advance(60s);
  quotes_.set_failure(ErrorCode::tdx_unavailable);
  EXPECT_EQ(code(ask("192.0.2.1")), "tdx_unavailable");
  board_.end_session();
  EXPECT_EQ(code(ask("192.0.2.1")), "agent_not_active");
}

}  // namespace
}  // namespace ee::agent::testing
