#include "cp/service/agent_service.h"

#include <algorithm>

#include "tests/support/agent_fixture.h"

namespace ee::cp {
namespace {

using testing::make_agent;

const Actor kAdmin{.name = "admin:s1", .request_id = "r1", .client_address = "192.0.2.7", .is_admin = true};
const AgentScope kAll = AgentScope::everything();
const AccountId kAlice("0190a000-0000-7000-8000-00000000000a");

class AgentServiceTest : public AgentFixture {
 protected:
  std::vector<std::string> names(const AgentScope& scope, const AgentFilter& filter = {}) {
    std::vector<std::string> out;
    const auto page = service_.list(scope, filter, {});
    for (const auto& agent : page.value().items) out.push_back(agent.vm_name);
    return out;
  }
};
using Names = std::vector<std::string>;

TEST_F(AgentServiceTest, AnAgentIsShownWithWhatMemoryKnows) {
  const AgentRow row = add(1);
  EXPECT_FALSE(service_.get(kAll, row.id)->last_heartbeat_at);
  beat(row);
  const auto shown = service_.get(kAll, row.id);
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->last_heartbeat_at, clock_.now());
  EXPECT_TRUE(shown->verified);
  EXPECT_EQ(shown->rtmrs, std::vector<std::string>(4, std::string(96, 'b')));
}

TEST_F(AgentServiceTest, NoAnswerHoldsAKeyOrAToken) {
  AgentRow row = make_agent(1);
  row.tunnel_token = Secret("tunnel-token-value");
  row.signing_key = "signing-key-value";
  row.sealing_key = "sealing-key-value";
  row.hostname = "h";
  add(row);
  const auto shown = service_.get(kAll, row.id);
  const std::string admin = json::write(*shown);
  const std::string owner = json::write(static_cast<const AgentObject&>(*shown));
  for (const auto& text : {admin, owner}) {
    EXPECT_EQ(text.find("tunnel-token-value"), text.npos);
    EXPECT_EQ(text.find("ing-key-value"), text.npos);
  }
  for (const char* hidden : {"\"rtmrs\"", "\"tunnel_id\"", "\"boot_id\"", "\"tunnel_error\"", "\"launch_order_id\""}) {
    EXPECT_EQ(owner.find(hidden), owner.npos) << hidden;
    EXPECT_NE(admin.find(hidden), admin.npos) << hidden;
  }
  EXPECT_NE(owner.find(R"("placement_scope":"public")"), owner.npos);
}

TEST_F(AgentServiceTest, AScopeSeesItsOwnOnly) {
  AgentRow alices = make_agent(1);
  alices.account_id = kAlice;
  AgentRow both = make_agent(2);
  both.account_id = kAlice;
  both.github_owner_id = 4711;
  AgentRow organisations = make_agent(3);
  organisations.github_owner_id = 4711;
  add(alices);
  add(both);
  add(organisations);
  add(4);
  EXPECT_EQ(names(kAll), (Names{"vm-1", "vm-2", "vm-3", "vm-4"}));
  const AgentScope account{.account_ids = {kAlice}};
  const AgentScope github{.github_owner_ids = {4711, 4712}};
  const AgentScope mixed{.account_ids = {kAlice}, .github_owner_ids = {4711}};
  EXPECT_EQ(names(account), (Names{"vm-1", "vm-2"}));
  EXPECT_EQ(names(github), (Names{"vm-2", "vm-3"}));
  EXPECT_EQ(names(mixed), (Names{"vm-1", "vm-2", "vm-3"}));
  EXPECT_EQ(names({}), Names{});
  EXPECT_EQ(service_.get(account, organisations.id).error().code, ErrorCode::agent_not_found);
  EXPECT_EQ(service_.remove(account, organisations.id, true, DeleteReason::owner, kAdmin).error().code,
            ErrorCode::agent_not_found);
  EXPECT_TRUE(service_.get(mixed, organisations.id));
}

// covers: S02_OWN_005
TEST_F(AgentServiceTest, PagesOfAMixedScopeNeitherRepeatNorLose) {
  for (int i = 1; i <= 30; ++i) {
    AgentRow row = make_agent(i * 10);
    if (i % 2 == 0) row.account_id = kAlice;
    if (i % 3 == 0) row.github_owner_id = 4711;
    add(row);
  }
  const AgentScope scope{.account_ids = {kAlice}, .github_owner_ids = {4711}};
  std::vector<std::string> seen;
  PageRequest request{.limit = 4, .after = {}};
  for (int pages = 0; pages < 20; ++pages) {
    const auto page = service_.list(scope, {}, request);
    ASSERT_TRUE(page);
    for (const auto& agent : page->items) seen.push_back(agent.id);
    AgentRow between = make_agent(pages * 10 + 5);
    between.account_id = kAlice;
    add(between);
    if (!page->next) break;
    request.after = page->next;
  }
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
  for (int i = 1; i <= 30; ++i)
    EXPECT_EQ(std::ranges::find(seen, make_agent(i * 10).id.str()) != seen.end(), i % 2 == 0 || i % 3 == 0) << i;
}

// covers: S02_OWN_006
TEST_F(AgentServiceTest, DeletionNeedsForceWhileSomethingRunsAndMayBeAskedForTwice) {
  AgentRow row = make_agent(1);
  row.status = AgentStatus::deployed;
  row.current_deployment_id = DeploymentId("d");
  add(row);
  beat(row);
  EXPECT_EQ(service_.remove(kAll, row.id, false, DeleteReason::admin, kAdmin).error().code,
            ErrorCode::agent_has_deployment);
  EXPECT_EQ(get(row.id).status, AgentStatus::deployed);
  EXPECT_EQ(audited(), Names{});

  EXPECT_TRUE(service_.remove(kAll, row.id, true, DeleteReason::admin, kAdmin));
  EXPECT_TRUE(service_.remove(kAll, row.id, false, DeleteReason::owner, kAdmin));
  const AgentRow deleting = get(row.id);
  EXPECT_EQ(deleting.status, AgentStatus::deleting);
  EXPECT_EQ(deleting.delete_reason, DeleteReason::admin);
  EXPECT_EQ(audited(), Names{"agent_deleted"});
  EXPECT_EQ(database_.values<std::string>("SELECT state FROM agent_control_credentials"), Names{"revoked"});
  EXPECT_EQ(live_.size(), 0U);
  EXPECT_EQ(directory_.live_count(), 0U);
  EXPECT_GE(woken_, 1);

  ASSERT_TRUE(tunnels_.run_worker({}));
  EXPECT_EQ(get(row.id).status, AgentStatus::deleted);
  EXPECT_EQ(service_.remove(kAll, row.id, true, DeleteReason::admin, kAdmin).error().code, ErrorCode::agent_not_found);
  EXPECT_EQ(service_.get(kAll, row.id).error().code, ErrorCode::agent_not_found);
}

TEST_F(AgentServiceTest, ResetFreesAndAsksForEvidence) {
  AgentRow row = make_agent(1);
  row.status = AgentStatus::quarantined;
  row.quarantine_reason = QuarantineReason::agent_lost;
  row.tunnel_state = TunnelState::failed;
  row.tunnel_attempts = 5;
  add(row);
  const auto shown = service_.reset(kAll, row.id, true, kAdmin);
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->status, AgentStatus::undeployed);
  EXPECT_EQ(shown->tunnel_state, TunnelState::pending);
  EXPECT_EQ(get(row.id).attest_requested_at, clock_.now());
  EXPECT_EQ(audited(), Names{"agent_reset"});
  EXPECT_EQ(directory_.find(key_of(row.id))->status, AgentStatus::undeployed);
}

