#include "cp/domain/placement_reasons.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ee::cp {
namespace {

using R = PlacementReason;
using Variants = std::map<std::string, PlacementVariant>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

PlacementCandidate good() {
  return {.id = AgentId("a"),
          .vm_name = "vm",
          .health_status = HealthStatus::healthy,
          .hostname = "h",
          .node_size = "tiny",
          .datacenter = "gcp:us-a",
          .cloud = "gcp",
          .placement_key = "p",
          .vcpus = 4,
          .memory_mib = 4096,
          .mrtd = "m",
          .agent_version = "2.0.1"};
}

const PlacementCaller kCaller{.account = AccountId("acct"), .github_owners = {1, 4711}};

// covers: S03_ELI_001..016
TEST(PlacementReasons, EachHasItsCause) {
  EXPECT_THAT(placement_reasons({}, kCaller, good()), IsEmpty());
  const auto only = [](const auto& change_agent, const auto& change_question) {
    PlacementCandidate agent = good();
    PlacementQuestion question;
    change_agent(agent);
    change_question(question);
    return placement_reasons(question, kCaller, agent);
  };
  const auto agent = [&](const auto& change) { return only(change, [](PlacementQuestion&) {}); };
  const auto asked = [&](const auto& change) { return only([](PlacementCandidate&) {}, change); };
  EXPECT_THAT(agent([](auto& a) { a.status = AgentStatus::deployed; }), ElementsAre(R::agent_status_not_deployable));
  EXPECT_THAT(agent([](auto& a) { a.attestation_state = AttestationState::stale; }),
              ElementsAre(R::agent_attestation_invalid));
  EXPECT_THAT(agent([](auto& a) { a.health_status = HealthStatus::unknown; }), ElementsAre(R::agent_unhealthy));
  EXPECT_THAT(agent([](auto& a) { a.draining = true; }), ElementsAre(R::agent_draining));
  EXPECT_THAT(agent([](auto& a) { a.hostname.reset(); }), ElementsAre(R::agent_no_address));
  EXPECT_THAT(asked([](auto& q) { q.node_size = "llm"; }), ElementsAre(R::agent_node_size_mismatch));
  EXPECT_THAT(asked([](auto& q) { q.wants.rules.datacenters = {"gcp:us-b"}; }),
              ElementsAre(R::agent_datacenter_not_allowed));
  EXPECT_THAT(asked([](auto& q) { q.wants.rules.excluded_datacenters = {"gcp:us-a"}; }),
              ElementsAre(R::agent_datacenter_excluded));
  EXPECT_THAT(asked([](auto& q) { q.wants.rules.clouds = {"azure"}; }), ElementsAre(R::agent_cloud_not_allowed));
  EXPECT_THAT(asked([](auto& q) { q.wants.rules.excluded_clouds = {"gcp"}; }), ElementsAre(R::agent_cloud_excluded));
  EXPECT_THAT(agent([](auto& a) { a.placement_key = "r:other"; }), ElementsAre(R::agent_reserved));
  EXPECT_THAT(agent([](auto& a) { a.placement_key = "r:acct"; }), IsEmpty());
  EXPECT_THAT(asked([](auto& q) { q.wants.nano_cpus = 4'000'000'001; }), ElementsAre(R::agent_resources_too_small));
  EXPECT_THAT(asked([](auto& q) { q.wants.memory_mib = 4097; }), ElementsAre(R::agent_resources_too_small));
  EXPECT_THAT(asked([](auto& q) { q.wants.gpu_count = 1; }), ElementsAre(R::agent_resources_too_small));
  EXPECT_THAT(asked([](auto& q) { q.wants.variants = Variants{{"tiny", {.mrtd = "other"}}}; }),
              ElementsAre(R::agent_mrtd_mismatch));
  EXPECT_THAT(asked([](auto& q) { q.wants.variants = Variants{{"llm", {}}}; }),
              ElementsAre(R::version_variant_not_found));
  EXPECT_THAT(asked([](auto& q) { q.wants.variants = Variants{{"llm", {}}, {"", {}}}; }), IsEmpty()) << "any size";
  EXPECT_THAT(asked([](auto& q) { q.min_agent_version = "2.0.2"; }), ElementsAre(R::agent_version_too_old));
  EXPECT_THAT(asked([](auto& q) { q.agent_name = "another"; }), ElementsAre(R::agent_name_mismatch));
  EXPECT_THAT(only(
                  [](auto& a) {
                    a.health_status = HealthStatus::unhealthy;
                    a.status = AgentStatus::quarantined;
                  },
                  [](auto& q) {
                    q.agent_name = "another";
                    q.node_size = "llm";
                  }),
              ElementsAre(R::agent_status_not_deployable, R::agent_unhealthy, R::agent_node_size_mismatch,
                          R::agent_name_mismatch))
      << "in the given order";
}

TEST(PlacementReasons, KeysGoFromOwnToPublic) {
  EXPECT_THAT(placement_keys(kCaller), ElementsAre("r:acct", "a:acct", "g:1", "g:4711", "p"));
}

TEST(PlacementReasons, VersionsCompareByNumber) {
  EXPECT_TRUE(version_at_least("2.10.0", "2.9.9"));
  EXPECT_TRUE(version_at_least("2.0.1", "2.0.1"));
  EXPECT_TRUE(version_at_least("2.0.1-rc1", "2.0.1"));
  EXPECT_FALSE(version_at_least("1.99.99", "2.0.0"));
  EXPECT_FALSE(version_at_least("banana", "0.0.1"));
}

}  // namespace
}  // namespace ee::cp
