#include "tests/support/tunnel_fixture.h"

namespace ee::cp {
namespace {

using standins::FakeRecord;
using standins::Fault;

using TunnelProvisioning = TunnelFixture;

// covers: S02_TUN_001
TEST_F(TunnelProvisioning, ARegistrationIsAnsweredWithAReadyTunnel) {
  const AgentRow asked = add(1);
  EXPECT_EQ(asked.tunnel_state, TunnelState::pending);
  EXPECT_EQ(asked.hostname, "vm-1.dev.example.com");

  const AgentRow row = service_.provision_now(asked, Seconds(8));

  EXPECT_EQ(row.tunnel_state, TunnelState::ready);
  expect_one_of_each(row);
  const auto told = tunnel_token_told(row);
  ASSERT_TRUE(told);
  const auto parts = standins::parse_tunnel_token(*told);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->tunnel_id, row.tunnel_id);
  EXPECT_GT(row.row_version, asked.row_version);
  EXPECT_FALSE(row.tunnel_next_attempt_at);
  EXPECT_EQ(fake_.calls(), 3);
  EXPECT_EQ(database_.values<std::string>("SELECT action FROM audit_log"), std::vector<std::string>{"tunnel_created"});
}

// covers: S02_TUN_002
TEST_F(TunnelProvisioning, ALostAnswerAfterAnyStepLeavesOneTunnelAndOneRecord) {
  for (const auto kind : {Fault::Kind::drop_before, Fault::Kind::drop_after})
    for (int call = 1; call <= 3; ++call) {
      fake_.reset();
      database_.execute("DELETE FROM agents");
      // The three tries of a PUT are all lost, so that the attempt ends there.
      fake_.inject({.kind = kind, .call_number = call});
      fake_.inject({.kind = kind, .call_number = call + 1});
      fake_.inject({.kind = kind, .call_number = call + 2});
      const AgentRow first = service_.provision_now(add(1), Seconds(8));
      EXPECT_EQ(first.tunnel_state, TunnelState::failed) << call;
      EXPECT_EQ(first.tunnel_attempts, 1);
      EXPECT_EQ(tunnel_token_told(first), std::nullopt);

      settle();

      const AgentRow row = get(first.id);
      EXPECT_EQ(row.tunnel_state, TunnelState::ready) << call;
      expect_one_of_each(row);
      remove(row.id);
      settle();
      expect_nothing_left();
    }
}

/// Stands for a process that dies: the claim stays in the row, nothing else is written.
TEST_F(TunnelProvisioning, ACrashBetweenTwoStepsIsRepairedByTheNextOwner) {
  for (int call = 1; call <= 3; ++call) {
    fake_.reset();
    database_.execute("DELETE FROM agents");
    const AgentRow asked = add(1);
    http_.before_each = [&](const HttpClientRequest&) {
      if (fake_.calls() + 1 == call) {
        // From here on this worker's writes fail: its claim is taken away, as after a long pause.
        database_.execute("UPDATE agents SET tunnel_next_attempt_at = tunnel_next_attempt_at - 60000");
      }
    };
    (void)service_.provision_now(asked, Seconds(8));
    http_.before_each = {};
    EXPECT_EQ(get(asked.id).tunnel_state, TunnelState::provisioning) << call;

    settle();

    expect_one_of_each(get(asked.id));
  }
}

// covers: S02_TUN_003
TEST_F(TunnelProvisioning, ATunnelOfThatNameIsAdopted) {
  const AgentRow asked = add(1);
  const std::string id = fake_.add_tunnel(tunnel_name("test", asked.id), clock_.now());
  const AgentRow row = service_.provision_now(asked, Seconds(8));
  EXPECT_EQ(row.tunnel_state, TunnelState::ready);
  EXPECT_EQ(row.tunnel_id, id);
  expect_one_of_each(row);
}

TEST_F(TunnelProvisioning, ATunnelThatVanishedIsMadeAgain) {
  const AgentRow asked = add(1);
  fake_.inject({.kind = Fault::Kind::status, .method = "PUT", .times = 3, .status = 503});
  const AgentRow first = service_.provision_now(asked, Seconds(8));
  ASSERT_TRUE(first.tunnel_id);
  ASSERT_EQ(first.tunnel_state, TunnelState::failed);
  ASSERT_TRUE(cloudflare_.delete_tunnel(*first.tunnel_id, {}));  // somebody tidied up by hand

  settle();

  const AgentRow row = get(asked.id);
  EXPECT_NE(row.tunnel_id, first.tunnel_id);
  expect_one_of_each(row);
}

// covers: S02_TUN_004
TEST_F(TunnelProvisioning, AForeignRecordIsLeftAloneAndAnotherLabelTaken) {
  const FakeRecord foreign{.id = {},
                           .type = "CNAME",
                           .name = "vm-1.dev.example.com",
                           .content = "elsewhere.example.org",
                           .comment = "hands off",
                           .created_at = {}};
  fake_.add_record(foreign);
  const AgentRow row = service_.provision_now(add(1), Seconds(8));
  EXPECT_EQ(row.tunnel_state, TunnelState::ready);
  EXPECT_EQ(row.hostname, "agent-000000000001.dev.example.com");
  ASSERT_EQ(fake_.records().size(), 2U);
  EXPECT_EQ(fake_.records()[0].content, "elsewhere.example.org");
  EXPECT_EQ(fake_.records()[0].comment, "hands off");
  EXPECT_EQ(fake_.records()[1].name, row.hostname);
  EXPECT_EQ(fake_.live_tunnels().front().ingress[0].hostname, row.hostname);
}

TEST_F(TunnelProvisioning, AnotherTypeOfRecordIsForeignToo) {
  fake_.add_record(
      {.id = {}, .type = "A", .name = "vm-1.dev.example.com", .content = "192.0.2.1", .comment = {}, .created_at = {}});
  const AgentRow row = service_.provision_now(add(1), Seconds(8));
  EXPECT_EQ(row.hostname, "agent-000000000001.dev.example.com");
  EXPECT_EQ(row.tunnel_state, TunnelState::ready);
}

TEST_F(TunnelProvisioning, OurOwnRecordIsUpdated) {
  const AgentRow asked = add(1);
  fake_.add_record({.id = {},
                    .type = "CNAME",
                    .name = *asked.hostname,
                    .content = "old.cfargotunnel.com",
                    .comment = dns_comment("test", asked.id),
                    .created_at = {}});
  const AgentRow row = service_.provision_now(asked, Seconds(8));
  expect_one_of_each(row);
}

}  // namespace
}  // namespace ee::cp
