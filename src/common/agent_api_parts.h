#pragma once
/// What several bodies between `ee-agent` and the control plane share: limits, headers, contexts of sealed values, and
/// the blocks that appear in more than one of them. See common/agent_api.h.
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

enum class EvidenceKind : std::uint8_t { dcap, ita };
BOOST_DESCRIBE_ENUM(EvidenceKind, dcap, ita)

enum class EventLogMode : std::uint8_t { disabled, optional, required };
BOOST_DESCRIBE_ENUM(EventLogMode, disabled, optional, required)

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

}  // namespace ee::agent_api
