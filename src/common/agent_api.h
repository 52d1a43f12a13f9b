#pragma once
/// The wire types between `ee-agent` and the control plane: one struct per JSON body, shared by both sides. Names of
/// members are the JSON names. `std::optional` = nullable and may be absent. Source: the agent contract, sections 4.2
/// (register), 5.1 (heartbeat), 6.1 to 6.6 (tunnel, status, rotate, keys, refresh), and the attestation contract,
/// sections 6.1 (challenge) and 14.2 (control plane's quote). Base64 is standard with padding, nonces are hex.
#include <array>
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/challenge.h"
#include "common/json_type.h"
#include "common/sealed_box.h"
#include "common/time.h"

namespace ee::agent_api {

/// Raw sizes that no setting can raise.
constexpr std::size_t kMaxQuoteBytes = 64UL * 1024;
constexpr std::size_t kMaxEventLogBytes = 128UL * 1024;
constexpr std::size_t kMaxCiphertextBytes = kMaxSealedPayloadBytes + 1024;
constexpr std::size_t kMaxRegisterBodyBytes = 1024UL * 1024;
constexpr std::size_t kMaxHeartbeatBodyBytes = 16UL * 1024;
constexpr std::int64_t kMaxMib = 1'000'000'000'000;

/// Headers. The first two are on every signed answer of the control plane, the third on signed requests of an agent
/// (common/signatures.h has what they cover).
inline constexpr std::string_view kKidHeader = "X-EE-Kid";
inline constexpr std::string_view kSignatureHeader = "X-EE-Signature";
inline constexpr std::string_view kAgentSignatureHeader = "X-EE-Agent-Signature";

/// Contexts of sealed values (common/sealed_box.h): the agent knows beforehand which one it must find.
std::string registration_seal_context(std::string_view agent_id, std::string_view challenge_id);
std::string credential_seal_context(std::string_view agent_id, std::string_view registration_id, UtcTime signed_at);
std::string tunnel_seal_context(std::string_view agent_id, std::int64_t version);

/// Forms that rules below ask for: strict base64 of exactly 32 bytes (an Ed25519 or X25519 public key); a size's name,
/// known or not; `<cloud>:<zone>`; the one purpose of the public challenge route.
bool is_raw_key(std::string_view text);
bool is_size_name(std::string_view text);
bool is_datacenter(std::string_view text);
bool is_register_purpose(std::string_view text);
constexpr std::string_view kRawKeyPattern = "^[A-Za-z0-9+/]{43}=$";

// ---- challenge -----------------------------------------------------------------------------------------------------

enum class EvidenceKind : std::uint8_t { dcap, ita };
BOOST_DESCRIBE_ENUM(EvidenceKind, dcap, ita)

enum class EventLogMode : std::uint8_t { disabled, optional, required };
BOOST_DESCRIBE_ENUM(EventLogMode, disabled, optional, required)

/// `POST /api/v1/agents/challenge`.
struct ChallengeRequest {
  std::string vm_name;
  std::string purpose;  ///< only `register` on this route
  std::string client_nonce;
};
BOOST_DESCRIBE_STRUCT(ChallengeRequest, (), (vm_name, purpose, client_nonce))
constexpr auto json_rules(json::For<ChallengeRequest>) {
  return std::array{json::field("vm_name").dns_label(),
                    json::field("purpose").matching(is_register_purpose, "^register$"),
                    json::field("client_nonce").hex(64)};
}
constexpr std::string_view json_name(json::For<ChallengeRequest>) { return "AgentChallengeRequest"; }

/// `POST /api/v1/agents/{id}/attestation/challenge`.
struct RefreshChallengeRequest {
  std::string client_nonce;
};
BOOST_DESCRIBE_STRUCT(RefreshChallengeRequest, (), (client_nonce))
constexpr auto json_rules(json::For<RefreshChallengeRequest>) {
  return std::array{json::field("client_nonce").hex(64)};
}
constexpr std::string_view json_name(json::For<RefreshChallengeRequest>) { return "AgentRefreshChallengeRequest"; }

/// The answer of both, signed by X-EE-Kid / X-EE-Signature over client_nonce and the body.
struct ChallengeAnswer {
  std::string challenge_id;
  std::string nonce;
  std::string challenge;
  std::string purpose;  ///< `register` or `refresh`
  std::int64_t ttl_seconds = 0;
  UtcTime expires_at;
  std::vector<EvidenceKind> accept;
  std::string audience;
  EventLogMode event_log = EventLogMode::disabled;
};
BOOST_DESCRIBE_STRUCT(ChallengeAnswer, (),
                      (challenge_id, nonce, challenge, purpose, ttl_seconds, expires_at, accept, audience, event_log))
constexpr auto json_rules(json::For<ChallengeAnswer>) {
  return std::array{json::field("challenge_id").uuid(),
                    json::field("nonce").hex(64),
                    json::field("challenge").length(1, kMaxChallengeChars),
                    json::field("purpose").length(1, 16),
                    json::field("ttl_seconds").between(1, 86400),
                    json::field("accept").items(1, 4),
                    json::field("audience").length(1, 255)};
}
constexpr std::string_view json_name(json::For<ChallengeAnswer>) { return "AgentChallengeAnswer"; }

// ---- parts used by several bodies ----------------------------------------------------------------------------------

/// One entry of the workload log (event log of RTMR3).
struct WorkloadLogEntry {
  std::string op;
  std::string payload;
};
BOOST_DESCRIBE_STRUCT(WorkloadLogEntry, (), (op, payload))
constexpr auto json_rules(json::For<WorkloadLogEntry>) {
  return std::array{json::field("op").length(1, 16), json::field("payload").length(0, 4096)};
}
constexpr std::string_view json_name(json::For<WorkloadLogEntry>) { return "WorkloadLogEntry"; }

struct Evidence {
  EvidenceKind kind = EvidenceKind::dcap;
  std::optional<std::string> quote = {};  ///< required; absent is `quote_missing`, not a schema error
  std::optional<std::string> intel_ta_token = {};
  std::optional<std::string> event_log = {};
  std::optional<std::vector<WorkloadLogEntry>> workload_log = {};
};
BOOST_DESCRIBE_STRUCT(Evidence, (), (kind, quote, intel_ta_token, event_log, workload_log))
constexpr auto json_rules(json::For<Evidence>) {
  return std::array{json::field("quote").base64(kMaxQuoteBytes), json::field("intel_ta_token").length(0, 32768),
                    json::field("event_log").base64(kMaxEventLogBytes), json::field("workload_log").items(0, 512)};
}
constexpr std::string_view json_name(json::For<Evidence>) { return "Evidence"; }

/// What the agent measured of its VM.
struct Capacity {
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t disk_mib = 0;
  std::int64_t gpu_count = 0;
  bool operator==(const Capacity&) const = default;
};
BOOST_DESCRIBE_STRUCT(Capacity, (), (vcpus, memory_mib, disk_mib, gpu_count))
constexpr auto json_rules(json::For<Capacity>) {
  return std::array{json::field("vcpus").between(0, 65536), json::field("memory_mib").between(0, kMaxMib),
                    json::field("disk_mib").between(0, kMaxMib), json::field("gpu_count").between(0, 1024)};
}
constexpr std::string_view json_name(json::For<Capacity>) { return "AgentCapacity"; }

enum class WorkloadPhase : std::uint8_t {
  accepted,
  pulling,
  starting,
  checking,
  running,
  failed,
  stopping,
  stopped,
  exited
};
BOOST_DESCRIBE_ENUM(WorkloadPhase, accepted, pulling, starting, checking, running, failed, stopping, stopped, exited)

enum class WorkloadHealth : std::uint8_t { unknown, healthy, unhealthy };
BOOST_DESCRIBE_ENUM(WorkloadHealth, unknown, healthy, unhealthy)

struct WorkloadFailure {
  std::string code;
  std::string detail;
  bool operator==(const WorkloadFailure&) const = default;
};
BOOST_DESCRIBE_STRUCT(WorkloadFailure, (), (code, detail))
constexpr auto json_rules(json::For<WorkloadFailure>) {
  return std::array{json::field("code").length(1, 64), json::field("detail").length(0, 1024)};
}
constexpr std::string_view json_name(json::For<WorkloadFailure>) { return "WorkloadFailure"; }

struct WorkloadProgress {
  std::int64_t percent = 0;
  std::string text;
  bool operator==(const WorkloadProgress&) const = default;
};
BOOST_DESCRIBE_STRUCT(WorkloadProgress, (), (percent, text))
constexpr auto json_rules(json::For<WorkloadProgress>) {
  return std::array{json::field("percent").between(0, 100), json::field("text").length(0, 200)};
}
constexpr std::string_view json_name(json::For<WorkloadProgress>) { return "WorkloadProgress"; }

/// The `workload` block of register, heartbeat and status.
struct WorkloadReport {
  std::string deployment_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t revision = 0;
  WorkloadPhase phase = WorkloadPhase::accepted;
  std::optional<WorkloadHealth> health = {};
  std::optional<std::int64_t> restarts = {};
  std::optional<UtcTime> phase_changed_at = {};
  std::optional<WorkloadFailure> failure = {};
  std::optional<WorkloadProgress> progress = {};
  bool operator==(const WorkloadReport&) const = default;
};
BOOST_DESCRIBE_STRUCT(WorkloadReport, (),
                      (deployment_id, assignment_epoch, revision, phase, health, restarts, phase_changed_at, failure,
                       progress))
constexpr auto json_rules(json::For<WorkloadReport>) {
  return std::array{json::field("deployment_id").uuid(), json::field("assignment_epoch").at_least(0),
                    json::field("revision").at_least(0), json::field("restarts").at_least(0)};
}
constexpr std::string_view json_name(json::For<WorkloadReport>) { return "WorkloadReport"; }

enum class DesiredAction : std::uint8_t { none, keep, run };
BOOST_DESCRIBE_ENUM(DesiredAction, none, keep, run)

/// What should run. `deployment_id`, `assignment_epoch` and `revision` are set exactly with `run`.
struct Desired {
  DesiredAction action = DesiredAction::none;
  std::optional<std::string> deployment_id = {};
  std::optional<std::int64_t> assignment_epoch = {};
  std::optional<std::int64_t> revision = {};
  std::optional<std::int64_t> grace_seconds = {};
  bool operator==(const Desired&) const = default;
};
BOOST_DESCRIBE_STRUCT(Desired, (), (action, deployment_id, assignment_epoch, revision, grace_seconds))
constexpr auto json_rules(json::For<Desired>) {
  return std::array{json::field("deployment_id").uuid(), json::field("assignment_epoch").at_least(0),
                    json::field("revision").at_least(0), json::field("grace_seconds").between(0, 86400)};
}
constexpr std::string_view json_name(json::For<Desired>) { return "DesiredDeployment"; }

struct SigningKey {
  std::string kid;         ///< first 16 hex of SHA-256 of the raw key
  std::string public_key;  ///< base64 of 32 raw bytes, Ed25519
  bool operator==(const SigningKey&) const = default;
};
BOOST_DESCRIBE_STRUCT(SigningKey, (), (kid, public_key))
constexpr auto json_rules(json::For<SigningKey>) {
  return std::array{json::field("kid").hex(16), json::field("public_key").matching(is_raw_key, kRawKeyPattern)};
}
constexpr std::string_view json_name(json::For<SigningKey>) { return "SigningKey"; }

struct SigningKeys {
  std::int64_t version = 0;
  std::vector<SigningKey> keys;
  bool operator==(const SigningKeys&) const = default;
};
BOOST_DESCRIBE_STRUCT(SigningKeys, (), (version, keys))
constexpr auto json_rules(json::For<SigningKeys>) {
  return std::array{json::field("version").at_least(0), json::field("keys").items(1, 16)};
}
constexpr std::string_view json_name(json::For<SigningKeys>) { return "SigningKeys"; }

/// A value sealed to the agent's X25519 key.
struct Sealed {
  std::string ciphertext;
};
BOOST_DESCRIBE_STRUCT(Sealed, (), (ciphertext))
constexpr auto json_rules(json::For<Sealed>) {
  return std::array{json::field("ciphertext").base64(kMaxCiphertextBytes)};
}
constexpr std::string_view json_name(json::For<Sealed>) { return "Sealed"; }

/// The tunnel as the control plane sees it.
enum class TunnelState : std::uint8_t { none, placeholder, pending, provisioning, ready, failed, deleting };
BOOST_DESCRIBE_ENUM(TunnelState, none, placeholder, pending, provisioning, ready, failed, deleting)

// ---- register ------------------------------------------------------------------------------------------------------

/// `POST /api/v1/agents/register`, signed with X-EE-Agent-Signature. Body <= 1 MiB.
struct RegisterRequest {
  std::string vm_name;
  std::string node_size;
  std::string datacenter;
  std::string agent_version;
  std::string boot_id;
  std::optional<std::string> challenge = {};  ///< absent or empty is `nonce_missing`, not a schema error; so is `nonce`
  std::optional<std::string> nonce = {};
  std::string signing_key;
  std::string sealing_key;
  Evidence evidence;
  std::optional<std::string> bootstrap_token = {};
  std::optional<std::string> previous_credential = {};
  std::optional<std::string> direct_url = {};
  Capacity capacity;
  std::optional<WorkloadReport> workload = {};
};
BOOST_DESCRIBE_STRUCT(RegisterRequest, (),
                      (vm_name, node_size, datacenter, agent_version, boot_id, challenge, nonce, signing_key,
                       sealing_key, evidence, bootstrap_token, previous_credential, direct_url, capacity, workload))
constexpr auto json_rules(json::For<RegisterRequest>) {
  return std::array{
      json::field("vm_name").dns_label(),
      json::field("node_size").matching(is_size_name, "^[a-z0-9][a-z0-9_-]{0,31}$"),
      json::field("datacenter").matching(is_datacenter, "^(gcp|azure|aws|baremetal):[a-z0-9][a-z0-9._-]{0,95}$"),
      json::field("agent_version").length(1, 64),
      json::field("boot_id").uuid(),
      json::field("challenge").length(0, kMaxChallengeChars),
      json::field("nonce").length(0, 64),
      json::field("signing_key").matching(is_raw_key, kRawKeyPattern),
      json::field("sealing_key").matching(is_raw_key, kRawKeyPattern),
      json::field("bootstrap_token").length(0, 128),
      json::field("previous_credential").length(0, 128),
      json::field("direct_url").url().length(1, 255)};
}
constexpr std::string_view json_name(json::For<RegisterRequest>) { return "AgentRegisterRequest"; }

struct RegisteredTunnel {
  TunnelState state = TunnelState::none;
  std::int64_t version = 0;
  std::optional<std::string> hostname = {};
};
BOOST_DESCRIBE_STRUCT(RegisteredTunnel, (), (state, version, hostname))
constexpr auto json_rules(json::For<RegisteredTunnel>) {
  return std::array{json::field("version").at_least(0), json::field("hostname").length(1, 253)};
}
constexpr std::string_view json_name(json::For<RegisteredTunnel>) { return "AgentTunnel"; }

/// 201 (new) or 200 (`reused`), signed (kind `registration`).
struct RegisterAnswer {
  std::string agent_id;
  std::string registration_id;
  std::string status;
  bool reused = false;
  Sealed sealed;  ///< opens to RegistrationSecrets
  UtcTime credential_expires_at;
  RegisteredTunnel tunnel;
  SigningKeys signing_keys;
  std::int64_t heartbeat_interval_seconds = 0;
  std::optional<UtcTime> attestation_due_at = {};  ///< null: evidence does not age (dev)
  Desired desired;
  UtcTime answered_at;
};
BOOST_DESCRIBE_STRUCT(RegisterAnswer, (),
                      (agent_id, registration_id, status, reused, sealed, credential_expires_at, tunnel, signing_keys,
                       heartbeat_interval_seconds, attestation_due_at, desired, answered_at))
constexpr auto json_rules(json::For<RegisterAnswer>) {
  return std::array{json::field("agent_id").uuid(), json::field("registration_id").uuid(),
                    json::field("status").length(1, 32), json::field("heartbeat_interval_seconds").between(1, 3600)};
}
constexpr std::string_view json_name(json::For<RegisterAnswer>) { return "AgentRegisterAnswer"; }

/// Payload of `RegisterAnswer::sealed`.
struct RegistrationSecrets {
  std::string agent_credential;
  std::optional<std::string> tunnel_token = {};
};
BOOST_DESCRIBE_STRUCT(RegistrationSecrets, (), (agent_credential, tunnel_token))

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

// ---- tunnel, keys, credential, status, refresh
// -----------------------------------------------------------------------

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

/// `POST /api/v1/agents/{id}/attestation`, signed with X-EE-Agent-Signature.
struct RefreshRequest {
  std::optional<std::string> challenge = {};
  std::optional<std::string> nonce = {};
  Evidence evidence;
};
BOOST_DESCRIBE_STRUCT(RefreshRequest, (), (challenge, nonce, evidence))
constexpr auto json_rules(json::For<RefreshRequest>) {
  return std::array{json::field("challenge").length(0, kMaxChallengeChars), json::field("nonce").length(0, 64)};
}
constexpr std::string_view json_name(json::For<RefreshRequest>) { return "AgentRefreshRequest"; }

struct RefreshAnswer {
  UtcTime attested_at;
  std::optional<UtcTime> attestation_due_at = {};
  std::string tcb_status;
  std::vector<std::string> warnings;
};
BOOST_DESCRIBE_STRUCT(RefreshAnswer, (), (attested_at, attestation_due_at, tcb_status, warnings))
constexpr auto json_rules(json::For<RefreshAnswer>) {
  return std::array{json::field("tcb_status").length(1, 64), json::field("warnings").items(0, 64).length(1, 64)};
}
constexpr std::string_view json_name(json::For<RefreshAnswer>) { return "AgentRefreshAnswer"; }

/// `GET /api/v1/attestation?nonce=`: the control plane's own quote. The caller rebuilds binding and preimage itself.
struct ControlPlaneAttestation {
  std::string environment;
  bool emulated = false;
  std::string quote;
  std::string quote_sha256;
  std::string nonce;
  std::string audience;
  std::string purpose;  ///< `control_plane`
  std::string binding;
  SigningKeys signing_keys;
  std::string mrtd;
  std::vector<std::string> rtmrs;
  std::string report_data;
  std::optional<std::string> event_log = {};
  UtcTime generated_at;
};
BOOST_DESCRIBE_STRUCT(ControlPlaneAttestation, (),
                      (environment, emulated, quote, quote_sha256, nonce, audience, purpose, binding, signing_keys,
                       mrtd, rtmrs, report_data, event_log, generated_at))
constexpr auto json_rules(json::For<ControlPlaneAttestation>) {
  return std::array{json::field("environment").length(1, 32),
                    json::field("quote").base64(kMaxQuoteBytes),
                    json::field("quote_sha256").hex(64),
                    json::field("nonce").hex(64),
                    json::field("audience").length(1, 255),
                    json::field("purpose").length(1, 32),
                    json::field("binding").hex(64),
                    json::field("mrtd").hex(96),
                    json::field("rtmrs").items(4, 4).hex(96),
                    json::field("report_data").hex(128),
                    json::field("event_log").base64(kMaxEventLogBytes)};
}
constexpr std::string_view json_name(json::For<ControlPlaneAttestation>) { return "ControlPlaneAttestation"; }

}  // namespace ee::agent_api
