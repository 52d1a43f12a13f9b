#pragma once
/// What a registered agent says and asks: heartbeat, tunnel, credential, status. See common/agent_api.h.
#include <array>
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/agent_api_parts.h"
#include "common/json_type.h"
#include "common/time.h"

namespace ee::agent_api {

// ---- heartbeat -----------------------------------------------------------------------------------------------------

enum class HealthStatus : std::uint8_t { healthy, degraded, unhealthy };
BOOST_DESCRIBE_ENUM(HealthStatus, healthy, degraded, unhealthy)

struct HealthCheck {
  std::string name;
  bool ok = false;
  std::optional<std::string> code = {};
  bool operator==(const HealthCheck&) const = default;
};
BOOST_DESCRIBE_STRUCT(HealthCheck, (), (name, ok, code))
constexpr auto json_rules(json::For<HealthCheck>) {
  return std::array{json::field("name").length(1, 64), json::field("code").length(1, 64)};
}
constexpr std::string_view json_name(json::For<HealthCheck>) { return "HealthCheck"; }

struct Health {
  HealthStatus status = HealthStatus::healthy;
  std::vector<HealthCheck> checks;
  bool operator==(const Health&) const = default;
};
BOOST_DESCRIBE_STRUCT(Health, (), (status, checks))
constexpr auto json_rules(json::For<Health>) { return std::array{json::field("checks").items(0, 16)}; }
constexpr std::string_view json_name(json::For<Health>) { return "AgentHealth"; }

/// The tunnel as the agent sees it. none: cloudflared is not run; starting: it runs and was not ready yet; connected:
/// at least one ready connection; disconnected: it was ready and is no more; failed: it ended and waits to be
/// restarted.
enum class TunnelLink : std::uint8_t { none, starting, connected, disconnected, failed };
BOOST_DESCRIBE_ENUM(TunnelLink, none, starting, connected, disconnected, failed)

struct TunnelReport {
  TunnelLink state = TunnelLink::none;
  std::int64_t ready_connections = 0;
  std::int64_t restarts = 0;
  bool operator==(const TunnelReport&) const = default;
};
BOOST_DESCRIBE_STRUCT(TunnelReport, (), (state, ready_connections, restarts))
constexpr auto json_rules(json::For<TunnelReport>) {
  return std::array{json::field("ready_connections").between(0, 1000), json::field("restarts").at_least(0)};
}
constexpr std::string_view json_name(json::For<TunnelReport>) { return "TunnelReport"; }

/// All non-negative integers; a file that is missing makes its numbers absent.
struct HostStats {
  std::optional<std::int64_t> cpu_millis_used = {};
  std::optional<std::int64_t> memory_used_mib = {};
  std::optional<std::int64_t> memory_total_mib = {};
  std::optional<std::int64_t> disk_used_mib = {};
  std::optional<std::int64_t> disk_total_mib = {};
  std::optional<std::int64_t> load1_milli = {};
  std::optional<std::int64_t> net_rx_bytes = {};
  std::optional<std::int64_t> net_tx_bytes = {};
  std::optional<std::int64_t> uptime_seconds = {};
  bool operator==(const HostStats&) const = default;
};
BOOST_DESCRIBE_STRUCT(HostStats, (),
                      (cpu_millis_used, memory_used_mib, memory_total_mib, disk_used_mib, disk_total_mib, load1_milli,
                       net_rx_bytes, net_tx_bytes, uptime_seconds))
constexpr auto json_rules(json::For<HostStats>) {
  return std::array{json::field("cpu_millis_used").at_least(0),  json::field("memory_used_mib").at_least(0),
                    json::field("memory_total_mib").at_least(0), json::field("disk_used_mib").at_least(0),
                    json::field("disk_total_mib").at_least(0),   json::field("load1_milli").at_least(0),
                    json::field("net_rx_bytes").at_least(0),     json::field("net_tx_bytes").at_least(0),
                    json::field("uptime_seconds").at_least(0)};
}
constexpr std::string_view json_name(json::For<HostStats>) { return "HostStats"; }

/// `POST /api/v1/agents/{id}/heartbeat`. Body <= 16 KiB. A 410 `agent_deleted` answer is a problem document with one
/// more member, `reason`: `stale`, `owner`, `admin` or `capacity`.
struct HeartbeatRequest {
  std::int64_t seq = 0;
  std::string boot_id;
  UtcTime sent_at;
  std::string agent_version;
  Health health;
  std::optional<WorkloadReport> workload = {};
  TunnelReport tunnel;
  std::optional<HostStats> stats = {};
  bool draining = false;
};
BOOST_DESCRIBE_STRUCT(HeartbeatRequest, (),
                      (seq, boot_id, sent_at, agent_version, health, workload, tunnel, stats, draining))
constexpr auto json_rules(json::For<HeartbeatRequest>) {
  return std::array{json::field("seq").at_least(1), json::field("boot_id").uuid(),
                    json::field("agent_version").length(1, 64)};
}
constexpr std::string_view json_name(json::For<HeartbeatRequest>) { return "AgentHeartbeatRequest"; }

struct HeartbeatTunnel {
  TunnelState state = TunnelState::none;
  std::int64_t version = 0;
};
BOOST_DESCRIBE_STRUCT(HeartbeatTunnel, (), (state, version))
constexpr auto json_rules(json::For<HeartbeatTunnel>) { return std::array{json::field("version").at_least(0)}; }
constexpr std::string_view json_name(json::For<HeartbeatTunnel>) { return "AgentHeartbeatTunnel"; }

struct HeartbeatAnswer {
  UtcTime answered_at;
  std::int64_t heartbeat_interval_seconds = 0;
  std::string registration_id;
  Desired desired;
  std::optional<UtcTime> attestation_due_at = {};
  bool reattest_now = false;
  bool rotate_credential = false;
  std::int64_t signing_keys_version = 0;
  bool draining = false;
  HeartbeatTunnel tunnel;
};
BOOST_DESCRIBE_STRUCT(HeartbeatAnswer, (),
                      (answered_at, heartbeat_interval_seconds, registration_id, desired, attestation_due_at,
                       reattest_now, rotate_credential, signing_keys_version, draining, tunnel))
constexpr auto json_rules(json::For<HeartbeatAnswer>) {
  return std::array{json::field("heartbeat_interval_seconds").between(1, 3600), json::field("registration_id").uuid(),
                    json::field("signing_keys_version").at_least(0)};
}
constexpr std::string_view json_name(json::For<HeartbeatAnswer>) { return "AgentHeartbeatAnswer"; }

// ---- tunnel, keys, credential, status -------------------------------------------------------------------------------

/// `GET /api/v1/agents/{id}/tunnel`, signed (kind `tunnel`).
struct TunnelAnswer {
  TunnelState state = TunnelState::none;
  std::int64_t version = 0;
  std::optional<std::string> hostname = {};
  std::optional<Sealed> sealed = {};  ///< opens to TunnelSecrets; null unless there is a token to tell
};
BOOST_DESCRIBE_STRUCT(TunnelAnswer, (), (state, version, hostname, sealed))
constexpr auto json_rules(json::For<TunnelAnswer>) {
  return std::array{json::field("version").at_least(0), json::field("hostname").length(1, 253)};
}
constexpr std::string_view json_name(json::For<TunnelAnswer>) { return "AgentTunnelAnswer"; }

struct TunnelSecrets {
  std::optional<std::string> tunnel_token = {};
};
BOOST_DESCRIBE_STRUCT(TunnelSecrets, (), (tunnel_token))

// `GET /api/v1/agents/{id}/signing-keys` answers a SigningKeys, signed (kind `signing-keys`).

/// `POST /api/v1/agents/{id}/credential/rotate`, signed with X-EE-Agent-Signature, `signed_at` in place of the
/// challenge id.
struct RotateRequest {
  UtcTime signed_at;
};
BOOST_DESCRIBE_STRUCT(RotateRequest, (), (signed_at))
constexpr std::string_view json_name(json::For<RotateRequest>) { return "AgentRotateRequest"; }

/// Signed (kind `credential`).
struct RotateAnswer {
  Sealed sealed;  ///< opens to RotatedSecrets
  UtcTime credential_expires_at;
};
BOOST_DESCRIBE_STRUCT(RotateAnswer, (), (sealed, credential_expires_at))
constexpr std::string_view json_name(json::For<RotateAnswer>) { return "AgentRotateAnswer"; }

struct RotatedSecrets {
  std::string agent_credential;
};
BOOST_DESCRIBE_STRUCT(RotatedSecrets, (), (agent_credential))

/// `POST /api/v1/agents/{id}/status`.
struct StatusRequest {
  std::optional<WorkloadReport> workload = {};
  std::optional<std::string> log_tail = {};
  UtcTime at;
};
BOOST_DESCRIBE_STRUCT(StatusRequest, (), (workload, log_tail, at))
constexpr auto json_rules(json::For<StatusRequest>) { return std::array{json::field("log_tail").base64(16384)}; }
constexpr std::string_view json_name(json::For<StatusRequest>) { return "AgentStatusRequest"; }

struct StatusAnswer {
  Desired desired;
};
BOOST_DESCRIBE_STRUCT(StatusAnswer, (), (desired))
constexpr std::string_view json_name(json::For<StatusAnswer>) { return "AgentStatusAnswer"; }

}  // namespace ee::agent_api
