#include "tests/support/tunnel_fixture.h"

namespace ee::cp {
namespace {

using standins::Fault;
using testing::make_agent;

using TunnelWorker = TunnelFixture;

// covers: S02_TUN_005
TEST_F(TunnelWorker, ARateLimitStopsAllCallsForAsLongAsItSays) {
  fake_.set_rate_limit(0, 120);
  const AgentRow first = service_.provision_now(add(1), Seconds(8));
  EXPECT_EQ(first.tunnel_state, TunnelState::pending);
  EXPECT_EQ(first.tunnel_attempts, 0);
  EXPECT_EQ(fake_.calls(), 1);

  (void)service_.provision_now(add(2), Seconds(8));
  ASSERT_TRUE(service_.run_worker({}));
  clock_.advance(Seconds(119));
  ASSERT_TRUE(service_.run_worker({}));
  EXPECT_EQ(fake_.calls(), 1);

  fake_.clear_rate_limit();
  clock_.advance(Seconds(3));
  settle();
  EXPECT_EQ(get(first.id).tunnel_state, TunnelState::ready);
  EXPECT_EQ(fake_.live_tunnels().size(), 2U);
}

// covers: S02_TUN_006
TEST_F(TunnelWorker, ARefusedTokenOpensTheCircuit) {
  config_.api_token = Secret("revoked");
  const AgentRow first = add(1);
  (void)service_.provision_now(first, Seconds(8));
  for (int i = 2; i <= 30; ++i) (void)service_.provision_now(add(i), Seconds(8));
  ASSERT_TRUE(service_.run_worker({}));
  EXPECT_EQ(fake_.calls(), 1);
  EXPECT_TRUE(cloudflare_.status().circuit_closes_at);
  EXPECT_EQ(get(first.id).tunnel_state, TunnelState::pending);
  EXPECT_EQ(get(first.id).tunnel_error, "bad_token_10000");

  config_.api_token = Secret(fake_.config().api_token);
  clock_.advance(Seconds(301));
  EXPECT_FALSE(cloudflare_.status().circuit_closes_at);
  settle();
  EXPECT_EQ(fake_.live_tunnels().size(), 30U);
}

// covers: S02_TUN_007
TEST_F(TunnelWorker, AnAnswerThatIsNoneIsTransient) {
  for (const auto kind : {Fault::Kind::success_false, Fault::Kind::malformed, Fault::Kind::oversized}) {
    fake_.reset();
    database_.execute("DELETE FROM agents");
    fake_.inject({.kind = kind, .method = "POST", .path_contains = "cfd_tunnel"});
    const AgentRow first = service_.provision_now(add(1), Seconds(8));
    EXPECT_EQ(first.tunnel_state, TunnelState::failed);
    EXPECT_EQ(first.tunnel_attempts, 1);
    settle();
    expect_one_of_each(get(first.id));
  }
}

// covers: S02_TUN_008
TEST_F(TunnelWorker, AConnectedTunnelIsDisconnectedAndDeleted) {
  const AgentRow row = service_.provision_now(add(1), Seconds(8));
  ASSERT_TRUE(fake_.set_connections(*row.tunnel_id, 4));
  int reconnects = 1;
  http_.before_each = [&](const HttpClientRequest& request) {  // cloudflared is quicker than we are, once
    if (request.method == "DELETE" && request.url.ends_with(*row.tunnel_id) && reconnects-- > 0)
      fake_.set_connections(*row.tunnel_id, 4);
  };
  remove(row.id);
  ASSERT_TRUE(service_.run_worker({}));
  EXPECT_EQ(get(row.id).status, AgentStatus::deleting);
  EXPECT_EQ(get(row.id).cleanup_next_attempt_at, clock_.now() + Seconds(10));
  EXPECT_EQ(get(row.id).cleanup_attempts, 0);
  clock_.advance(Seconds(10));
  ASSERT_TRUE(service_.run_worker({}));
  EXPECT_EQ(get(row.id).status, AgentStatus::deleted);
  expect_nothing_left();
}

// covers: S02_TUN_009
TEST_F(TunnelWorker, WhatIsAlreadyGoneCountsAsDeleted) {
  const AgentRow row = service_.provision_now(add(1), Seconds(8));
  ASSERT_TRUE(cloudflare_.delete_record(*row.dns_record_id, {}));
  ASSERT_TRUE(cloudflare_.delete_tunnel(*row.tunnel_id, {}));
  remove(row.id);
  ASSERT_TRUE(service_.run_worker({}));
  const AgentRow deleted = get(row.id);
  EXPECT_EQ(deleted.status, AgentStatus::deleted);
  EXPECT_FALSE(deleted.tunnel_id || deleted.dns_record_id || deleted.tunnel_token || deleted.hostname);
}

// covers: S02_TUN_010
TEST_F(TunnelWorker, ADeletionDuringProvisioningLeavesNothing) {
  for (int call = 1; call <= 3; ++call) {
    for (const bool cleaned_at_once : {false, true}) {
      fake_.reset();
      database_.execute("DELETE FROM agents");
      const AgentRow asked = add(1);
      http_.before_each = [&](const HttpClientRequest&) {
        if (fake_.calls() + 1 != call || get(asked.id).status == AgentStatus::deleting) return;
        http_.before_each = {};
        remove(asked.id);
        if (cleaned_at_once) {
          ASSERT_TRUE(service_.run_worker({}));  // before the step takes effect
        }
      };
      (void)service_.provision_now(asked, Seconds(8));
      http_.before_each = {};
      settle();
      EXPECT_EQ(get(asked.id).status, AgentStatus::deleted) << call;
      expect_nothing_left();
    }
  }
}

TEST_F(TunnelWorker, AHeartbeatDuringProvisioningDoesNotDisturbIt) {
  const AgentRow asked = add(1);
  database_.execute("UPDATE agents SET health_status='unknown'");
  http_.before_each = [&](const HttpClientRequest&) {
    database_.execute("UPDATE agents SET health_status='healthy', row_version=row_version+1");
  };
  const AgentRow row = service_.provision_now(asked, Seconds(8));
  EXPECT_EQ(row.tunnel_state, TunnelState::ready);
  EXPECT_EQ(row.health_status, HealthStatus::healthy);
  expect_one_of_each(row);
}

// covers: S02_AGT_ST_005
TEST_F(TunnelWorker, LostTrustRemovesThePublicNameAndAReturnBringsItBack) {
  const AgentRow row = service_.provision_now(add(1), Seconds(8));
  change(row.id, AgentEvent::attestation_failed, {.reason_code = "mrtd_untrusted"});
  settle();
  const AgentRow lost = get(row.id);
  EXPECT_EQ(lost.tunnel_state, TunnelState::none);
  EXPECT_EQ(lost.hostname, row.hostname);
  EXPECT_EQ(lost.status, AgentStatus::quarantined);
  expect_nothing_left();

  ASSERT_TRUE(database_->run_write([&](db::Transaction& tx) -> Result<void> {
    const AgentRow before = agents_.get(tx, row.id).value().value();
    AgentRow after = before;
    EXPECT_TRUE(change_state(after, AgentEvent::registered_idle, facts_of(before), clock_.now()));
    after.attestation_state = AttestationState::verified;
    if (auto reserved = service_.reserve(tx, after, clock_.now()); !reserved) return reserved;
    EXPECT_TRUE(agents_.update(tx, before, after, clock_.now()).value());
    return {};
  }));
  settle();
  const AgentRow back = get(row.id);
  EXPECT_EQ(back.tunnel_state, TunnelState::ready);
  EXPECT_EQ(back.hostname, row.hostname);
  expect_one_of_each(back);
}

// covers: S02_TUN_012
TEST_F(TunnelWorker, TheTunnelBeyondTheLimitStaysPendingWithoutACall) {
  settings_.max_tunnels = 2;
  (void)service_.provision_now(add(1), Seconds(8));
  (void)service_.provision_now(add(2), Seconds(8));
  const int before = fake_.calls();
  const AgentRow third = service_.provision_now(add(3), Seconds(8));
  EXPECT_EQ(third.tunnel_state, TunnelState::pending);
  EXPECT_EQ(third.tunnel_error, "tunnel_quota");
  EXPECT_TRUE(third.hostname);  // reserved: the agent works by pull
  EXPECT_EQ(fake_.calls(), before);

  remove(make_agent(1).id);
  settle();
  EXPECT_EQ(get(third.id).tunnel_state, TunnelState::ready);
}

// covers: S02_AGT_REG_015
TEST_F(TunnelWorker, ACloudflareOutageIsFinishedByTheWorker) {
  fake_.inject({.kind = Fault::Kind::status, .times = 1000, .status = 503});
  const AgentRow row = service_.provision_now(add(1), Seconds(8));
  EXPECT_EQ(row.tunnel_state, TunnelState::failed);
  for (int i = 0; i < 4; ++i) {
    clock_.advance(Seconds(600));
    ASSERT_TRUE(service_.run_worker({}));
  }
  EXPECT_GE(get(row.id).tunnel_attempts, 4);
  fake_.clear_faults();
  clock_.advance(Seconds(3600));
  settle();
  expect_one_of_each(get(row.id));
}

TEST_F(TunnelWorker, BackOffDoublesToAnHour) {
  std::int64_t last = 0;
  for (int attempts = 1; attempts <= 12; ++attempts) {
    const auto middle = std::min<std::int64_t>(3'600'000, 10'000LL << attempts);
    for (int i = 0; i < 50; ++i) {
      const auto wait = tunnel_backoff(attempts, random_).count();
      EXPECT_GE(wait, middle * 8 / 10);
      EXPECT_LE(wait, middle * 12 / 10);
    }
    EXPECT_GE(middle, last);
    last = middle;
  }
  EXPECT_LE(tunnel_backoff(1'000'000, random_), Seconds(4320));
}

// covers: S02_TUN_011
TEST_F(TunnelWorker, TheSweepDeletesOnlyOldOrphansOfOursSeenTwice) {
  settings_.orphan_sweep = OrphanSweep::delete_;
  const AgentRow live = service_.provision_now(add(1), Seconds(8));
  const UtcTime old = clock_.now();
  const AgentId gone("0190a000-0000-7000-8000-00000000dead");
  fake_.add_tunnel(tunnel_name("test", gone), old);
  fake_.add_tunnel(tunnel_name("test-2", gone), old);  // another cluster, whose name begins with ours
  fake_.add_tunnel(control_plane_tunnel_name("test"), old);
  fake_.add_tunnel("somebody-elses", old);
  const auto record = [&](const std::string& name, const std::string& comment) {
    fake_.add_record({.id = {},
                      .type = "CNAME",
                      .name = name,
                      .content = "x.cfargotunnel.com",
                      .comment = comment,
                      .created_at = old});
  };
  record("ours.dev.example.com", dns_comment("test", gone));
  record("theirs.dev.example.com", dns_comment("test-2", gone));
  record("foreign.dev.example.com", "");
  clock_.advance(Seconds(3700));
  const AgentId young("0190a000-0000-7000-8000-00000000beef");
  fake_.add_tunnel(tunnel_name("test", young), clock_.now());

  auto summary = service_.orphans().sweep({});
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->value("tunnels"), 1);
  EXPECT_EQ(summary->value("records"), 1);
  EXPECT_EQ(summary->value("deleted"), 0);
  EXPECT_EQ(fake_.live_tunnels().size(), 6U);

  summary = service_.orphans().sweep({});
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->value("deleted"), 2);
  EXPECT_EQ(fake_.live_tunnels().size(), 5U);
  EXPECT_EQ(fake_.records().size(), 3U);
  for (const auto& tunnel : fake_.live_tunnels()) EXPECT_NE(tunnel.name, tunnel_name("test", gone));
  EXPECT_EQ(get(live.id).tunnel_state, TunnelState::ready);
}

TEST_F(TunnelWorker, TheSweepOnlyReportsUnlessToldToDelete) {
  fake_.add_tunnel(tunnel_name("test", AgentId("0190a000-0000-7000-8000-00000000dead")), clock_.now());
  clock_.advance(Seconds(7200));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(service_.orphans().sweep({})->value("tunnels"), 1);
  EXPECT_EQ(fake_.live_tunnels().size(), 1U);
  EXPECT_EQ(calls("DELETE"), 0);
  settings_.restore_hold = true;
  EXPECT_EQ(service_.orphans().sweep({})->notes, std::vector<std::string>{"restore_hold"});
}

// covers: S02_TUN_014
TEST_F(TunnelWorker, ALongListingIsReadToItsEnd) {
  for (int i = 0; i < 250; ++i) fake_.add_tunnel("ee-test-" + std::to_string(i), clock_.now());
  const auto tunnels = cloudflare_.list_tunnels("ee-test-", {});
  ASSERT_TRUE(tunnels);
  EXPECT_EQ(tunnels->size(), 250U);
  EXPECT_EQ(fake_.calls(), 3);
}

TEST_F(TunnelWorker, AdminsDeleteOnlyOrphans) {
  const AgentRow live = service_.provision_now(add(1), Seconds(8));
  const std::string orphan =
      fake_.add_tunnel(tunnel_name("test", AgentId("0190a000-0000-7000-8000-00000000dead")), clock_.now());
  clock_.advance(Seconds(7200));
  const std::vector<std::string> asked{orphan, *live.tunnel_id, "unknown"};
  const auto done = service_.orphans().remove(asked, "admin:s", {});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->deleted, std::vector<std::string>{orphan});
  EXPECT_EQ(done->skipped.size(), 2U);
  EXPECT_EQ(fake_.live_tunnels().size(), 1U);
  const auto resources = service_.orphans().list({});
  ASSERT_TRUE(resources);
  EXPECT_EQ(resources->tunnels.front().vm_name, "vm-1");
  EXPECT_EQ(resources->tunnels.front().owner, ResourceOwner::agent);
}

