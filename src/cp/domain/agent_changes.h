#pragma once
#include <optional>
#include <string>

#include "common/error.h"
#include "cp/domain/agent_state.h"

namespace ee::cp {

/// What an event brings along.
struct ChangeInputs {
  std::optional<DeploymentId> deployment = {};     ///< of `claim`
  std::optional<std::string> deployed_app = {};    ///< of `report_running`
  std::optional<DeleteReason> delete_reason = {};  ///< of `delete_requested`, `delete_forced`
  std::optional<std::string> reason_code = {};     ///< of `attestation_failed`
};

/// Moves `row` by `event` as the state table says and writes every effect that is a column of the row. Answers all
/// effects, since events to the deployment service, credentials and reservations are the caller's, in the same
/// transaction. Pure; `row` is untouched on an error. Errors: those of next_state.
Result<AgentEffect> change_state(AgentRow& row, AgentEvent event, const AgentFacts& facts, UtcTime now,
                                 const ChangeInputs& inputs = {});

/// Whether something of this agent's tunnel may exist outside: in doubt, yes.
bool may_have_tunnel(const AgentRow& row);

}  // namespace ee::cp
