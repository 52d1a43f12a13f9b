#include "cp/service/deployment_channel.h"

#include "cp/domain/agent_deleted.h"

namespace ee::cp {

Result<DirectoryEntryPtr> DeploymentChannel::admit(const AgentId& agent) {
  auto entry = directory_.find_or_read(agent);
  if (!entry) return entry;
  if (*entry == nullptr) return fail(ErrorCode::agent_not_found);
  if (!(*entry)->is_live()) return fail(agent_deleted_error((*entry)->delete_reason));
  if ((*entry)->attestation_state == AttestationState::failed) return fail(ErrorCode::agent_attestation_failed);
  return entry;
}

Result<agent_api::StatusAnswer> DeploymentChannel::answer(const Result<AgentRow>& row,
                                                          const std::optional<agent_api::WorkloadReport>& reported) {
  if (!row) return std::unexpected(row.error());
  directory_.put(*row);
  return agent_api::StatusAnswer{.desired = desired_now(row->id, reported)};
}

Result<agent_api::StatusAnswer> DeploymentChannel::status(const AgentId& agent,
                                                          const agent_api::StatusRequest& request) {
  if (const auto entry = admit(agent); !entry) return std::unexpected(entry.error());
  return answer(reports_.status(agent, request.workload, request.log_tail), request.workload);
}

Result<agent_api::StatusAnswer> DeploymentChannel::deployed(const AgentId& agent,
                                                            const agent_api::DeployedRequest& request) {
  if (const auto entry = admit(agent); !entry) return std::unexpected(entry.error());
  return answer(reports_.deployed(agent, request), request.workload);
}

Result<DeploymentReports::Pulled> DeploymentChannel::desired(const AgentId& agent, std::optional<std::int64_t> epoch,
                                                             std::optional<std::int64_t> revision) {
  if (const auto entry = admit(agent); !entry) return std::unexpected(entry.error());
  return reports_.pull(agent, epoch, revision);
}

agent_api::Desired DeploymentChannel::desired_now(const AgentId& agent,
                                                  const std::optional<agent_api::WorkloadReport>& reported) {
  const auto entry = directory_.find_or_read(agent);
  if (!entry || *entry == nullptr) return {.action = agent_api::DesiredAction::keep, .grace_seconds = 0};
  return reports_.desired_for(**entry, reported);
}

}  // namespace ee::cp
