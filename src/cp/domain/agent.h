#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "common/agent_api.h"
#include "common/id.h"
#include "common/secret.h"
#include "common/time.h"

namespace ee::cp {

/// Life cycle of an agent. Health, attestation, draining and tunnel are separate: an unhealthy agent must return to
/// what it was.
enum class AgentStatus : std::uint8_t { undeployed, deploying, deployed, undeploying, quarantined, deleting, deleted };
BOOST_DESCRIBE_ENUM(AgentStatus, undeployed, deploying, deployed, undeploying, quarantined, deleting, deleted)

/// Set exactly when the status is `quarantined`.
enum class QuarantineReason : std::uint8_t { attestation_failed, agent_lost, stop_unconfirmed, dispatch_refused };
BOOST_DESCRIBE_ENUM(QuarantineReason, attestation_failed, agent_lost, stop_unconfirmed, dispatch_refused)

enum class HealthStatus : std::uint8_t { unknown, healthy, unhealthy };
BOOST_DESCRIBE_ENUM(HealthStatus, unknown, healthy, unhealthy)

/// Placeable: only `verified`. Routed: `verified` and `stale`.
enum class AttestationState : std::uint8_t { verified, stale, failed };
BOOST_DESCRIBE_ENUM(AttestationState, verified, stale, failed)

/// The same values as on the wire: none, placeholder, pending, provisioning, ready, failed, deleting.
using TunnelState = agent_api::TunnelState;

enum class DeleteReason : std::uint8_t { owner, admin, stale, capacity };
BOOST_DESCRIBE_ENUM(DeleteReason, owner, admin, stale, capacity)

/// Who may be placed on an owned agent. The texts are `public` and `private`, which C++ does not allow as names.
enum class PlacementScope : std::uint8_t { public_, private_ };
inline auto boost_enum_descriptor_fn(PlacementScope**) {
  struct Public {
    static constexpr auto value() noexcept { return PlacementScope::public_; }
    static constexpr auto name() noexcept { return "public"; }
  };
  struct Private {
    static constexpr auto value() noexcept { return PlacementScope::private_; }
    static constexpr auto name() noexcept { return "private"; }
  };
  return boost::describe::detail::enum_descriptor_fn_impl(0, Public{}, Private{});
}

/// The text of a described enumerator, as in JSON and the database.
template <class E>
std::string_view name_of(E value) {
  return boost::describe::enum_to_string(value, "");
}
/// The enumerator of a text, or nothing.
template <class E>
std::optional<E> enum_of(std::string_view name) {
  E out{};
  if (!boost::describe::enum_from_string(std::string(name).c_str(), out)) return std::nullopt;
  return out;
}

/// A row of `agents`: cold, changed only on events. `row_version` rises by one with every update and is also the
/// version of the tunnel that the agent is told.
struct AgentRow {
  AgentId id = {};
  std::string vm_name = {};
  AgentStatus status = AgentStatus::undeployed;
  std::optional<QuarantineReason> quarantine_reason = {};
  HealthStatus health_status = HealthStatus::unknown;
  std::optional<std::string> health_reason = {};
  UtcTime health_changed_at = {};
  std::optional<UtcTime> unhealthy_since_at = {};
  AttestationState attestation_state = AttestationState::verified;
  bool draining = false;
  std::optional<std::string> drain_reason = {};
  RegistrationId registration_id = {};
  std::string boot_id = {};
  std::optional<DeploymentId> current_deployment_id = {};
  std::int64_t assignment_epoch = 0;
  std::optional<std::string> deployed_app = {};
  std::string placement_key = {};
  PlacementScope placement_scope = PlacementScope::public_;
  std::optional<UtcTime> idle_since_at = {};
  std::string signing_key = {};  ///< base64 of 32 bytes, Ed25519
  std::string sealing_key = {};  ///< base64 of 32 bytes, X25519
  std::string mrtd = {};         ///< 96 hex
  std::string rtmrs = {};        ///< JSON array of four texts of 96 hex
  std::string tcb_status = {};
  std::string evidence_kind = {};        ///< `dcap`, `ita` or `emulated`
  std::string attestation_summary = {};  ///< JSON, at most 8 KiB, claims only
  UtcTime attested_at = {};
  UtcTime attestation_due_at = {};
  std::optional<std::string> attestation_error = {};
  std::optional<UtcTime> attest_requested_at = {};
  std::string node_size = {};
  std::string datacenter = {};
  std::string cloud = {};  ///< part of `datacenter` before the colon
  std::string agent_version = {};
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t disk_mib = 0;
  std::int64_t gpu_count = 0;
  std::optional<AccountId> account_id = {};  ///< nothing: platform pool
  std::optional<std::int64_t> github_owner_id = {};
  std::optional<std::string> github_owner = {};  ///< for display only
  std::optional<std::string> launch_order_id = {};
  std::optional<std::string> enrollment_token_id = {};
  TunnelState tunnel_state = TunnelState::none;
  std::optional<std::string> hostname = {};
  std::optional<std::string> tunnel_name = {};
  std::optional<std::string> tunnel_id = {};
  std::optional<std::string> dns_record_id = {};
  std::optional<Secret> tunnel_token = {};
  std::int64_t tunnel_attempts = 0;
  std::optional<UtcTime> tunnel_next_attempt_at = {};
  std::optional<std::string> tunnel_error = {};
  std::optional<bool> tunnel_reachable = {};
  std::optional<std::string> direct_url = {};
  UtcTime registered_at = {};
  UtcTime created_at = {};
  UtcTime updated_at = {};
  std::optional<UtcTime> deleted_at =
      {};  ///< `deleting`: when it was asked for; `deleted`: when the last resource was gone
  std::optional<DeleteReason> delete_reason = {};
  std::int64_t cleanup_attempts = 0;
  std::optional<UtcTime> cleanup_next_attempt_at = {};
  std::int64_t row_version = 1;
};
BOOST_DESCRIBE_BASES(AgentRow)
// In two lists: BOOST_DESCRIBE_STRUCT ends at 52 members.
inline auto boost_public_member_descriptor_fn(AgentRow**) {
  return boost::describe::detail::member_descriptor_fn_impl<boost::describe::mod_public>(
      0 BOOST_DESCRIBE_PP_FOR_EACH(
          BOOST_DESCRIBE_MEMBER_IMPL, AgentRow, id, vm_name, status, quarantine_reason, health_status, health_reason,
          health_changed_at, unhealthy_since_at, attestation_state, draining, drain_reason, registration_id, boot_id,
          current_deployment_id, assignment_epoch, deployed_app, placement_key, placement_scope, idle_since_at,
          signing_key, sealing_key, mrtd, rtmrs, tcb_status, evidence_kind, attestation_summary, attested_at,
          attestation_due_at, attestation_error, attest_requested_at)
          BOOST_DESCRIBE_PP_FOR_EACH(
              BOOST_DESCRIBE_MEMBER_IMPL, AgentRow, node_size, datacenter, cloud, agent_version, vcpus, memory_mib,
              disk_mib, gpu_count, account_id, github_owner_id, github_owner, launch_order_id, enrollment_token_id,
              tunnel_state, hostname, tunnel_name, tunnel_id, dns_record_id, tunnel_token, tunnel_attempts,
              tunnel_next_attempt_at, tunnel_error, tunnel_reachable, direct_url, registered_at, created_at, updated_at,
              deleted_at, delete_reason, cleanup_attempts, cleanup_next_attempt_at, row_version));
}
BOOST_DESCRIBE_PROTECTED_MEMBERS(AgentRow)
BOOST_DESCRIBE_PRIVATE_MEMBERS(AgentRow)

/// A row of `agent_live`: hot, written only by the coalescing flusher.
struct AgentLiveRow {
  AgentId agent_id = {};
  UtcTime last_heartbeat_at = {};
  std::int64_t seq = 0;
  std::int64_t bad_streak = 0;
  std::int64_t good_streak = 0;
  std::optional<std::string> stats = {};  ///< JSON, at most 2 KiB
  bool operator==(const AgentLiveRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(AgentLiveRow, (), (agent_id, last_heartbeat_at, seq, bad_streak, good_streak, stats))

enum class CredentialState : std::uint8_t { active, retiring, revoked };
BOOST_DESCRIBE_ENUM(CredentialState, active, retiring, revoked)

/// A credential's life; it is rotated long before its end.
inline constexpr Seconds kAgentCredentialLife{30LL * 24 * 3600};

/// A row of `agent_control_credentials`. At most one active and one retiring per agent.
struct CredentialRow {
  std::string id = {};
  AgentId agent_id = {};
  std::string lookup = {};       ///< public part of the credential's text
  std::string secret_hash = {};  ///< Argon2id PHC string of the whole text
  CredentialState state = CredentialState::active;
  UtcTime created_at = {};
  UtcTime expires_at = {};
  std::optional<UtcTime> retire_at = {};  ///< of a retiring one: when it ends
  std::optional<UtcTime> last_used_at = {};
};
BOOST_DESCRIBE_STRUCT(CredentialRow, (),
                      (id, agent_id, lookup, secret_hash, state, created_at, expires_at, retire_at, last_used_at))

}  // namespace ee::cp
