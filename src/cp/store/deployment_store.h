#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/domain/deployment.h"
#include "db/database.h"

namespace ee::cp {

/// What a list of deployments may be narrowed by.
struct DeploymentFilter {
  /// Of these accounts alone; nothing: of all. An empty list finds nothing.
  std::optional<std::vector<AccountId>> accounts = {};
  std::vector<DeploymentState> states = {};  ///< empty: all
  std::optional<std::string> service = {};   ///< name
  std::optional<std::string> app = {};       ///< name, of the present revision
  std::optional<std::string> version = {};
  std::optional<AgentId> agent_id = {};
  std::optional<std::string> group_id = {};
  std::optional<UtcTime> created_after = {};
  std::optional<UtcTime> created_before = {};
  /// Also on agents of these accounts or GitHub owners, whoever deployed them (`/me/deployments`).
  std::vector<AccountId> agent_accounts = {};
  std::vector<std::int64_t> agent_github_owners = {};
};

struct DeploymentCount {
  DeploymentState state = DeploymentState::pending;
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(DeploymentCount, (), (state, count))

struct ReplacementCount {
  std::int64_t count = 0;
  std::int64_t live = 0;  ///< of them, not final
};
BOOST_DESCRIBE_STRUCT(ReplacementCount, (), (count, live))

/// Table `deployments`. Stateless: every method works in the caller's transaction. Errors: those of the transaction,
/// and what a method names.
class DeploymentStore {
 public:
  /// Errors: `concurrent_update` when the agent is held already.
  Result<void> insert(db::Transaction& tx, const DeploymentRow& row) const;
  Result<std::optional<DeploymentRow>> get(db::Transaction& tx, const DeploymentId& id) const;
  /// Nothing: there is no such deployment.
  Result<std::optional<std::int64_t>> version_of(db::Transaction& tx, const DeploymentId& id) const;
  /// Writes `after` over the row that still has the version of `before`; `after` gets its new version and time. False:
  /// somebody was faster. Errors: `concurrent_update` when its agent is held already.
  Result<bool> update(db::Transaction& tx, const DeploymentRow& before, DeploymentRow& after, UtcTime now) const;

  /// Newest first.
  Result<Page<DeploymentRow>> list(db::Transaction& tx, const DeploymentFilter& filter, const PageRequest& page) const;
  /// The one that holds this agent.
  Result<std::optional<DeploymentRow>> holder_of(db::Transaction& tx, const AgentId& agent) const;
  /// Those whose `next_action_at` has come, the longest due first.
  Result<std::vector<DeploymentRow>> due(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// Takes the leases of those that are due and free, the longest due first; the rows as they are then, in any order.
  Result<std::vector<DeploymentRow>> lease_due(db::Transaction& tx, const std::string& owner, UtcTime until,
                                               UtcTime now, std::int64_t limit) const;
  /// The documents of the service's deployments are to be sent again: who may call it has changed.
  Result<void> change_documents(db::Transaction& tx, const std::string& service_id, UtcTime now) const;
  /// Whether its document is not yet known to have arrived since then.
  Result<bool> has_changed_document(db::Transaction& tx, const DeploymentId& id) const;
  Result<void> document_arrived(db::Transaction& tx, const DeploymentId& id) const;
  /// Gives up leases of this owner; how many.
  Result<std::int64_t> release_leases(db::Transaction& tx, const std::string& owner) const;

  Result<std::vector<DeploymentRow>> expired(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// `pending` ones, oldest first, after this one.
  Result<std::vector<DeploymentRow>> waiting(db::Transaction& tx, const std::optional<PagePosition>& after,
                                             std::int64_t limit) const;
  /// Running ones that stand in for another that is not final, healthy since before `healthy_before`.
  Result<std::vector<DeploymentRow>> replacing(db::Transaction& tx, UtcTime healthy_before, std::int64_t limit) const;
  /// Those that are to go elsewhere and whose next try is due, the longest due first.
  Result<std::vector<DeploymentRow>> migrating(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// Those that were made in the place of this one.
  Result<ReplacementCount> replacements(db::Transaction& tx, const DeploymentId& id) const;
  /// The one that is about to take the place of this one: not final and not stopping. There is at most one.
  Result<std::optional<DeploymentId>> successor(db::Transaction& tx, const DeploymentId& id) const;
  /// Of the same group, made in the place of this one, not final and not stopping: what a migration made.
  Result<std::vector<DeploymentId>> migrated_from(db::Transaction& tx, const DeploymentRow& row) const;
  /// Not final and not stopping, newest first.
  Result<std::vector<DeploymentId>> running_of(db::Transaction& tx, const AccountId& account, std::int64_t limit) const;
  Result<std::int64_t> count_active(db::Transaction& tx, const AccountId& account) const;
  /// Whether one that is not final was made by a workflow of this GitHub owner.
  Result<bool> owner_in_use(db::Transaction& tx, std::int64_t github_id) const;
  /// Sum of the hourly prices of those that are not final and not stopping, and have no open segment.
  Result<UsdMicros> pending_burn(db::Transaction& tx, const AccountId& account) const;
  /// SQL of `pending_burn`, for the test of its plan.
  static const std::string& pending_burn_sql();
  /// By state, for metrics.
  Result<std::vector<DeploymentCount>> counts(db::Transaction& tx) const;
};

}  // namespace ee::cp
