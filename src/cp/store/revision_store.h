#pragma once
#include <optional>
#include <vector>

#include "cp/domain/deployment.h"
#include "db/database.h"

namespace ee::cp {

/// Tables `deployment_revisions` and `deployment_secrets`. Stateless.
class RevisionStore {
 public:
  /// Kept of one deployment; the oldest superseded ones go first.
  static constexpr std::int64_t kMostRevisions = 50;

  Result<void> insert(db::Transaction& tx, const RevisionRow& row) const;
  Result<std::optional<RevisionRow>> get(db::Transaction& tx, const DeploymentId& id, std::int64_t revision) const;
  /// Ascending.
  Result<std::vector<RevisionRow>> list(db::Transaction& tx, const DeploymentId& id) const;
  /// Nothing: there is no such revision.
  Result<std::optional<std::int64_t>> deploy_timeout_seconds(db::Transaction& tx, const DeploymentId& id,
                                                             std::int64_t revision) const;
  /// The highest number so far.
  Result<std::int64_t> last(db::Transaction& tx, const DeploymentId& id) const;
  Result<std::optional<RevisionRow>> last_superseded(db::Transaction& tx, const DeploymentId& id) const;
  Result<void> set_outcome(db::Transaction& tx, const DeploymentId& id, std::int64_t revision,
                           RevisionOutcome outcome) const;
  /// Drops what is over kMostRevisions with its secrets, never `keep_a` and `keep_b`.
  Result<std::int64_t> drop_old(db::Transaction& tx, const DeploymentId& id, std::int64_t keep_a,
                                std::int64_t keep_b) const;

  Result<void> insert_secret(db::Transaction& tx, const SecretRow& row) const;
  /// By name.
  Result<std::vector<SecretRow>> secrets(db::Transaction& tx, const DeploymentId& id, std::int64_t revision) const;
  Result<std::int64_t> drop_secrets(db::Transaction& tx, const DeploymentId& id) const;
  /// Secrets of deployments that have ended: a crash cannot leave any, but a restored backup can.
  Result<std::int64_t> drop_leftover_secrets(db::Transaction& tx, std::int64_t limit) const;
};

}  // namespace ee::cp
