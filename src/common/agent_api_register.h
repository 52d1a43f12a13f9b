#pragma once
/// Challenge, registration, refresh of the evidence, and the control plane's own quote. See common/agent_api.h.
#include <array>
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/agent_api_parts.h"
#include "common/challenge.h"
#include "common/json_type.h"
#include "common/time.h"

namespace ee::agent_api {

// ---- challenge -----------------------------------------------------------------------------------------------------

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

// ---- refresh, the control plane's quote -----------------------------------------------------------------------------

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
