#include "cp/domain/identity_rules.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

const UtcTime kNow = from_unix_ms(1'767'225'600'000);
const AccountId kAlice("0190a000-0000-7000-8000-00000000000a");
const AccountId kBob("0190a000-0000-7000-8000-00000000000b");

AgentRow agent() {
  AgentRow row;
  row.vm_name = "vm-1";
  row.node_size = "tiny";
  row.datacenter = "gcp:us-a";
  row.mrtd = "aa";
  row.registered_at = kNow - Seconds(1000);
  return row;
}
IdentityClaim claim() { return {.node_size = "tiny", .datacenter = "gcp:us-a", .mrtd = "aa"}; }
TokenOutcome redeemed_by(const AccountId& account) {
  return {.kind = TokenOutcome::Kind::redeemed, .owner = {.account_id = account}};
}
constexpr IdentitySettings kOpen{.require_bootstrap_token = false};
constexpr IdentitySettings kStrict{.require_bootstrap_token = true};

TEST(IdentityRules, NewAgentNeedsATokenWhereTheyAreRequired) {
  auto wanted = claim();
  EXPECT_EQ(decide_identity(nullptr, {}, wanted, kOpen, kNow), IdentityRule::new_agent);
  EXPECT_EQ(decide_identity(nullptr, {}, wanted, kStrict, kNow).error().code, ErrorCode::bootstrap_token_required);
  wanted.token.kind = TokenOutcome::Kind::refused;
  EXPECT_EQ(decide_identity(nullptr, {}, wanted, kOpen, kNow).error().code, ErrorCode::invalid_bootstrap_token);
  wanted.token = redeemed_by(kAlice);
  EXPECT_EQ(decide_identity(nullptr, {}, wanted, kStrict, kNow), IdentityRule::new_agent);
}

// covers: S02_AGT_REG_009
TEST(IdentityRules, R1RefusesANameThatIsBeingFreed) {
  auto existing = agent();
  existing.status = AgentStatus::deleting;
  auto wanted = claim();
  wanted.previous_credential_valid = true;
  const auto refused = decide_identity(&existing, {}, wanted, kOpen, kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::vm_name_in_use);
  EXPECT_EQ(refused.error().retry_after, Seconds(10));
}

TEST(IdentityRules, R2AcceptsThePreviousCredentialOfAnOwnedAgent) {
  auto existing = agent();
  existing.account_id = kAlice;
  auto wanted = claim();
  wanted.previous_credential_valid = true;
  EXPECT_EQ(decide_identity(&existing, kNow, wanted, kStrict, kNow), IdentityRule::previous_credential);
}

TEST(IdentityRules, R3AcceptsATokenOfTheSameOwnerAndOrder) {
  auto existing = agent();
  existing.account_id = kAlice;
  auto wanted = claim();
  wanted.token = redeemed_by(kAlice);
  EXPECT_EQ(decide_identity(&existing, kNow, wanted, kStrict, kNow), IdentityRule::same_owner_token);
  wanted.token = redeemed_by(kBob);
  EXPECT_EQ(decide_identity(&existing, kNow, wanted, kStrict, kNow).error().code, ErrorCode::agent_identity_mismatch);
  wanted.token = redeemed_by(kAlice);
  existing.launch_order_id = "order-1";
  EXPECT_EQ(decide_identity(&existing, kNow, wanted, kStrict, kNow).error().code, ErrorCode::vm_name_in_use);
  wanted.token.owner.launch_order_id = "order-1";
  EXPECT_EQ(decide_identity(&existing, kNow, wanted, kStrict, kNow), IdentityRule::same_owner_token);
}

TEST(IdentityRules, R3ComparesTheGitHubOwnerByNumber) {
  auto existing = agent();
  existing.github_owner_id = 4711;
  existing.github_owner = "acme";
  auto wanted = claim();
  wanted.token = {.kind = TokenOutcome::Kind::redeemed, .owner = {.github_owner_id = 4712, .github_owner = "acme"}};
  EXPECT_EQ(decide_identity(&existing, kNow, wanted, kStrict, kNow).error().code, ErrorCode::agent_identity_mismatch);
  wanted.token.owner = {.github_owner_id = 4711, .github_owner = "acme-renamed"};
  EXPECT_EQ(decide_identity(&existing, kNow, wanted, kStrict, kNow), IdentityRule::same_owner_token);
}

