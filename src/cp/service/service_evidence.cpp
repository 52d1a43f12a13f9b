#include "cp/service/service_evidence.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/bytes.h"
#include "common/jose.h"
#include "common/json.h"

namespace ee::cp {
namespace {

/// What an agent's refusal is to the party: the codes of 02 section 15.5, nothing else of what it says.
Error refusal_of(const AgentAnswer& answer) {
  if (answer.status == 429) return {.code = ErrorCode::rate_limited, .retry_after = Seconds(60)};
  if (answer.status == 503) {
    const auto said = json::parse(answer.body, {.max_bytes = 64UL * 1024, .max_depth = 8});
    const auto code = said && said->is_object() ? jose::text_member(said->get_object(), "code") : std::nullopt;
    if (code == slug(ErrorCode::tdx_unavailable)) return {.code = ErrorCode::tdx_unavailable};
    if (code == slug(ErrorCode::agent_not_active)) return {.code = ErrorCode::agent_not_active};
    return {.code = ErrorCode::agent_unreachable, .retry_after = Seconds(5)};
  }
  return {.code = ErrorCode::agent_bad_response, .detail = "status " + std::to_string(answer.status)};
}

}  // namespace

/// Agents that run it and have not lost trust, healthy ones first.
Result<std::vector<AgentRow>> ServiceEvidence::backends(std::string_view service,
                                                        const std::optional<DeploymentId>& deployment) const {
  return database_.read<std::vector<AgentRow>>([&](db::Transaction& tx) -> Result<std::vector<AgentRow>> {
    const auto known = services_.find(tx, service);
    if (!known) return std::unexpected(known.error());
    if (!*known) return fail(ErrorCode::service_not_found);
    const DeploymentFilter filter{.states = {DeploymentState::running, DeploymentState::updating},
                                  .service = std::string(service)};
    auto rows = deployments_.list(tx, filter, PageRequest{.limit = PageRequest::kMaxLimit});
    if (!rows) return std::unexpected(rows.error());
    std::ranges::sort(rows->items, {}, [](const DeploymentRow& row) {
      return std::pair(row.health != DeploymentHealth::healthy, std::string_view(row.id.str()));
    });
    std::vector<AgentRow> out;
    for (const DeploymentRow& row : rows->items) {
      if (deployment && row.id != *deployment) continue;
      if (!row.agent_id || !row.slot_held || out.size() >= kMostAsked) continue;
      auto agent = AgentStore().get(tx, *row.agent_id);
      if (!agent) return std::unexpected(agent.error());
      if (!*agent || (*agent)->current_deployment_id != row.id) continue;
      if ((*agent)->status == AgentStatus::quarantined || (*agent)->attestation_state == AttestationState::failed)
        continue;
      out.push_back(std::move(**agent));
    }
    return out;
  });
}

Result<std::string> ServiceEvidence::ask(const AgentRow& agent, std::string_view nonce, const std::stop_token& stop) {
  auto answer = client_.evidence(agent, nonce, stop);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->status != 200) return fail(refusal_of(*answer));
  const auto said = json::parse(answer->body, {.max_bytes = AgentClient::kMaxEvidenceAnswer, .max_depth = 16});
  if (!said || !said->is_object()) return fail(ErrorCode::agent_bad_response, "evidence is no JSON object");
  return std::move(answer->body);
}

Result<std::string> ServiceEvidence::fetch(std::string_view service, const std::optional<DeploymentId>& deployment,
                                           std::string_view nonce, const std::stop_token& stop) {
  if (!from_hex_exact<32>(nonce))
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{.field = "nonce", .code = "bad_format", .detail = "64 hexadecimal digits"}}});
  const auto agents = backends(service, deployment);
  if (!agents) return std::unexpected(agents.error());
  if (agents->empty()) return fail(Error{.code = ErrorCode::service_unavailable, .retry_after = Seconds(5)});
  Result<std::string> answer = fail(ErrorCode::agent_unreachable);
  for (const AgentRow& agent : *agents) {
    answer = ask(agent, nonce, stop);
    if (answer || answer.error().code != ErrorCode::agent_unreachable) break;
  }
  return answer;
}

}  // namespace ee::cp
