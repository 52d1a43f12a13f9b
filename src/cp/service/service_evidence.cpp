#include "cp/service/service_evidence.h"

#include <algorithm>

#include "common/json.h"

namespace ee::cp {
namespace {

constexpr Seconds kBusy{10};

Error refusal_of(int status) {
  if (status == 429) return Error{.code = ErrorCode::rate_limited, .detail = {}, .retry_after = kBusy};
  if (status == 503) return Error{.code = ErrorCode::tdx_unavailable, .detail = "the agent has no quote now"};
  return Error{.code = ErrorCode::agent_bad_response, .detail = "status " + std::to_string(status)};
}

Error nobody(const ServiceRoute& service) {
  const bool lost =
      service.running > 0 && static_cast<std::int64_t>(service.attestation_lost.size()) == service.running;
  return Error{.code = lost ? ErrorCode::service_attestation_failed : ErrorCode::service_unavailable,
               .detail = {},
               .retry_after = Seconds(5)};
}

}  // namespace

Result<std::string> ServiceEvidence::get(const std::string& service, const std::string& nonce,
                                         const std::optional<std::string>& deployment, std::stop_token stop) {
  const RouteTablePtr table = parts_.routes.table();
  if (!table->available) return fail(ErrorCode::routing_unavailable);
  const auto route = table->find(service);
  if (!route) return fail(ErrorCode::service_not_found);
  if (route->backends.empty()) return fail(nobody(*route));
  const auto chosen = deployment ? std::ranges::find(route->backends, *deployment, &BackendRoute::deployment_id)
                                 : route->backends.begin();
  if (chosen == route->backends.end()) return fail(ErrorCode::deployment_not_found);
  const auto agent = parts_.database.read<std::optional<AgentRow>>(
      [&](db::Transaction& tx) { return agents_.get(tx, AgentId(chosen->agent_id)); });
  if (!agent) return std::unexpected(agent.error());
  if (!*agent) return fail(ErrorCode::service_unavailable);
  auto answer = parts_.client.evidence(**agent, nonce, std::move(stop));
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->status != 200) return fail(refusal_of(answer->status));
  if (!json::parse(answer->body, {.max_bytes = AgentClient::kMaxEvidenceAnswer, .max_depth = 8}))
    return fail(ErrorCode::agent_bad_response, "no JSON");
  return std::move(answer->body);
}

}  // namespace ee::cp
