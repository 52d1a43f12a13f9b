#include "cp/service/target_audit.h"

#include <fmt/format.h>

#include "common/json.h"
#include "common/log.h"

namespace ee::cp {

void TargetAudit::record(const std::string& agent_id, const std::string& deployment_id, const std::string& request_id) {
  const auto folded = fold_.admit(agent_id, clock_.steady_now());
  if (!folded) return;
  const AuditEntry entry{
      .actor = "system:proxy",
      .action = "proxy_target_refused",
      .object_type = "agent",
      .object_id = agent_id,
      .result = AuditResult::refused,
      .reason_code = std::string(slug(ErrorCode::upstream_address_forbidden)),
      .request_id = request_id,
      .detail = fmt::format(R"({{"deployment_id":{},"folded":{}}})", json::quote(deployment_id), *folded)};
  const auto written = database_.write<std::string>(
      [&](db::Transaction& tx) { return audit_.append(tx, entry, clock_.now(), random_); });
  if (!written)
    log::error("audit", "a refused target could not be audited",
               {{"agent_id", agent_id}, {"code", written.error().code}});
}

}  // namespace ee::cp
