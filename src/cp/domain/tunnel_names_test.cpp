#include "cp/domain/tunnel_names.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

const AgentId kAgent("0190a000-0000-7000-8000-0123456789ab");
using Labels = std::vector<std::string>;

TEST(TunnelNames, NameAndCommentRoundTrip) {
  EXPECT_EQ(tunnel_name("prod", kAgent), "ee-prod-0190a000-0000-7000-8000-0123456789ab");
  EXPECT_EQ(agent_of_tunnel("prod", tunnel_name("prod", kAgent)), kAgent);
  EXPECT_EQ(agent_of_dns_comment("prod", dns_comment("prod", kAgent)), kAgent);
  EXPECT_LE(dns_comment(std::string(40, 'c'), kAgent).size(), 100U);
  EXPECT_EQ(tunnel_target("abc"), "abc.cfargotunnel.com");
}

TEST(TunnelNames, NeverTakesAnotherClustersNameForItsOwn) {
  EXPECT_FALSE(agent_of_tunnel("prod", tunnel_name("prod-2", kAgent)));
  EXPECT_FALSE(agent_of_tunnel("prod", control_plane_tunnel_name("prod")));
  EXPECT_FALSE(agent_of_tunnel("prod", "ee-prod-"));
  EXPECT_FALSE(agent_of_tunnel("prod", tunnel_name("prod", kAgent) + "x"));
  EXPECT_FALSE(agent_of_dns_comment("prod", dns_comment("prod-2", kAgent)));
  EXPECT_FALSE(agent_of_dns_comment("prod", "somebody's note"));
}

TEST(HostLabels, FallBackToTheTailOfTheId) {
  EXPECT_EQ(host_labels("vm-1", kAgent, {}), (Labels{"vm-1", "agent-0123456789ab"}));
}

TEST(HostLabels, NeverGiveAReservedOne) {
  const Labels more = {"billing"};
  for (const auto* name : {"www", "app", "api", "admin", "console", "mail", "cp", "billing"})
    EXPECT_EQ(host_labels(name, kAgent, more), (Labels{"agent-0123456789ab"})) << name;
}

}  // namespace
}  // namespace ee::cp
