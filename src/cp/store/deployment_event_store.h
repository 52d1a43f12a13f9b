#pragma once
#include <vector>

#include "cp/domain/deployment.h"
#include "db/database.h"

namespace ee::cp {

/// Table `deployment_events`: what happened to a deployment, numbered from 1 without a gap. Stateless.
class DeploymentEventStore {
 public:
  /// From so many on, `progress` events overwrite the newest one of their kind; changes of state are always kept.
  static constexpr std::int64_t kCap = 1000;
  static constexpr std::size_t kMaxDetail = 4096;

  /// Gives the row its number. A detail above kMaxDetail is replaced by a note.
  Result<void> append(db::Transaction& tx, DeploymentEventRow row) const;
  /// Ascending, after `after_seq`.
  Result<std::vector<DeploymentEventRow>> list(db::Transaction& tx, const DeploymentId& id, std::int64_t after_seq,
                                               std::int64_t limit) const;
  /// The newest `progress` event, if it is the newest of all.
  Result<std::optional<UtcTime>> last_progress_at(db::Transaction& tx, const DeploymentId& id) const;
  /// Whether there is one of this kind after the newest one of kind `since`.
  Result<bool> has_since(db::Transaction& tx, const DeploymentId& id, const std::string& kind,
                         const std::string& since) const;
  /// Of deployments that ended before `ended_before`; at most `limit`.
  Result<std::int64_t> remove_old(db::Transaction& tx, UtcTime ended_before, std::int64_t limit) const;

 private:
  /// Whether there are so many events that this one took the place of the newest progress.
  Result<bool> merge_progress(db::Transaction& tx, const DeploymentEventRow& row) const;
};

}  // namespace ee::cp
