#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "cp/integration/cloudflare/cloudflare_client.h"
#include "cp/service/directory.h"
#include "db/database.h"

namespace ee::cp {

enum class TunnelMode : std::uint8_t { per_agent, none };
BOOST_DESCRIBE_ENUM(TunnelMode, per_agent, none)

enum class OrphanSweep : std::uint8_t { off, report, delete_ };

/// The effective values of the settings that tunnels depend on.
struct TunnelSettings {
  TunnelMode mode = TunnelMode::per_agent;          ///< cloudflare.tunnel_mode
  bool configured = false;                          ///< account id, zone id, API token and domain are all there
  std::string cluster_id = "dev";                   ///< EE_CLUSTER_ID
  std::string domain = {};                          ///< cloudflare.domain
  std::int64_t max_tunnels = 1000;                  ///< cloudflare.max_tunnels
  std::vector<std::string> protected_tunnels = {};  ///< cloudflare.protected_tunnels
  std::vector<std::string> reserved_labels = {};    ///< agents.reserved_labels
  OrphanSweep orphan_sweep = OrphanSweep::report;   ///< cloudflare.orphan_sweep
  bool restore_hold = false;  ///< a restored database must not yet be believed about what is unknown

  bool is_protected(std::string_view tunnel_name) const;
};

/// What the parts of the tunnel service share. All outlive it.
struct TunnelParts {
  db::Database& database;
  cloudflare::CloudflareClient& cloudflare;
  Directory& directory;
  Clock& clock;
  Random& random;
  std::function<TunnelSettings()> settings;  ///< never waits; thread-safe
  /// One operation as it ended, for `ee_tunnel_ops_total{op,result}`.
  std::function<void(std::string_view op, std::string_view result)> observe = {};

  void count(std::string_view op, std::string_view result) const {
    if (observe) observe(op, result);
  }
};

/// Where the agent of every tunnel listens: the ingress rule of each.
constexpr std::string_view kTunnelOrigin = "http://127.0.0.1:8088";
/// How long a worker owns the tunnel of an agent that it has claimed.
constexpr Seconds kTunnelClaim{60};
/// How long it works at most, so that the claim outlives the work.
constexpr Seconds kTunnelWork{45};

/// min(3600, 10 * 2^attempts) seconds, +-20 %.
Milliseconds tunnel_backoff(std::int64_t attempts, Random& random);

/// Whether `failure` says nothing about this tunnel: then its attempts are not counted.
bool is_not_this_tunnels_fault(cloudflare::Failure failure);

}  // namespace ee::cp
