#include "cp/domain/agent_health.h"
#include "common/utf8.h"

#include <algorithm>
#include <array>

namespace ee::cp {
namespace {
constexpr std::int64_t kMaxStreak = 1'000'000;
constexpr std::size_t kMaxReason = 200;
constexpr Seconds kPullInterval{5};
}  // namespace

bool is_good(const agent_api::Health& health, AgentStatus status) {
  if (health.status != agent_api::HealthStatus::unhealthy) return true;
  if (status != AgentStatus::deploying) return false;
  bool workload_failed = false;
  for (const auto& check : health.checks) {
    if (check.ok) continue;
    if (!check.name.starts_with(kWorkloadCheckPrefix)) return false;
    workload_failed = true;
  }
  return workload_failed;
}

std::string health_reason(const agent_api::Health& health) {
  for (const auto& check : health.checks)
    if (!check.ok) return std::string(utf8_prefix(check.code ? *check.code : check.name, kMaxReason));
  return "reported_unhealthy";
}

HealthTrack after_heartbeat(HealthTrack track, bool good, const HealthThresholds& thresholds) {
  track.good_streak = good ? std::min(track.good_streak + 1, kMaxStreak) : 0;
  track.bad_streak = good ? 0 : std::min(track.bad_streak + 1, kMaxStreak);
  switch (track.status) {
    case HealthStatus::unknown:
      if (good) track.status = HealthStatus::healthy;
      break;
    case HealthStatus::healthy:
      if (track.bad_streak >= thresholds.down_after_failures) track.status = HealthStatus::unhealthy;
      break;
    case HealthStatus::unhealthy:
      if (track.good_streak >= thresholds.up_after_successes) track.status = HealthStatus::healthy;
      break;
  }
  return track;
}

HealthTrack after_silence(HealthTrack track) {
  if (track.status != HealthStatus::healthy) return track;
  // The way back needs a full row of good heartbeats, whatever was counted before the silence.
  return {.status = HealthStatus::unhealthy, .bad_streak = 0, .good_streak = 0};
}

Seconds silence_threshold(Seconds interval_told, Seconds silence) { return std::max(3 * interval_told, silence); }

Seconds heartbeat_interval(const IntervalInputs& inputs) {
  constexpr std::array<Seconds, kMaxIntervalRaise + 1> kFloor = {Seconds(0), Seconds(30), Seconds(60), Seconds(120)};
  const bool pushable = inputs.tunnel_connected || inputs.has_direct_url;
  const Seconds wanted = pushable ? inputs.configured : std::min(kPullInterval, inputs.configured);
  return std::max(wanted, kFloor[static_cast<std::size_t>(std::clamp(inputs.raised, 0, kMaxIntervalRaise))]);
}

}  // namespace ee::cp
