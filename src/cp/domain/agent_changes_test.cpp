#include "cp/domain/agent_changes.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

const UtcTime kNow = from_unix_ms(1'767'225'600'000);

AgentRow deployed_agent() {
  AgentRow row;
  row.id = AgentId("0190a000-0000-7000-8000-000000000001");
  row.status = AgentStatus::deployed;
  row.health_status = HealthStatus::healthy;
  row.current_deployment_id = DeploymentId("d");
  row.deployed_app = "app";
  row.tunnel_state = TunnelState::ready;
  row.tunnel_name = "ee-dev-1";
  row.tunnel_id = "t";
  row.dns_record_id = "r";
  row.tunnel_token = Secret("token");
  row.hostname = "vm.example.com";
  row.signing_key = row.sealing_key = "key";
  return row;
}

// covers: S02_AGT_ST_005
TEST(AgentChanges, FailedAttestationUnroutesAndRemovesTheTunnel) {
  AgentRow row = deployed_agent();
  const auto effects =
      change_state(row, AgentEvent::attestation_failed, facts_of(row), kNow, {.reason_code = "attestation_expired"});
  ASSERT_TRUE(effects);
  EXPECT_TRUE(has(*effects, AgentEffect::notify_attestation_lost));
  EXPECT_EQ(row.status, AgentStatus::quarantined);
  EXPECT_EQ(row.quarantine_reason, QuarantineReason::attestation_failed);
  EXPECT_EQ(row.attestation_state, AttestationState::failed);
  EXPECT_EQ(row.attestation_error, "attestation_expired");
  EXPECT_EQ(row.tunnel_state, TunnelState::deleting);
  EXPECT_EQ(row.tunnel_next_attempt_at, kNow);
  EXPECT_EQ(row.hostname, "vm.example.com");  // the name stays reserved for its return
  EXPECT_FALSE(row.current_deployment_id);
}

TEST(AgentChanges, ATunnelNeverBegunIsNotDeleted) {
  AgentRow row = deployed_agent();
  row.tunnel_state = TunnelState::pending;
  row.tunnel_name.reset();
  row.tunnel_id.reset();
  row.dns_record_id.reset();
  ASSERT_TRUE(change_state(row, AgentEvent::attestation_failed, facts_of(row), kNow));
  EXPECT_EQ(row.tunnel_state, TunnelState::none);
  EXPECT_FALSE(row.tunnel_next_attempt_at);
}

TEST(AgentChanges, DeletionQueuesCleanUpAndEndsWithNothingHeld) {
  AgentRow row = deployed_agent();
  ASSERT_TRUE(
      change_state(row, AgentEvent::delete_forced, facts_of(row), kNow, {.delete_reason = DeleteReason::admin}));
  EXPECT_EQ(row.status, AgentStatus::deleting);
  EXPECT_EQ(row.cleanup_next_attempt_at, kNow);
  EXPECT_EQ(row.delete_reason, DeleteReason::admin);
  EXPECT_EQ(row.tunnel_id, "t");  // still needed to find what must go

  const UtcTime later = kNow + Seconds(60);
  ASSERT_TRUE(change_state(row, AgentEvent::cleanup_done, facts_of(row), later));
  EXPECT_EQ(row.status, AgentStatus::deleted);
  EXPECT_EQ(row.deleted_at, later);
  EXPECT_FALSE(row.tunnel_id || row.dns_record_id || row.tunnel_token || row.hostname || row.tunnel_name);
  EXPECT_TRUE(row.signing_key.empty() && row.sealing_key.empty());
  EXPECT_EQ(row.delete_reason, DeleteReason::admin);
}

TEST(AgentChanges, ResetRetriesTheTunnelAndAsksForEvidence) {
  AgentRow row = deployed_agent();
  row.current_deployment_id.reset();
  row.status = AgentStatus::undeployed;
  row.tunnel_state = TunnelState::failed;
  row.tunnel_attempts = 7;
  ASSERT_TRUE(change_state(row, AgentEvent::reset, facts_of(row), kNow));
  EXPECT_EQ(row.tunnel_state, TunnelState::pending);
  EXPECT_EQ(row.tunnel_attempts, 0);
  EXPECT_EQ(row.tunnel_next_attempt_at, kNow);
  EXPECT_EQ(row.attest_requested_at, kNow);
  EXPECT_EQ(row.idle_since_at, kNow);
}

TEST(AgentChanges, ClaimRaisesTheEpoch) {
  AgentRow row = deployed_agent();
  row.status = AgentStatus::undeployed;
  row.current_deployment_id.reset();
  row.assignment_epoch = 4;
  ASSERT_TRUE(change_state(row, AgentEvent::claim, facts_of(row), kNow, {.deployment = DeploymentId("new")}));
  EXPECT_EQ(row.assignment_epoch, 5);
  EXPECT_EQ(row.current_deployment_id, DeploymentId("new"));
}

TEST(AgentChanges, ARefusedEventLeavesTheRowAlone) {
  AgentRow row = deployed_agent();
  EXPECT_FALSE(change_state(row, AgentEvent::claim, facts_of(row), kNow));
  EXPECT_EQ(row.status, AgentStatus::deployed);
  EXPECT_EQ(row.assignment_epoch, 0);
}

}  // namespace
}  // namespace ee::cp