TEST_F(TunnelWorker, AProtectedTunnelIsNeverTouched) {
  const AgentRow asked = add(1);
  settings_.protected_tunnels = {tunnel_name("test", asked.id)};
  fake_.add_tunnel(tunnel_name("test", asked.id), clock_.now());
  EXPECT_EQ(service_.provision_now(asked, Seconds(8)).tunnel_state, TunnelState::failed);
  remove(asked.id);
  settle();
  EXPECT_EQ(fake_.live_tunnels().size(), 1U);
}

// covers: S02_TUN_013
TEST_F(TunnelWorker, WithoutConfigurationThereIsAPlaceholderAndNoCall) {
  settings_.configured = false;
  const AgentRow row = service_.provision_now(add(1), Seconds(8));
  EXPECT_EQ(row.tunnel_state, TunnelState::placeholder);
  EXPECT_EQ(row.hostname, "vm-1.pending.invalid");
  EXPECT_EQ(tunnel_token_told(row), "placeholder-" + row.id.str());
  remove(row.id);
  settle();
  EXPECT_EQ(get(row.id).status, AgentStatus::deleted);
  EXPECT_EQ(fake_.calls(), 0);
}

TEST_F(TunnelWorker, ModeNoneUsesTheDirectUrl) {
  settings_.mode = TunnelMode::none;
  AgentRow row = make_agent(1);
  row.direct_url = "http://127.0.0.1:8088";
  row = add(row);
  EXPECT_EQ(row.tunnel_state, TunnelState::none);
  EXPECT_EQ(row.hostname, "127.0.0.1:8088");
  EXPECT_FALSE(add(2).hostname);
  EXPECT_EQ(fake_.calls(), 0);
}

