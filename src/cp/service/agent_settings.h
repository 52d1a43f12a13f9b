#pragma once
#include <functional>
#include <string>
#include <vector>

#include "common/time.h"
#include "cp/domain/agent_health.h"

namespace ee::cp {

/// The effective values of the settings that the life of agents depends on; defaults are the registry's.
struct AgentSettings {
  Seconds heartbeat_interval{30};                 ///< agents.health_interval_seconds
  Seconds silence{90};                            ///< agents.silence_seconds
  HealthThresholds health = {};                   ///< agents.down_after_failures, agents.up_after_successes
  Seconds stale_after{24 * 3600};                 ///< agents.stale_hours
  Seconds credential_rotate{604800};              ///< agents.credential_rotate_seconds
  Seconds attestation_refresh{3600};              ///< attestation.agent_refresh_seconds
  Seconds attestation_max_age{14400};             ///< attestation.agent_max_age_seconds
  std::int64_t max_agents = 200'000;              ///< agents.max_agents
  std::vector<std::string> reserved_labels = {};  ///< agents.reserved_labels
};

/// Asked anew at each use: settings change while the process runs. Thread-safe, and never waits.
using AgentSettingsSource = std::function<AgentSettings()>;

}  // namespace ee::cp
