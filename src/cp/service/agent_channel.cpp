#include "cp/service/agent_channel.h"

#include <algorithm>

#include "common/json.h"
#include "common/sealed_box.h"
#include "cp/domain/agent_deleted.h"
#include "cp/service/tunnel_service.h"

namespace ee::cp {

Result<DirectoryEntryPtr> admit_agent(Directory& directory, const AgentId& agent) {
  auto entry = directory.find_or_read(agent);
  if (!entry) return entry;
  if (*entry == nullptr) return fail(ErrorCode::agent_not_found);
  if (!(*entry)->is_live()) return fail(agent_deleted_error((*entry)->delete_reason));
  if ((*entry)->attestation_state == AttestationState::failed) return fail(ErrorCode::agent_attestation_failed);
  return entry;
}

Result<SignedBody> AgentChannel::tunnel(const AgentId& agent) {
  const auto entry = admit(agent);
  if (!entry) return std::unexpected(entry.error());
  const auto row = database_.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, agent); });
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::agent_not_found);
  agent_api::TunnelAnswer answer{.state = (*row)->tunnel_state,
                                 .version = (*entry)->tunnel_version,
                                 .hostname = (*row)->hostname,
                                 .sealed = std::nullopt};
  if (const auto token = tunnel_token_told(**row)) {
    const auto key = from_base64((*row)->sealing_key);
    if (!key || key->size() != 32) return fail(ErrorCode::internal_error, "a stored sealing key is damaged");
    ByteArray<32> sealing_key{};
    std::ranges::copy(*key, sealing_key.begin());
    std::string secrets = R"({"tunnel_token":)" + json::quote(*token) + "}";
    const auto sealed =
        seal("easyenclave.seal.1:tunnel:" + agent.str() + ":" + std::to_string(answer.version), secrets, sealing_key);
    wipe(secrets);
    if (!sealed) return std::unexpected(sealed.error());
    answer.sealed = agent_api::Sealed{.ciphertext = to_base64(*sealed)};
  }
  std::string body = json::write(answer);
  BodySignature signature = signing_keys_.sign_body("tunnel", agent.str(), (*row)->registration_id.str(), body);
  return SignedBody{.body = std::move(body), .signature = std::move(signature)};
}

Result<SignedBody> AgentChannel::signing_keys(const AgentId& agent) {
  const auto entry = admit(agent);
  if (!entry) return std::unexpected(entry.error());
  std::string body =
      json::write(agent_api::SigningKeys{.version = signing_keys_version_(), .keys = signing_keys_.published()});
  BodySignature signature =
      signing_keys_.sign_body("signing-keys", agent.str(), uuid_text((*entry)->registration_id), body);
  return SignedBody{.body = std::move(body), .signature = std::move(signature)};
}

Result<agent_api::StatusAnswer> AgentChannel::report(const AgentId& agent, const agent_api::StatusRequest& request) {
  const auto entry = admit(agent);
  if (!entry) return std::unexpected(entry.error());
  const auto& workload = request.workload;
  const bool is_ours = workload && (*entry)->current_deployment_id &&
                       *(*entry)->current_deployment_id == key_of(std::string_view(workload->deployment_id)) &&
                       (*entry)->assignment_epoch == workload->assignment_epoch;
  if (workload && !is_ours) return fail(ErrorCode::stale_assignment);
  const auto row =
      database_.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
        auto read = agents_.get(tx, agent);
        if (!read || !*read) return read;
        if (auto applied = deployments_.apply_agent_report(tx, **read, workload, clock_.now()); !applied)
          return std::unexpected(applied.error());
        return agents_.get(tx, agent);
      });
  if (!row) return std::unexpected(row.error());
  if (*row) directory_.put(**row);
  const auto fresh = directory_.find((*entry)->id);
  return agent_api::StatusAnswer{.desired = deployments_.desired_for(fresh != nullptr ? *fresh : **entry, workload)};
}

}  // namespace ee::cp