TEST_F(TunnelWorker, ReservedAndTakenLabelsAreAvoided) {
  AgentRow www = make_agent(1);
  www.vm_name = "www";
  EXPECT_EQ(add(www).hostname, "agent-000000000001.dev.example.com");
  AgentRow second = make_agent(2);
  database_.execute("UPDATE agents SET hostname='vm-2.dev.example.com'");
  EXPECT_EQ(add(second).hostname, "agent-000000000002.dev.example.com");
}

// covers: S02_JOB_001
TEST_F(TunnelWorker, AStoppedWorkerGoesOnLater) {
  for (int i = 1; i <= 5; ++i) add(i);
  std::stop_source stop;
  http_.before_each = [&](const HttpClientRequest&) {
    if (fake_.calls() >= 4) stop.request_stop();
  };
  const auto summary = service_.run_worker(stop.get_token());
  http_.before_each = {};
  ASSERT_TRUE(summary);
  EXPECT_TRUE(summary->stopped);
  settle();
  EXPECT_EQ(fake_.live_tunnels().size(), 5U);
  EXPECT_EQ(fake_.records().size(), 5U);
}

TEST_F(TunnelWorker, RegistrationsBeyondTheBurstStayPendingWithoutWaiting) {
  clock_.set_auto_advance(false);  // a wait would hang the test
  int ready = 0;
  for (int i = 1; i <= 30; ++i)
    ready += service_.provision_now(add(i), Seconds(8)).tunnel_state == TunnelState::ready ? 1 : 0;
  EXPECT_EQ(ready, 16);  // 50 calls, 3 each
  EXPECT_EQ(fake_.calls(), 50);
  clock_.set_auto_advance(true);
  settle();
  EXPECT_EQ(fake_.live_tunnels().size(), 30U);
}

}  // namespace
}  // namespace ee::cp
