#pragma once
#include <string>

#include "common/agent_api.h"
#include "cp/domain/agent.h"

namespace ee::cp {

/// Settings `agents.down_after_failures` and `agents.up_after_successes`.
struct HealthThresholds {
  std::int64_t down_after_failures = 3;
  std::int64_t up_after_successes = 2;
};

/// What decides an agent's health: its state and how many heartbeats of one kind came last. One of the two streaks is
/// 0.
struct HealthTrack {
  HealthStatus status = HealthStatus::unknown;
  std::int64_t bad_streak = 0;
  std::int64_t good_streak = 0;
  bool operator==(const HealthTrack&) const = default;
};

/// Health checks whose name begins so speak of the workload, not of the machine.
constexpr std::string_view kWorkloadCheckPrefix = "workload";

/// Whether a heartbeat counts as good: `healthy` or `degraded`, or `unhealthy` only because of workload checks while a
/// deployment is being started.
bool is_good(const agent_api::Health& health, AgentStatus status);

/// Why a heartbeat counted as bad, in at most 200 characters: the code (else the name) of the first failed check.
std::string health_reason(const agent_api::Health& health);

/// One heartbeat: unknown -> healthy by the first good one, healthy -> unhealthy by `down_after_failures` bad ones in a
/// row, unhealthy -> healthy by `up_after_successes` good ones in a row. Pure; streaks stop counting at 1,000,000.
HealthTrack after_heartbeat(HealthTrack track, bool good, const HealthThresholds& thresholds);

/// Silence beyond the threshold: healthy -> unhealthy; other states stay.
HealthTrack after_silence(HealthTrack track);

/// How long an agent may be silent: max(3 x the interval last told to it, `agents.silence_seconds`).
Seconds silence_threshold(Seconds interval_told, Seconds silence);

/// The interval told in a heartbeat's answer.
struct IntervalInputs {
  Seconds configured{30};         ///< `agents.health_interval_seconds`
  bool tunnel_connected = false;  ///< by the agent's own last report
  bool has_direct_url = false;
  int raised = 0;  ///< steps by which an overloaded control plane asks for less: 0..3
};
/// 5 s to an agent that cannot be pushed to, so that it pulls soon; else as configured. When overloaded at least 30, 60
/// or 120 s.
Seconds heartbeat_interval(const IntervalInputs& inputs);
constexpr int kMaxIntervalRaise = 3;

}  // namespace ee::cp
