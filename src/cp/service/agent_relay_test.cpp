#include "cp/service/agent_relay.h"

#include <boost/json.hpp>

#include "common/fake_http_client.h"
#include "common/jose.h"
#include "cp/service/console_access.h"
#include "tests/support/agent_fixture.h"

namespace ee::cp {
namespace {

using testing::make_agent;

const AccountId kOperator("0190a000-0000-7000-8000-00000000000a");
const AccountId kTenant("0190a000-0000-7000-8000-00000000000b");
const AccountId kStranger("0190a000-0000-7000-8000-00000000000c");
const std::string kDeployment = "0190a000-0000-7000-8000-0000000000d1";
const Actor kActor{.name = "account:k1", .request_id = "r1", .client_address = "192.0.2.7"};
const std::string kTwoLines =
    R"({"at":"2026-01-01T00:00:00.000Z","container":"web","stream":"stdout","line":"one"})"
    "\n"
    R"({"at":"2026-01-01T00:00:01.000Z","container":"web","stream":"stderr","line":"two","truncated":true})"
    "\n"
    R"({"end":true,"dropped":3})"
    "\n";

/// A deployment of the tenant runs on every agent that runs one.
class TenantDeployments : public DeploymentHooks {
 public:
  Result<void> apply_agent_report(db::Transaction&, const AgentRow&, const std::optional<agent_api::WorkloadReport>&,
                                  UtcTime) override {
    return {};
  }
  Result<void> agent_attestation_lost(db::Transaction&, const AgentRow&, UtcTime) override { return {}; }
  Result<void> agent_removed(db::Transaction&, const AgentRow&, UtcTime) override { return {}; }
  Result<bool> request_stop(db::Transaction&, const AgentRow&, bool, UtcTime) override { return true; }
  Result<std::optional<AccountId>> account_of_deployment(db::Transaction&, const AgentRow&) override { return kTenant; }
  agent_api::Desired desired_for(const DirectoryEntry&,
                                 const std::optional<agent_api::WorkloadReport>&) const override {
    return {};
  }
};

class AgentRelayTest : public AgentFixture {
 protected:
  AgentRelayTest() {
    AgentRow row = make_agent(1, clock_.now());
    row.account_id = kOperator;
    row.tunnel_state = TunnelState::ready;
    row.hostname = "vm-1.dev.example.com";
    row.status = AgentStatus::deployed;
    row.current_deployment_id = DeploymentId(kDeployment);
    agent_ = add(row);
  }
  static AgentScope of(const AccountId& account) { return {.account_ids = {account}}; }
  void answers(int status, const std::string& body) {
    const std::string id = agent_.id.str();
    agent_http_.set_answer([=](const HttpClientRequest&) {
      return HttpClientResponse{.status = status, .headers = {{"X-EE-Agent", id}}, .body = body};
    });
  }
  ErrorCode logs_refused(const AgentScope& scope, const AgentLogsWanted& wanted = {}) {
    const auto logs = relay_.logs(scope, agent_.id, wanted, {});
    EXPECT_FALSE(logs);
    return logs ? ErrorCode::internal_error : logs.error().code;
  }
  Result<ConsoleAccessAnswer> issue(const AgentScope& scope, const ConsoleAccessRequest& wanted = {},
                                    const Principal& caller = {}) {
    return console_.issue(caller, scope, agent_.id, wanted, kActor);
  }
  boost::json::object claims_of(const std::string& token) {
    const auto parsed = jose::UnverifiedToken::parse(
        token, {.algorithms = {jose::Algorithm::eddsa}, .types = {"ee-console+jwt"}, .max_bytes = 8192});
    EXPECT_TRUE(parsed);
    if (!parsed) return {};
    const auto verified = parsed->verify(jose::PublicKey::from_ed25519(keys_.published_raw().front()));
    EXPECT_TRUE(verified);
    return verified ? verified->claims() : boost::json::object();
  }

