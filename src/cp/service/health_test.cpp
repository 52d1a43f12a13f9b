#include "cp/service/health.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"

namespace ee::cp {
namespace {

struct Facts {
  bool writer_alive = true;
  Milliseconds since_write_probe{0};
  Milliseconds settings_stale_for{0};
  bool jobs_ok = true;
  bool attestation_on = true;
  bool attestation_fresh = true;
  Milliseconds loop_lag{0};
  Milliseconds shedding_for{0};
  std::int64_t disk_free_bytes = 1LL << 40;
};

Health health_of(Facts& facts, Clock& clock, bool attestation_required) {
  return Health({.version = "1", .git_sha = "abc", .env = "dev", .boot_id = "b"},
                {.writer_alive = [&] { return facts.writer_alive; },
                 .since_write_probe = [&] { return facts.since_write_probe; },
                 .settings_stale_for = [&] { return facts.settings_stale_for; },
                 .jobs_ok = [&] { return facts.jobs_ok; },
                 .attestation_on = [&] { return facts.attestation_on; },
                 .attestation_fresh = [&] { return facts.attestation_fresh; },
                 .loop_lag = [&] { return facts.loop_lag; },
                 .shedding_for = [&] { return facts.shedding_for; },
                 .disk_free_bytes = [&] { return facts.disk_free_bytes; },
                 .attestation_required = attestation_required},
                clock);
}

using Reasons = std::vector<std::string>;

// covers: S05_OPS_01
TEST(Health, ReadyNamesEveryReason) {
  FakeClock clock;
  Facts facts;
  Health health = health_of(facts, clock, true);
  EXPECT_EQ(health.ready().reasons, Reasons{"starting"});
  health.set_started();
  EXPECT_TRUE(health.ready().ready);

  facts.since_write_probe = Milliseconds(30'001);
  EXPECT_EQ(health.ready().reasons, Reasons{"database_unavailable"});
  facts = {};
  facts.settings_stale_for = Milliseconds(600'001);
  EXPECT_EQ(health.ready().reasons, Reasons{"settings_stale"});
  facts = {};
  facts.disk_free_bytes = 256LL * 1024 * 1024 - 1;
  EXPECT_EQ(health.ready().reasons, Reasons{"disk_low"});
  facts = {};
  facts.attestation_fresh = false;
  EXPECT_EQ(health.ready().reasons, Reasons{"attestation_unavailable"});
  facts = {};
  facts.shedding_for = Milliseconds(10'001);
  EXPECT_EQ(health.ready().reasons, Reasons{"overloaded"});
  facts = {};
  health.drain();
  EXPECT_EQ(health.ready().reasons, Reasons{"draining"});
  EXPECT_EQ(health.health().status, "draining");
}

TEST(Health, AnInvalidPolicyAndAnotherClockAreToldWithoutTakingItOutOfService) {
  FakeClock clock;
  Facts facts;
  bool valid = true;
  bool agrees = true;
  Health health({.version = "1", .git_sha = "abc", .env = "dev", .boot_id = "b"},
                {.writer_alive = [&] { return facts.writer_alive; },
                 .since_write_probe = [&] { return facts.since_write_probe; },
                 .settings_stale_for = [&] { return facts.settings_stale_for; },
                 .jobs_ok = [&] { return facts.jobs_ok; },
                 .policy_valid = [&] { return valid; },
                 .clock_agrees = [&] { return agrees; },
                 .attestation_on = [&] { return facts.attestation_on; },
                 .attestation_fresh = [&] { return facts.attestation_fresh; },
                 .loop_lag = [&] { return facts.loop_lag; },
                 .shedding_for = [&] { return facts.shedding_for; },
                 .disk_free_bytes = [&] { return facts.disk_free_bytes; }},
                clock);
  health.set_started();
  EXPECT_EQ(health.health().status, "ok");
  valid = false;
  EXPECT_TRUE(health.ready().ready);
  EXPECT_EQ(health.ready().reasons, Reasons{"policy_invalid"});
  EXPECT_EQ(health.health().checks.at("attestation_policy"), "degraded");
  EXPECT_EQ(health.health().status, "degraded");
  valid = true;
  agrees = false;
  EXPECT_TRUE(health.ready().ready);
  EXPECT_EQ(health.ready().reasons, Reasons{"clock_differs"});
  EXPECT_EQ(health.health().checks.at("clock"), "degraded");
}

TEST(Health, IsDeadOnlyWhenTheLoopStandsStillOrTheWriterDied) {
  FakeClock clock;
  Facts facts;
  Health health = health_of(facts, clock, false);
  health.set_started();
  facts.since_write_probe = Milliseconds(60'000);
  EXPECT_TRUE(health.alive());
  EXPECT_EQ(health.health().status, "degraded");
  EXPECT_EQ(health.health().checks.at("database"), "degraded");
  facts.writer_alive = false;
  EXPECT_FALSE(health.alive());
  facts = {};
  facts.loop_lag = Milliseconds(10'001);
  EXPECT_FALSE(health.alive());
}

TEST(Health, DevWithoutTdxIsReadyAndSaysAttestationIsOff) {
  FakeClock clock;
  Facts facts;
  facts.attestation_on = false;
  Health health = health_of(facts, clock, false);
  health.set_started();
  clock.advance(Milliseconds(4'200));
  EXPECT_TRUE(health.ready().ready);
  const HealthView view = health.health();
  EXPECT_EQ(view.status, "ok");
  EXPECT_EQ(view.uptime_seconds, 4);
  EXPECT_EQ(view.checks.at("attestation"), "off");
}

}  // namespace
}  // namespace ee::cp
