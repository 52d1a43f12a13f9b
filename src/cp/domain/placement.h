#pragma once
#include <optional>
#include <string>

#include "cp/domain/agent.h"

namespace ee::cp {

/// What decides who may be placed on an agent.
struct PlacementInputs {
  bool draining = false;
  std::optional<AccountId> reserved_for = {};  ///< account of the open reservation, if it names one
  PlacementScope scope = PlacementScope::public_;
  std::optional<AccountId> account_id = {};
  std::optional<std::int64_t> github_owner_id = {};
};

/// The agent's `placement_key`: visibility as an index prefix. `x` (draining: no request asks for it), `r:<account>`
/// (reserved), `a:<account>` (private), `g:<GitHub owner>`, `p` (public). Recomputed in the same transaction as any
/// change of its inputs.
std::string placement_key(const PlacementInputs& inputs);
/// The key of an agent as it is, with what is reserved on it.
std::string placement_key(const AgentRow& agent, const std::optional<AccountId>& reserved_for);

/// The scope of a new agent: always public for one of a launch order, else private when somebody owns it.
PlacementScope default_placement_scope(const std::optional<AccountId>& account_id,
                                       const std::optional<std::int64_t>& github_owner_id, bool of_launch_order);

}  // namespace ee::cp