  TenantDeployments tenants_;
  SigningKeys keys_{*Ed25519PrivateKey::from_seed(ByteVector(32, 0x11)), {}};
  FakeHttpClient agent_http_{[](const HttpClientRequest&) { return std::unexpected(HttpFailure::connect); }};
  AgentEndpoint endpoint_{[] { return EndpointSettings{.domain = "dev.example.com"}; }};
  AgentClient client_{
      {.endpoint = endpoint_, .signing_keys = keys_, .http = agent_http_, .clock = clock_, .random = random_}};
  AgentRelay relay_{
      {.database = database_, .live = live_, .deployments = tenants_, .client = client_, .clock = clock_}};
  ConsoleAccess console_{{.database = database_,
                          .deployments = tenants_,
                          .endpoint = endpoint_,
                          .signing_keys = keys_,
                          .clock = clock_,
                          .random = random_,
                          .public_url = "https://cp.example.com"}};
  AgentRow agent_;
};

// covers: S02_OWN_007
TEST_F(AgentRelayTest, S02_OWN_007_the_operator_sees_no_tenants_lines) {
  answers(200, kTwoLines);
  EXPECT_EQ(logs_refused(of(kOperator)), ErrorCode::agent_not_found);
  EXPECT_EQ(logs_refused(of(kStranger)), ErrorCode::agent_not_found);
  EXPECT_TRUE(agent_http_.calls().empty()) << "the agent is not even asked";
  const auto denied = issue(of(kOperator), {.scopes = {{ConsoleScope::logs}}});
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::scope_not_allowed);

