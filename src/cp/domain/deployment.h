#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/id.h"
#include "common/money.h"
#include "common/time.h"
#include "cp/domain/price.h"

namespace ee::cp {

/// Life of a deployment (03 section 4). The last three are final.
enum class DeploymentState : std::uint8_t {
  pending,
  assigned,
  deploying,
  running,
  updating,
  stopping,
  stopped,
  failed,
  terminated
};
BOOST_DESCRIBE_ENUM(DeploymentState, pending, assigned, deploying, running, updating, stopping, stopped, failed,
                    terminated)
constexpr bool is_final(DeploymentState state) {
  return state == DeploymentState::stopped || state == DeploymentState::failed || state == DeploymentState::terminated;
}
/// Whether a deployment in this state owns its agent.
constexpr bool holds_slot(DeploymentState state) { return state != DeploymentState::pending && !is_final(state); }

enum class DeploymentHealth : std::uint8_t { unknown, healthy, unhealthy };
BOOST_DESCRIBE_ENUM(DeploymentHealth, unknown, healthy, unhealthy)

enum class OnAgentLost : std::uint8_t { fail, redeploy };
BOOST_DESCRIBE_ENUM(OnAgentLost, fail, redeploy)

enum class DeployAuth : std::uint8_t { api_key, github_oidc, session };
BOOST_DESCRIBE_ENUM(DeployAuth, api_key, github_oidc, session)

/// `auth_context` of a deployment that somebody signed in through GitHub made: whose private agents it may use.
struct SessionOwners {
  std::vector<std::int64_t> github_owners = {};  ///< at most 16, ascending
};
BOOST_DESCRIBE_STRUCT(SessionOwners, (), (github_owners))

enum class RevisionOutcome : std::uint8_t { pending, active, superseded, failed, rolled_back };
BOOST_DESCRIBE_ENUM(RevisionOutcome, pending, active, superseded, failed, rolled_back)

/// Who may use a service. The texts are `public`, `account` and `token`.
enum class ServiceAccess : std::uint8_t { public_, account, token };
inline auto boost_enum_descriptor_fn(ServiceAccess**) {
  struct Public {
    static constexpr auto value() noexcept { return ServiceAccess::public_; }
    static constexpr auto name() noexcept { return "public"; }
  };
  struct Account {
    static constexpr auto value() noexcept { return ServiceAccess::account; }
    static constexpr auto name() noexcept { return "account"; }
  };
  struct Token {
    static constexpr auto value() noexcept { return ServiceAccess::token; }
    static constexpr auto name() noexcept { return "token"; }
  };
  return boost::describe::detail::enum_descriptor_fn_impl(0, Public{}, Account{}, Token{});
}

/// How a secret reaches the workload.
enum class SecretKind : std::uint8_t { env, file };
BOOST_DESCRIBE_ENUM(SecretKind, env, file)

/// A row of `deployments`: a placement of one workload on one agent at a time. Every write raises `row_version`.
struct DeploymentRow {
  DeploymentId id = {};
  std::string group_id = {};  ///< the same for all replicas of one request
  AccountId account_id = {};  ///< who deployed and pays
  std::string service_id = {};
  DeploymentState state = DeploymentState::pending;
  std::optional<DeploymentState> final_state = {};     ///< what `stopping` leads to; kept when final
  std::optional<std::string> termination_reason = {};  ///< the first reason stays
  std::optional<std::string> failure_code = {};
  std::optional<std::string> failure_detail = {};  ///< at most 2 KiB, redacted
  std::optional<AgentId> agent_id = {};            ///< present or last
  std::optional<std::string> agent_name = {};      ///< the pin
  bool slot_held = false;
  std::int64_t assignment_epoch = 0;
  std::int64_t placement_attempts = 0;  ///< reset after 24 h of running
  std::int64_t current_revision = 1;
  std::int64_t target_revision = 1;
  DeployAuth auth_method = DeployAuth::api_key;
  std::optional<std::string> auth_context = {};  ///< JSON, never the token
  std::string node_size = {};
  std::string datacenter_policy = {};      ///< JSON of PlacementRules and what the request may see
  std::optional<std::int64_t> vcpus = {};  ///< of the agent, at the claim
  std::optional<std::int64_t> memory_mib = {};
  std::optional<std::int64_t> gpu_count = {};
  SlaClass sla_class = SlaClass::adhoc;
  std::optional<UsdMicros> hourly_micros = {};
  DeploymentHealth health = DeploymentHealth::unknown;
  std::optional<UtcTime> health_changed_at = {};
  OnAgentLost on_agent_lost = OnAgentLost::fail;
  std::optional<DeploymentId> replaces_deployment_id = {};
  std::optional<UtcTime> expires_at = {};
  std::optional<UtcTime> wait_ends_at = {};  ///< until then it may be `pending`
  std::optional<UtcTime> state_deadline_at = {};
  std::optional<UtcTime> next_action_at = {};  ///< when the reconciler must look
  std::int64_t action_attempts = 0;
  std::optional<std::string> lease_owner = {};
  std::optional<UtcTime> lease_expires_at = {};
  std::optional<std::string> phase = {};         ///< of the last report
  std::optional<std::string> progress = {};      ///< JSON of the last report's
  std::optional<std::string> log_tail = {};      ///< base64; for its owner alone
  std::optional<UtcTime> workload_gone_at = {};  ///< since when the agent says that nothing runs
  std::int64_t reboots = 0;                      ///< since `reboots_since_at`
  std::optional<UtcTime> reboots_since_at = {};
  std::optional<std::int64_t> rollback_revision = {};  ///< the target, when it is an automatic rollback
  std::optional<UtcTime> migrate_next_at = {};         ///< its agent is drained: when another one is tried
  std::optional<UtcTime> billable_from_at = {};
  std::optional<UtcTime> billable_to_at = {};
  UtcTime created_at = {};
  UtcTime updated_at = {};
  std::optional<UtcTime> started_at = {};  ///< first time it ran
  std::optional<UtcTime> running_since_at = {};
  std::optional<UtcTime> ended_at = {};
  std::int64_t row_version = 0;
  bool operator==(const DeploymentRow&) const = default;