// covers: S02_AGT_ST_004
TEST_F(AgentServiceTest, ResetLeavesAnAttestationQuarantine) {
  AgentRow row = make_agent(1);
  row.status = AgentStatus::quarantined;
  row.quarantine_reason = QuarantineReason::attestation_failed;
  row.attestation_state = AttestationState::failed;
  add(row);
  const auto shown = service_.reset(kAll, row.id, true, kAdmin);
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->status, AgentStatus::quarantined);
  EXPECT_FALSE(shown->verified);
  EXPECT_TRUE(get(row.id).attest_requested_at);
}

TEST_F(AgentServiceTest, ResetOfADeletingAgentIsRefused) {
  const AgentRow row = add(1);
  ASSERT_TRUE(service_.remove(kAll, row.id, false, DeleteReason::admin, kAdmin));
  EXPECT_EQ(service_.reset(kAll, row.id, true, kAdmin).error().code, ErrorCode::agent_deleting);
}

TEST_F(AgentServiceTest, DrainTakesTheAgentOutOfPlacementUntilUndrained) {
  AgentRow row = make_agent(1);
  row.account_id = kAlice;
  row.placement_scope = PlacementScope::private_;
  row.placement_key = "a:" + kAlice.str();
  add(row);
  for (int twice = 0; twice < 2; ++twice) {
    EXPECT_TRUE(service_.set_draining(kAll, row.id, {.draining = true, .reason = "maintenance"}, kAdmin)->draining);
    EXPECT_EQ(get(row.id).placement_key, "x");
  }
  EXPECT_TRUE(directory_.find(key_of(row.id))->draining);
  EXPECT_FALSE(service_.set_draining(kAll, row.id, {.draining = false}, kAdmin)->draining);
  EXPECT_EQ(get(row.id).placement_key, "a:" + kAlice.str());
  EXPECT_FALSE(get(row.id).drain_reason);
  EXPECT_EQ(audited(), (Names{"agent_drained", "agent_drained"}));
}

TEST_F(AgentServiceTest, UndeployOfAnIdleAgentChangesNothing) {
  const AgentRow row = add(1);
  EXPECT_EQ(service_.undeploy(kAll, row.id, "because", kAdmin), false);
  EXPECT_EQ(audited(), Names{});
  EXPECT_EQ(get(row.id).row_version, 1);
}

// covers: S02_AGT_ST_005
TEST_F(AgentServiceTest, FailedAttestationIsOneTransactionAndWakesTheTunnelWorker) {
  AgentRow row = make_agent(1);
  row.tunnel_state = TunnelState::ready;
  row.tunnel_name = "ee-test-x";
  row.tunnel_id = "0190a000-0000-4000-8000-000000000099";
  add(row);
  const auto failed = database_->write<AgentRow>(
      [&](db::Transaction& tx) { return service_.fail_attestation(tx, row, "mrtd_untrusted", {.name = "agent:1"}); });
  ASSERT_TRUE(failed);
  service_.published(*failed);
  const AgentRow stored = get(row.id);
  EXPECT_EQ(stored.status, AgentStatus::quarantined);
  EXPECT_EQ(stored.attestation_state, AttestationState::failed);
  EXPECT_EQ(stored.attestation_error, "mrtd_untrusted");
  EXPECT_EQ(stored.tunnel_state, TunnelState::deleting);
  EXPECT_EQ(woken_, 1);
  EXPECT_EQ(audited(), Names{"agent_quarantined"});
}

}  // namespace
}  // namespace ee::cp