  const auto logs = relay_.logs(of(kTenant), agent_.id, {}, {});
  ASSERT_TRUE(logs) << logs.error().detail;
  ASSERT_EQ(agent_http_.calls().size(), 1U);
  EXPECT_NE(agent_http_.calls()[0].url.find("deployment_id=" + agent_.current_deployment_id->str()), std::string::npos)
      << "lines of an earlier tenant are still kept there: " << agent_http_.calls()[0].url;
  EXPECT_EQ(logs->items.size(), 2U);
  EXPECT_EQ(logs->items[1].line, "two");
  EXPECT_TRUE(logs->items[1].truncated);
  EXPECT_EQ(logs->dropped, 3);
  EXPECT_FALSE(logs->truncated);
  EXPECT_TRUE(relay_.logs(AgentScope::everything(), agent_.id, {.container = "_agent"}, {}));
}

TEST_F(AgentRelayTest, TheAgentsOwnLinesAreForAdministrators) {
  answers(200, kTwoLines + "");
  EXPECT_EQ(logs_refused(of(kTenant), {.container = "_agent"}), ErrorCode::admin_required);
  // An agent that sends them all the same.
  answers(200, R"({"at":"2026-01-01T00:00:00.000Z","container":"_agent","stream":"stdout","line":"secret"})"
               "\n" +
                   kTwoLines);
  const auto logs = relay_.logs(of(kTenant), agent_.id, {}, {});
  ASSERT_TRUE(logs);
  EXPECT_EQ(logs->items.size(), 2U);
}

TEST_F(AgentRelayTest, NothingRunsNobodyIsATenant) {
  database_.execute("UPDATE agents SET current_deployment_id=NULL, status='undeployed'");
  answers(200, kTwoLines);
  EXPECT_EQ(logs_refused(of(kTenant)), ErrorCode::agent_not_found);
  EXPECT_EQ(relay_.stats(of(kTenant), agent_.id, false, {}).error().code, ErrorCode::agent_not_found);
}

TEST_F(AgentRelayTest, ABadAnswerIsTheAgentsFault) {
  const auto code_of = [&](int status, const std::string& body) {
    answers(status, body);
    return logs_refused(of(kTenant));
  };
  EXPECT_EQ(code_of(404, "{}"), ErrorCode::agent_bad_response);
  EXPECT_EQ(code_of(401, "{}"), ErrorCode::agent_bad_response);
  EXPECT_EQ(code_of(503, "{}"), ErrorCode::agent_unreachable);
  EXPECT_EQ(code_of(429, "{}"), ErrorCode::agent_unreachable);
  EXPECT_EQ(code_of(200, "<html>"), ErrorCode::agent_bad_response);
  EXPECT_EQ(code_of(200, "[]\n"), ErrorCode::agent_bad_response);
  EXPECT_EQ(code_of(200, R"({"at":"yesterday","container":"a","stream":"b","line":"c"})"),
            ErrorCode::agent_bad_response);
  EXPECT_EQ(code_of(200, R"({"container":"a","stream":"b","line":"c"})"), ErrorCode::agent_bad_response);
  EXPECT_EQ(code_of(200, kTwoLines + kTwoLines), ErrorCode::agent_bad_response);
  agent_http_.set_answer([](const HttpClientRequest&) { return std::unexpected(HttpFailure::timeout); });
  EXPECT_EQ(logs_refused(of(kTenant)), ErrorCode::agent_unreachable);
}

TEST_F(AgentRelayTest, WhatDoesNotFitIsTheOldest) {
  const auto cut = parse_agent_logs(kTwoLines, 40);
  ASSERT_TRUE(cut);
  ASSERT_EQ(cut->items.size(), 1U);
  EXPECT_EQ(cut->items[0].line, "two");
  EXPECT_TRUE(cut->truncated);
  const auto broken_off = parse_agent_logs(kTwoLines.substr(0, kTwoLines.find("{\"end")), 1000);
  ASSERT_TRUE(broken_off);
  EXPECT_TRUE(broken_off->truncated);
  EXPECT_TRUE(parse_agent_logs("", 10)->truncated);
}

TEST_F(AgentRelayTest, ATooLongAnswerIsAskedForAgainShorter) {
  const std::string id = agent_.id.str();
  agent_http_.set_answer([&](const HttpClientRequest& request) -> std::expected<HttpClientResponse, HttpFailure> {
    if (request.url.find("tail=3") == std::string::npos) return std::unexpected(HttpFailure::answer_too_large);
    return HttpClientResponse{.status = 200, .headers = {{"X-EE-Agent", id}}, .body = kTwoLines};
  });
  const auto logs = relay_.logs(of(kTenant), agent_.id, {.tail = 200}, {});
  ASSERT_TRUE(logs) << logs.error().detail;
  EXPECT_TRUE(logs->truncated);
  EXPECT_EQ(agent_http_.calls().size(), 3U) << "200, 25, 3";
  agent_http_.set_answer([](const HttpClientRequest&) { return std::unexpected(HttpFailure::answer_too_large); });
  EXPECT_EQ(logs_refused(of(kTenant)), ErrorCode::agent_bad_response) << "not even one line";
}

TEST_F(AgentRelayTest, StatisticsAreTheLastThatWereHeardOrLive) {
  EXPECT_NE(relay_.stats(of(kOperator), agent_.id, false, {})->find(R"("at":null,"stats":null)"), std::string::npos);
  beat(agent_);
  const std::string heard = relay_.stats(of(kOperator), agent_.id, false, {}).value();
  EXPECT_NE(heard.find(R"("at":")" + to_rfc3339(clock_.now())), std::string::npos) << heard;
  answers(200, R"({"host":{"cpu_millis_used":7},"containers":[]})");
  const std::string live = relay_.stats(of(kTenant), agent_.id, true, {}).value();
  EXPECT_NE(live.find(R"("cpu_millis_used":7)"), std::string::npos);
  EXPECT_NE(live.find(R"("live":true)"), std::string::npos);
  answers(200, "[1]");
  EXPECT_EQ(relay_.stats(of(kOperator), agent_.id, true, {}).error().code, ErrorCode::agent_bad_response);
  EXPECT_EQ(relay_.stats(of(kStranger), agent_.id, false, {}).error().code, ErrorCode::agent_not_found);
}

TEST_F(AgentRelayTest, AConsoleTokenSaysWhoMayDoWhat) {
  const auto issued = issue(of(kOperator));
  ASSERT_TRUE(issued) << issued.error().detail;
  EXPECT_EQ(issued->scopes, (std::vector{ConsoleScope::stats, ConsoleScope::status}));
  EXPECT_EQ(issued->base_url, "https://vm-1.dev.example.com/.easyenclave/v1");
  EXPECT_EQ(issued->console_url, "https://cp.example.com/console/agents/" + agent_.id.str());
  const auto claims = claims_of(issued->token);
  const auto text = [](const boost::json::object& from, std::string_view name) {
    return std::string(jose::text_member(from, name).value_or("(none)"));
  };
  EXPECT_EQ(text(claims, "iss"), "https://cp.example.com");
  EXPECT_EQ(text(claims, "aud"), agent_.id.str());
  EXPECT_EQ(text(claims, "rid"), agent_.registration_id.str());
  EXPECT_EQ(text(claims, "sub"), "account:" + kOperator.str());
  EXPECT_EQ(text(claims, "deployment_id"), "(none)");
  EXPECT_EQ(*jose::integer_member(claims, "exp") - *jose::integer_member(claims, "iat"), 900);
  EXPECT_EQ(boost::json::serialize(claims.at("scope")), R"(["stats","status"])");

  const auto tenant = issue(of(kTenant), {.ttl_seconds = 60});
  ASSERT_TRUE(tenant);
  EXPECT_EQ(text(claims_of(tenant->token), "deployment_id"), kDeployment);
  EXPECT_EQ(text(claims_of(tenant->token), "sub"), "account:" + kTenant.str());
  EXPECT_EQ(issue(of(kTenant), {.scopes = {{ConsoleScope::reattest}}}).error().code, ErrorCode::scope_not_allowed);
  EXPECT_EQ(issue(of(kStranger)).error().code, ErrorCode::agent_not_found);

  // Who owns the machine and what runs on it reads the lines of that deployment only.
  const auto both = issue({.account_ids = {kOperator, kTenant}});
  ASSERT_TRUE(both);
  EXPECT_EQ(text(claims_of(both->token), "deployment_id"), kDeployment);
  const Principal admin{.kind = PrincipalKind::session, .is_admin = true, .session_id = SessionId("s1")};
  const auto all = issue(AgentScope::everything(),
                         {.scopes = {{ConsoleScope::logs, ConsoleScope::reattest, ConsoleScope::logs}}}, admin);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->scopes.size(), 2U);
  EXPECT_EQ(text(claims_of(all->token), "sub"), "admin:s1");
  EXPECT_EQ(text(claims_of(all->token), "deployment_id"), "(none)");

  const auto audited =
      database_.values<std::string>("SELECT detail FROM audit_log WHERE action='console_token_issued'");
  EXPECT_EQ(audited.size(), 4U);
  for (const std::string& detail : audited) EXPECT_EQ(detail.find("eyJ"), std::string::npos);
}

TEST_F(AgentRelayTest, NoConsoleTokenForAnAgentThatGoesOrLostTrust) {
  const auto code_now = [&] { return issue(of(kOperator)).error().code; };
  database_.execute("UPDATE agents SET tunnel_state='pending'");
  EXPECT_EQ(code_now(), ErrorCode::agent_unreachable);
  database_.execute("UPDATE agents SET status='deleting'");
  EXPECT_EQ(code_now(), ErrorCode::invalid_agent_state);
  database_.execute(
      "UPDATE agents SET status='quarantined', quarantine_reason='attestation_failed', attestation_state='failed'");
  EXPECT_EQ(code_now(), ErrorCode::invalid_agent_state);
  EXPECT_TRUE(audited().empty());
}

}  // namespace
}  // namespace ee::cp