  bool is_pinned() const { return agent_name.has_value(); }
  bool is_rolling_back() const { return rollback_revision == target_revision && target_revision != current_revision; }
};
BOOST_DESCRIBE_STRUCT(DeploymentRow, (),
                      (id, group_id, account_id, service_id, state, final_state, termination_reason, failure_code,
                       failure_detail, agent_id, agent_name, slot_held, assignment_epoch, placement_attempts,
                       current_revision, target_revision, auth_method, auth_context, node_size, datacenter_policy,
                       vcpus, memory_mib, gpu_count, sla_class, hourly_micros, health, health_changed_at, on_agent_lost,
                       replaces_deployment_id, expires_at, wait_ends_at, state_deadline_at, next_action_at,
                       action_attempts, lease_owner, lease_expires_at, phase, progress, log_tail, workload_gone_at,
                       reboots, reboots_since_at, rollback_revision, migrate_next_at, billable_from_at, billable_to_at,
                       created_at, updated_at, started_at, running_since_at, ended_at, row_version))

/// A row of `deployment_revisions`: what a deployment is to run. Only `outcome` ever changes.
struct RevisionRow {
  DeploymentId deployment_id = {};
  std::int64_t revision = 1;
  std::optional<std::string> app_id = {};
  std::optional<std::string> version_id = {};
  std::optional<std::string> app_name = {};
  std::optional<std::string> app_version = {};
  std::optional<std::string> compose = {};  ///< as sent; nothing when it came from a version
  std::string compose_sha256 = {};          ///< of the text as sent
  std::string resolved_compose = {};        ///< canonical JSON, every image pinned
  std::string compose_hash = {};
  std::string workload_hash = {};
  std::string images = {};   ///< JSON: service to pinned reference
  std::string ingress = {};  ///< JSON list of {path_prefix, port}
  std::string env = {};      ///< JSON object
  std::string health_path = {};
  std::int64_t deploy_timeout_seconds = 900;
  std::string created_by = {};
  UtcTime created_at = {};
  RevisionOutcome outcome = RevisionOutcome::pending;
  bool operator==(const RevisionRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(RevisionRow, (),
                      (deployment_id, revision, app_id, version_id, app_name, app_version, compose, compose_sha256,
                       resolved_compose, compose_hash, workload_hash, images, ingress, env, health_path,
                       deploy_timeout_seconds, created_by, created_at, outcome))

/// A row of `deployment_secrets`, sealed in the secret box.
struct SecretRow {
  DeploymentId deployment_id = {};
  std::int64_t revision = 1;
  std::string name = {};
  SecretKind as_kind = SecretKind::env;
  std::string key_id = {};
  std::string sealed = {};  ///< base64
};
BOOST_DESCRIBE_STRUCT(SecretRow, (), (deployment_id, revision, name, as_kind, key_id, sealed))

/// A row of `deployment_events`.
struct DeploymentEventRow {
  DeploymentId deployment_id = {};
  std::int64_t seq = 0;
  UtcTime at = {};
  std::string kind = {};
  std::optional<DeploymentState> from_state = {};
  std::optional<DeploymentState> to_state = {};
  std::string actor = {};
  std::optional<std::string> reason = {};
  std::string detail = "{}";  ///< JSON object, at most 4 KiB
  std::optional<std::string> request_id = {};
};
BOOST_DESCRIBE_STRUCT(DeploymentEventRow, (),
                      (deployment_id, seq, at, kind, from_state, to_state, actor, reason, detail, request_id))

/// A row of `services`: the name that traffic is routed by.
struct ServiceRow {
  std::string id = {};
  std::string name = {};
  AccountId account_id = {};
  ServiceAccess access = ServiceAccess::account;
  std::string settings = "{}";
  UtcTime created_at = {};
  UtcTime updated_at = {};
  std::optional<UtcTime> deleted_at = {};
  std::optional<UtcTime> last_healthy_at = {};
  std::int64_t row_version = 1;
};
BOOST_DESCRIBE_STRUCT(ServiceRow, (),
                      (id, name, account_id, access, settings, created_at, updated_at, deleted_at, last_healthy_at,
                       row_version))

}  // namespace ee::cp
