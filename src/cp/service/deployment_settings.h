#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/secret.h"
#include "common/time.h"

namespace ee::cp {

/// The effective values of the settings that deploying depends on; defaults are the registry's.
struct DeploymentSettings {
  std::string raw_compose_policy = "pinned";                       ///< deploy.raw_compose_policy
  std::string default_node_size = "tiny";                          ///< deploy.default_node_size
  std::int64_t max_active = 100;                                   ///< deploy.max_active_per_account
  Seconds dispatch_deadline{120};                                  ///< deploy.dispatch_deadline_seconds
  Seconds stop_timeout{600};                                       ///< deploy.stop_timeout_seconds
  std::int64_t max_placements = 3;                                 ///< deploy.max_placement_attempts
  std::int64_t preflight_scan = 5000;                              ///< deploy.preflight_scan_limit
  std::string min_agent_version = {};                              ///< deploy.min_agent_version
  std::vector<std::uint16_t> reserved_ports = {8088, 8089, 9100};  ///< deploy.reserved_ports
  std::int64_t event_retention_days = 90;                          ///< deploy.event_retention_days
  Seconds agent_lost_after{180};                                   ///< agents.lost_after_seconds
  std::vector<std::string> allowed_registries = {};                ///< registry.allowed_hosts
  Secret registry_credentials = {};                                ///< registry.credentials
  std::string public_url = {};
  std::string proxy_host_suffix = {};  ///< proxy.host_suffix
};

/// Asked anew at each use: settings change while the process runs. Thread-safe, and never waits.
using DeploymentSettingsSource = std::function<DeploymentSettings()>;

}  // namespace ee::cp
