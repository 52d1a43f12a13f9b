#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/placement_reasons.h"
#include "db/database.h"

namespace ee::cp {

/// Agents as placement finds them: by seeks in the index `agents_placement`, never by a scan. Stateless.
class PlacementStore {
 public:
  /// The next datacenter after `after` that has an idle agent of this key and size; one seek.
  Result<std::optional<std::string>> next_datacenter(db::Transaction& tx, const std::string& key,
                                                     const std::string& node_size, const std::string& after) const;
  /// Idle agents of one pool, longest idle first, ties by id; after (`idle_since_at`, `id`) of the last one seen.
  Result<std::vector<PlacementCandidate>> idle(db::Transaction& tx, const std::string& key,
                                               const std::string& node_size, const std::string& datacenter,
                                               std::int64_t limit) const;
  /// Idle agents of this key and size in the datacenters after `after`: by datacenter, then as `idle`. So the first one
  /// is of the next datacenter that has any.
  Result<std::vector<PlacementCandidate>> idle_after(db::Transaction& tx, const std::string& key,
                                                     const std::string& node_size, const std::string& after,
                                                     std::int64_t limit) const;
  Result<std::optional<PlacementCandidate>> find(db::Transaction& tx, const AgentId& id) const;
  /// By id, those that the caller may see; for preflights.
  Result<std::vector<PlacementCandidate>> visible(db::Transaction& tx, const PlacementCaller& caller,
                                                  const AgentId& after, std::int64_t limit) const;
  /// The agent of that name, if the caller may see it.
  Result<std::optional<PlacementCandidate>> visible_by_name(db::Transaction& tx, const PlacementCaller& caller,
                                                            const std::string& vm_name) const;
  /// SQL of `idle`, `idle_after` and `next_datacenter`, for the test of their plans.
  static const std::string& idle_sql();
  static const std::string& idle_after_sql();
  static const std::string& next_datacenter_sql();
};

}  // namespace ee::cp
