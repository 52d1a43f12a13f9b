#include "cp/service/agent_endpoint.h"

#include <gtest/gtest.h>

#include "tests/support/agents.h"

namespace ee::cp {
namespace {

EndpointSettings production() { return {.domain = "prod.app.easyenclave.com"}; }
EndpointSettings development() {
  return {.dev = true, .direct_url_cidrs = {"127.0.0.0/8"}, .domain = "prod.app.easyenclave.com"};
}
ResolvedEndpoint resolve(const AgentRow& agent, const EndpointSettings& settings) {
  return AgentEndpoint([&settings] { return settings; }).resolve(agent);
}

AgentRow with_tunnel() {
  AgentRow agent = testing::make_agent(1);
  agent.tunnel_state = TunnelState::ready;
  agent.hostname = "vm-1.prod.app.easyenclave.com";
  return agent;
}

TEST(AgentEndpoint, AReadyTunnelIsReachedByItsName) {
  const auto found = resolve(with_tunnel(), production());
  EXPECT_EQ(found.url, "https://vm-1.prod.app.easyenclave.com");
  EXPECT_FALSE(found.is_direct);
  EXPECT_FALSE(found.reason);
}

TEST(AgentEndpoint, ATunnelThatIsNotReadyGivesNoAddress) {
  for (const TunnelState state : {TunnelState::none, TunnelState::placeholder, TunnelState::pending,
                                  TunnelState::provisioning, TunnelState::failed, TunnelState::deleting}) {
    AgentRow agent = with_tunnel();
    agent.tunnel_state = state;
    const auto found = resolve(agent, production());
    EXPECT_FALSE(found) << found.url;
    EXPECT_EQ(found.reason, NoEndpoint::tunnel_not_ready);
  }
  AgentRow nameless = with_tunnel();
  nameless.hostname.reset();
  EXPECT_EQ(resolve(nameless, production()).reason, NoEndpoint::tunnel_not_ready);
}

TEST(AgentEndpoint, OnlyNamesBelowTheDomainAreUsed) {
  for (const char* name :
       {"vm-1.example.com", "prod.app.easyenclave.com", ".prod.app.easyenclave.com", "xprod.app.easyenclave.com",
        "a..prod.app.easyenclave.com", "evil.com/.prod.app.easyenclave.com", "u@h.prod.app.easyenclave.com",
        "evil.com:80#.prod.app.easyenclave.com", "vm\n.prod.app.easyenclave.com", "VM.prod.app.easyenclave.com", ""}) {
    AgentRow agent = with_tunnel();
    agent.hostname = name;
    const auto found = resolve(agent, production());
    EXPECT_FALSE(found) << name;
    EXPECT_EQ(found.reason, NoEndpoint::hostname_refused) << name;
  }
  EXPECT_EQ(resolve(with_tunnel(), {}).reason, NoEndpoint::hostname_refused) << "no domain is configured";
}

TEST(AgentEndpoint, AnAgentWithoutTrustHasNone) {
  AgentRow agent = with_tunnel();
  agent.attestation_state = AttestationState::failed;
  EXPECT_EQ(resolve(agent, production()).reason, NoEndpoint::attestation_failed);
  EndpointSettings relaxed = production();
  relaxed.attestation_required = false;
  EXPECT_EQ(resolve(agent, relaxed).reason, NoEndpoint::attestation_failed) << "other modes exist in dev only";
  relaxed.dev = true;
  EXPECT_TRUE(resolve(agent, relaxed));
  agent.attestation_state = AttestationState::stale;
  EXPECT_TRUE(resolve(agent, production())) << "stale is still routed";
}

TEST(AgentEndpoint, AnAgentThatGoesHasNone) {
  for (const AgentStatus status : {AgentStatus::deleting, AgentStatus::deleted}) {
    AgentRow agent = with_tunnel();
    agent.status = status;
    EXPECT_EQ(resolve(agent, production()).reason, NoEndpoint::agent_gone);
  }
}

TEST(AgentEndpoint, ADirectAddressCountsInDevAndInsideItsRangesOnly) {
  AgentRow agent = with_tunnel();
  agent.direct_url = "http://127.0.0.1:8088";
  const auto direct = resolve(agent, development());
  EXPECT_EQ(direct.url, "http://127.0.0.1:8088");
  EXPECT_TRUE(direct.is_direct);
  EXPECT_EQ(resolve(agent, production()).url, "https://vm-1.prod.app.easyenclave.com");
  agent.direct_url = "http://10.0.0.1:8088";
  EXPECT_EQ(resolve(agent, development()).url, "https://vm-1.prod.app.easyenclave.com");
  agent.tunnel_state = TunnelState::placeholder;
  EXPECT_EQ(resolve(agent, development()).reason, NoEndpoint::tunnel_not_ready);
}

}  // namespace
}  // namespace ee::cp
