#include "cp/service/tunnel_probe.h"

#include "common/fake_http_client.h"
#include "tests/support/agent_fixture.h"

namespace ee::cp {
namespace {

class TunnelProbeTest : public AgentFixture {
 protected:
  AgentRow deployed(int number) {
    AgentRow row = testing::make_agent(number, clock_.now());
    row.tunnel_state = TunnelState::ready;
    row.hostname = row.vm_name + ".dev.example.com";
    row.status = AgentStatus::deployed;
    row.current_deployment_id = DeploymentId("0190a000-0000-7000-8000-0000000000d" + std::to_string(number));
    return add(row);
  }
  std::int64_t pass(std::string_view count, Milliseconds time = Milliseconds(55'000)) {
    const auto summary = probe_.run({}, clock_.steady_now() + time);
    EXPECT_TRUE(summary);
    for (const auto& [name, value] : summary->counts)
      if (name == count) return value;
    return -1;
  }
  /// What the agents answer from now on: by themselves, by another, not at all.
  void answer_as(const std::string& id) {
    http_client_.set_answer([id](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
      if (id.empty()) return std::unexpected(HttpFailure::timeout);
      return HttpClientResponse{.status = 200, .headers = {{"X-EE-Agent", id}}, .body = "{}"};
    });
  }

  FakeHttpClient http_client_{[](const HttpClientRequest&) { return std::unexpected(HttpFailure::connect); }};
  AgentEndpoint endpoint_{[] { return EndpointSettings{.domain = "dev.example.com"}; }};
  TunnelProbe probe_{{.database = database_,
                      .directory = directory_,
                      .endpoint = endpoint_,
                      .http = http_client_,
                      .clock = clock_,
                      .timeout = [] { return Milliseconds(10'000); }}};
};

TEST_F(TunnelProbeTest, ThreeFailuresMakeATunnelUnreachableAndOneAnswerReachable) {
  const AgentRow row = deployed(1);
  answer_as("");
  EXPECT_EQ(pass("changed"), 0);
  EXPECT_EQ(pass("changed"), 0);
  EXPECT_FALSE(get(row.id).tunnel_reachable);
  EXPECT_EQ(pass("changed"), 1);
  EXPECT_EQ(get(row.id).tunnel_reachable, false);
  EXPECT_EQ(get(row.id).health_status, row.health_status);
  EXPECT_EQ(pass("changed"), 0) << "told once";
  answer_as(row.id.str());
  EXPECT_EQ(pass("changed"), 1);
  EXPECT_EQ(get(row.id).tunnel_reachable, true);
  answer_as("");
  EXPECT_EQ(pass("changed"), 0) << "counted from the last answer";
  EXPECT_EQ(http_client_.calls().front().url, "https://vm-1.dev.example.com/.easyenclave/v1/health");
}

TEST_F(TunnelProbeTest, AnotherAgentsAnswerIsNone) {
  const AgentRow row = deployed(1);
  answer_as(testing::make_agent(2).id.str());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pass("failed"), 1);
  EXPECT_EQ(get(row.id).tunnel_reachable, false);
}

TEST_F(TunnelProbeTest, OnlyReadyTunnelsWithADeploymentAreAsked) {
  AgentRow idle = testing::make_agent(1);
  idle.tunnel_state = TunnelState::ready;
  idle.hostname = "vm-1.dev.example.com";
  add(idle);
  AgentRow pending = testing::make_agent(2);
  pending.tunnel_state = TunnelState::pending;
  pending.current_deployment_id = DeploymentId("0190a000-0000-7000-8000-0000000000d2");
  pending.status = AgentStatus::deployed;
  add(pending);
  EXPECT_EQ(pass("probed"), 0);
  EXPECT_TRUE(http_client_.calls().empty());
}

// The directory keeps no names: a tunnel that another replica has moved is asked at its new one.
TEST_F(TunnelProbeTest, TheAddressIsThatOfTheTable) {
  const AgentRow row = deployed(1);
  database_.execute("UPDATE agents SET hostname='moved.dev.example.com'");
  answer_as(row.id.str());
  EXPECT_EQ(pass("failed"), 0);
  EXPECT_EQ(http_client_.calls().front().url, "https://moved.dev.example.com/.easyenclave/v1/health");
}

// A pass that has time for two of five: the next ones go on where it ended, and each agent has its turn.
TEST_F(TunnelProbeTest, APassThatRunsOutOfTimeIsContinued) {
  for (int i = 1; i <= 5; ++i) deployed(i);
  http_client_.set_answer([this](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
    clock_.advance(Milliseconds(10'000));
    return std::unexpected(HttpFailure::timeout);
  });
  for (int i = 0; i < 3; ++i) pass("probed", Milliseconds(25'000));
  std::map<std::string, int> asked;
  for (const auto& call : http_client_.calls()) ++asked[call.url];
  EXPECT_EQ(asked.size(), 5U);
}

}  // namespace
}  // namespace ee::cp
