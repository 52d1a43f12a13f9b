#include "cp/domain/placement.h"

namespace ee::cp {

std::string placement_key(const PlacementInputs& inputs) {
  if (inputs.draining) return "x";
  if (inputs.reserved_for) return "r:" + inputs.reserved_for->str();
  if (inputs.scope == PlacementScope::private_ && inputs.account_id) return "a:" + inputs.account_id->str();
  if (inputs.github_owner_id) return "g:" + std::to_string(*inputs.github_owner_id);
  return "p";
}

std::string placement_key(const AgentRow& agent, const std::optional<AccountId>& reserved_for) {
  return placement_key(PlacementInputs{.draining = agent.draining,
                                       .reserved_for = reserved_for,
                                       .scope = agent.placement_scope,
                                       .account_id = agent.account_id,
                                       .github_owner_id = agent.github_owner_id});
}

PlacementScope default_placement_scope(const std::optional<AccountId>& account_id,
                                       const std::optional<std::int64_t>& github_owner_id, bool of_launch_order) {
  if (of_launch_order) return PlacementScope::public_;
  return account_id || github_owner_id ? PlacementScope::private_ : PlacementScope::public_;
}

}  // namespace ee::cp
