#include "cp/domain/agent_health.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

constexpr HealthThresholds kThresholds;  // down after 3, up after 2

HealthTrack feed(HealthTrack track, std::string_view beats) {
  for (const char beat : beats) track = after_heartbeat(track, beat == 'g', kThresholds);
  return track;
}

// covers: S02_AGT_HB_004
TEST(AgentHealth, FollowsTheTable) {
  struct Row {
    HealthStatus from;
    const char* beats;
    HealthStatus next;
  };
  using H = HealthStatus;
  const Row rows[] = {
      {H::unknown, "g", H::healthy},      {H::unknown, "bbbb", H::unknown},  {H::unknown, "bg", H::healthy},
      {H::healthy, "bb", H::healthy},     {H::healthy, "bbb", H::unhealthy}, {H::healthy, "bbgbb", H::healthy},
      {H::unhealthy, "g", H::unhealthy},  {H::unhealthy, "gg", H::healthy},  {H::unhealthy, "gbg", H::unhealthy},
      {H::unhealthy, "gbgg", H::healthy}, {H::healthy, "bbbgg", H::healthy}, {H::healthy, "bbbg", H::unhealthy},
  };
  for (const Row& row : rows)
    EXPECT_EQ(feed({.status = row.from}, row.beats).status, row.next) << name_of(row.from) << " " << row.beats;
}

TEST(AgentHealth, SilenceTakesOnlyAHealthyAgentDown) {
  EXPECT_EQ(after_silence({.status = HealthStatus::healthy, .good_streak = 9}).status, HealthStatus::unhealthy);
  EXPECT_EQ(after_silence({.status = HealthStatus::unknown}).status, HealthStatus::unknown);
  // Good beats from before the silence do not count on the way back.
  const auto silent = after_silence({.status = HealthStatus::healthy, .good_streak = 9});
  EXPECT_EQ(feed(silent, "g").status, HealthStatus::unhealthy);
  EXPECT_EQ(feed(silent, "gg").status, HealthStatus::healthy);
}

TEST(AgentHealth, CountsWithoutOverflow) {
  HealthTrack track{.status = HealthStatus::healthy, .good_streak = 1'000'000};
  EXPECT_EQ(after_heartbeat(track, true, kThresholds).good_streak, 1'000'000);
}

TEST(AgentHealth, WorkloadChecksDoNotCountWhileDeploying) {
  agent_api::Health health{.status = agent_api::HealthStatus::unhealthy,
                           .checks = {{.name = "container_runtime", .ok = true, .code = {}},
                                      {.name = "workload", .ok = false, .code = "health_check_failed"}}};
  EXPECT_TRUE(is_good(health, AgentStatus::deploying));
  EXPECT_FALSE(is_good(health, AgentStatus::deployed));
  EXPECT_EQ(health_reason(health), "health_check_failed");
  health.checks[0].ok = false;
  EXPECT_FALSE(is_good(health, AgentStatus::deploying));
  EXPECT_EQ(health_reason(health), "container_runtime");
  health.checks.clear();
  EXPECT_FALSE(is_good(health, AgentStatus::deploying));  // unhealthy without saying why is the machine's
  health.status = agent_api::HealthStatus::degraded;
  EXPECT_TRUE(is_good(health, AgentStatus::deployed));
}

TEST(AgentHealth, SilenceThresholdFollowsTheIntervalTold) {
  EXPECT_EQ(silence_threshold(Seconds(5), Seconds(90)), Seconds(90));
  EXPECT_EQ(silence_threshold(Seconds(120), Seconds(90)), Seconds(360));
}

// covers: S02_AGT_DS_005
TEST(HeartbeatInterval, IsShortWithoutAWayToPushAndRaisedUnderLoad) {
  EXPECT_EQ(heartbeat_interval({}), Seconds(5));
  EXPECT_EQ(heartbeat_interval({.tunnel_connected = true}), Seconds(30));
  EXPECT_EQ(heartbeat_interval({.has_direct_url = true}), Seconds(30));
  EXPECT_EQ(heartbeat_interval({.raised = 1}), Seconds(30));
  EXPECT_EQ(heartbeat_interval({.tunnel_connected = true, .raised = 1}), Seconds(30));
  EXPECT_EQ(heartbeat_interval({.tunnel_connected = true, .raised = 2}), Seconds(60));
  EXPECT_EQ(heartbeat_interval({.raised = 3}), Seconds(120));
  EXPECT_EQ(heartbeat_interval({.raised = 99}), Seconds(120));
  EXPECT_EQ(heartbeat_interval({.configured = Seconds(600), .tunnel_connected = true, .raised = 3}), Seconds(600));
}

}  // namespace
}  // namespace ee::cp