TEST(IdentityRules, R4TakesOverOnlyAnAbandonedAgentWithoutOwner) {
  struct Row {
    const char* what;
    bool owned;
    bool tokens_required;
    std::optional<Seconds> last_beat_ago;
    AttestationState attestation;
    bool taken;
  };
  using A = AttestationState;
  const Row rows[] = {
      {"beats", false, false, Seconds(10), A::verified, false},
      {"at the limit", false, false, Seconds(120), A::verified, false},
      {"silent", false, false, Seconds(121), A::verified, true},
      {"no heartbeat since its registration", false, false, Seconds(1001), A::verified, true},
      {"none at all", false, false, std::nullopt, A::verified, true},
      {"beats, attestation failed", false, false, Seconds(1), A::failed, true},
      {"silent, owned", true, false, Seconds(500), A::verified, false},
      {"silent, tokens required", false, true, Seconds(500), A::verified, false},
  };
  for (const Row& row : rows) {
    auto existing = agent();
    if (row.owned) existing.account_id = kAlice;
    existing.attestation_state = row.attestation;
    const std::optional<UtcTime> beat = row.last_beat_ago ? std::optional(kNow - *row.last_beat_ago) : std::nullopt;
    const auto result = decide_identity(&existing, beat, claim(), row.tokens_required ? kStrict : kOpen, kNow);
    if (row.taken) {
      EXPECT_EQ(result, IdentityRule::takeover) << row.what;
    } else {
      ASSERT_FALSE(result) << row.what;  // R5
      EXPECT_EQ(result.error().code, ErrorCode::vm_name_in_use) << row.what;
    }
  }
}

TEST(IdentityRules, R4DoesNotTakeAnAgentOverBecauseTheClockWentBack) {
  auto existing = agent();
  existing.registered_at = kNow + Seconds(3600);
  const auto code = [&](UtcTime heartbeat) {
    const auto rule = decide_identity(&existing, heartbeat, claim(), kOpen, kNow);
    return rule ? "taken" : std::string(slug(rule.error().code));
  };
  EXPECT_EQ(code(kNow - Seconds(10)), "vm_name_in_use");
  EXPECT_EQ(code(kNow - Seconds(121)), "taken");
}

TEST(IdentityRules, RefusedTokenIsOneCodeAlsoForAnExistingAgent) {
  const auto existing = agent();
  auto wanted = claim();
  wanted.token.kind = TokenOutcome::Kind::refused;
  EXPECT_EQ(decide_identity(&existing, {}, wanted, kOpen, kNow).error().code, ErrorCode::invalid_bootstrap_token);
}

// covers: S02_AGT_REG_011
TEST(IdentityRules, SizeAndDatacenterMustStay) {
  const auto existing = agent();
  auto wanted = claim();
  wanted.previous_credential_valid = true;
  wanted.node_size = "llm";
  EXPECT_EQ(decide_identity(&existing, {}, wanted, kStrict, kNow).error().code, ErrorCode::agent_identity_mismatch);
  wanted = claim();
  wanted.previous_credential_valid = true;
  wanted.datacenter = "gcp:us-b";
  EXPECT_EQ(decide_identity(&existing, {}, wanted, kStrict, kNow).error().code, ErrorCode::agent_identity_mismatch);
}

TEST(IdentityRules, AnotherMrtdOnlyAfterAFailedAttestation) {
  auto existing = agent();
  auto wanted = claim();
  wanted.previous_credential_valid = true;
  wanted.mrtd = "bb";
  for (const auto state : {AttestationState::verified, AttestationState::stale}) {
    existing.attestation_state = state;
    EXPECT_EQ(decide_identity(&existing, {}, wanted, kStrict, kNow).error().code, ErrorCode::mrtd_changed);
  }
  existing.attestation_state = AttestationState::failed;
  EXPECT_EQ(decide_identity(&existing, {}, wanted, kStrict, kNow), IdentityRule::previous_credential);
}

}  // namespace
}  // namespace ee::cp
