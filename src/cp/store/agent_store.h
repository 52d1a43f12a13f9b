#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/agent.h"
#include "db/database.h"

namespace ee::cp {

/// What a list of agents may be narrowed by. Without `status`, tombstones are left out.
struct AgentFilter {
  std::optional<AgentStatus> status = {};
  std::optional<HealthStatus> health_status = {};
  std::optional<AttestationState> attestation_state = {};
  std::optional<bool> draining = {};
  std::optional<std::string> node_size = {};
  std::optional<std::string> datacenter = {};
  std::optional<std::string> vm_name_prefix = {};
  std::optional<AccountId> account_id = {};
  std::optional<std::int64_t> github_owner_id = {};
};

/// What the in-memory directory keeps of an agent; see service/directory.h. Columns of `agents`.
struct DirectoryRow {
  AgentId id = {};
  std::string vm_name = {};
  AgentStatus status = AgentStatus::undeployed;
  std::optional<QuarantineReason> quarantine_reason = {};
  HealthStatus health_status = HealthStatus::unknown;
  UtcTime health_changed_at = {};
  AttestationState attestation_state = AttestationState::verified;
  bool draining = false;
  RegistrationId registration_id = {};
  std::string boot_id = {};
  std::optional<DeploymentId> current_deployment_id = {};
  std::int64_t assignment_epoch = 0;
  UtcTime attested_at = {};
  UtcTime attestation_due_at = {};
  std::optional<UtcTime> attest_requested_at = {};
  TunnelState tunnel_state = TunnelState::none;
  std::optional<std::string> hostname = {};
  std::optional<std::string> tunnel_id = {};
  std::optional<std::string> direct_url = {};
  std::optional<DeleteReason> delete_reason = {};
  UtcTime registered_at = {};
  UtcTime updated_at = {};
  std::int64_t row_version = 0;
  bool operator==(const DirectoryRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(DirectoryRow, (),
                      (id, vm_name, status, quarantine_reason, health_status, health_changed_at, attestation_state,
                       draining, registration_id, boot_id, current_deployment_id, assignment_epoch, attested_at,
                       attestation_due_at, attest_requested_at, tunnel_state, hostname, tunnel_id, direct_url,
                       delete_reason, registered_at, updated_at, row_version))

/// That a row changed, and to which version.
struct AgentChange {
  AgentId id = {};
  UtcTime updated_at = {};
  std::int64_t row_version = 0;
};
BOOST_DESCRIBE_STRUCT(AgentChange, (), (id, updated_at, row_version))

struct AgentCount {
  AgentStatus status = AgentStatus::undeployed;
  HealthStatus health_status = HealthStatus::unknown;
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(AgentCount, (), (status, health_status, count))

/// Table `agents`. Stateless: every method works in the caller's transaction. Errors: those of the transaction, and
/// what a method names.
class AgentStore {
 public:
  /// Errors: `vm_name_in_use` when a live agent has the name (or the hostname).
  Result<void> insert(db::Transaction& tx, const AgentRow& row) const;

  Result<std::optional<AgentRow>> get(db::Transaction& tx, const AgentId& id) const;
  /// The agent of that name that is not a tombstone.
  Result<std::optional<AgentRow>> find_by_vm_name(db::Transaction& tx, std::string_view vm_name) const;
  /// The agent of this name and the deleted ones that had it before, the latest first.
  Result<std::vector<AgentId>> ids_by_vm_name(db::Transaction& tx, std::string_view vm_name, std::int64_t limit) const;
  Result<std::optional<AgentRow>> find_by_hostname(db::Transaction& tx, std::string_view hostname) const;

  /// Writes `after` over the row that still is `before` (same `row_version` and status). True: written, and `after` has
  /// its new `row_version` and `updated_at`. False: somebody was faster, or the row is gone; nothing changed.
  /// `id`, `vm_name` and `created_at` never change. Errors: `in_use` when the hostname is another agent's.
  Result<bool> update(db::Transaction& tx, const AgentRow& before, AgentRow& after, UtcTime now) const;

  // Those below are guarded by the value they leave and cheap enough for a whole fleet. They answer the row as it
  // is now for the directory, or nothing when the guard did not hold.

  /// Health alone. Nothing when the agent has another health, is being deleted or is gone.
  Result<std::optional<DirectoryRow>> set_health(db::Transaction& tx, const AgentId& id, HealthStatus from,
                                                 HealthStatus to, const std::optional<std::string>& reason,
                                                 UtcTime now) const;
  /// `verified` -> `stale`.
  Result<std::optional<DirectoryRow>> mark_attestation_stale(db::Transaction& tx, const AgentId& id, UtcTime now) const;
  /// `stale` -> `verified`, when its evidence still is that of `attested_at`.
  Result<std::optional<DirectoryRow>> mark_attestation_verified(db::Transaction& tx, const AgentId& id,
                                                                UtcTime attested_at, UtcTime now) const;
  /// Evidence that was accepted after `limit`: it is dated `now`, and due. The clock that dated it was wrong.
  Result<std::optional<DirectoryRow>> bring_attestation_back(db::Transaction& tx, const AgentId& id, UtcTime limit,
                                                             UtcTime now) const;
  /// At most `limit` agents with an id above `after` whose evidence was accepted after `at`, by id. Reads the table.
  Result<std::vector<AgentId>> attested_after(db::Transaction& tx, UtcTime at, const AgentId& after,
                                              std::int64_t limit) const;
  /// Sets `attest_requested_at` where it is not set.
  Result<std::optional<DirectoryRow>> request_attestation(db::Transaction& tx, const AgentId& id, UtcTime now) const;

  /// At most `limit` agents with an id above `after`, by id.
  Result<std::vector<AgentRow>> list(db::Transaction& tx, const AgentFilter& filter,
                                     const std::optional<AgentId>& after, std::int64_t limit) const;

  /// The feed of the directory: rows changed at or after (`updated_at`, `id`), exclusive, and not after `until`, in
  /// that order.
  Result<std::vector<AgentChange>> changed_since(db::Transaction& tx, UtcTime updated_at, const AgentId& id,
                                                 std::int64_t limit, UtcTime until = UtcTime::max()) const;
  /// All rows, tombstones too, by id: for a full reload.
  Result<std::vector<DirectoryRow>> directory_page(db::Transaction& tx, const AgentId& after, std::int64_t limit) const;
  Result<std::optional<DirectoryRow>> directory_row(db::Transaction& tx, const AgentId& id) const;

  /// Agents whose tunnel needs work now, longest waiting first.
  Result<std::vector<AgentRow>> tunnel_work(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// Agents being deleted whose clean-up is due, longest waiting first.
  Result<std::vector<AgentRow>> cleanup_work(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// How many agents hold a tunnel (or may hold one that was begun).
  Result<std::int64_t> count_tunnels(db::Transaction& tx) const;
  /// How many agents have wanted to be cleaned up since before `asked_before`.
  Result<std::int64_t> count_stuck_cleanups(db::Transaction& tx, UtcTime asked_before) const;

  /// Agents that are not being deleted and whose attestation is due at or before `now`, after (`due`, `id`), in that
  /// order.
  Result<std::vector<DirectoryRow>> attestation_due(db::Transaction& tx, UtcTime now, UtcTime after_due,
                                                    const AgentId& after_id, std::int64_t limit) const;

  /// By status and health, without tombstones. Reads the whole table: for metrics, not for requests.
  Result<std::vector<AgentCount>> counts(db::Transaction& tx) const;

  /// Removes at most `limit` tombstones older than `deleted_before`, with their live rows and credentials.
  Result<std::int64_t> purge_tombstones(db::Transaction& tx, UtcTime deleted_before, std::int64_t limit) const;
};

}  // namespace ee::cp
