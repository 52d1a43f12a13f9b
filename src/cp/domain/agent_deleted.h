#pragma once
#include <optional>
#include <string>

#include "common/error.h"
#include "cp/domain/agent.h"

namespace ee::cp {

/// What an agent hears that is deleted: `agent_deleted` with the member `reason`, by which it knows whether it may come
/// back (`stale`) or has to end.
inline Error agent_deleted_error(std::optional<DeleteReason> reason) {
  std::string text(name_of(reason.value_or(DeleteReason::admin)));
  Error out{.code = ErrorCode::agent_deleted, .detail = text};
  out.members.push_back({.name = "reason", .value = std::move(text)});
  return out;
}

}  // namespace ee::cp
