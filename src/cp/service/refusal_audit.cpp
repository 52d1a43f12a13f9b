#include "cp/service/refusal_audit.h"

#include <fmt/format.h>

#include "common/log.h"

namespace ee::cp {

RefusalAudit::RefusalAudit(db::Database& database, Clock& clock, Random& random, metrics::Registry& metrics)
    : database_(database),
      clock_(clock),
      random_(random),
      failures_(metrics.counter("ee_audit_failures_total", "Refused calls that could not be audited.")) {}

void RefusalAudit::record(const RefusedCall& call) {
  const std::string reason(slug(call.reason));
  const std::string route = fmt::format("{} {}", call.method, call.route);
  const auto folded = fold_.admit(fmt::format("{} {} {}", call.actor, reason, route), clock_.steady_now());
  if (!folded) return;
  const AuditEntry entry{.actor = call.actor,
                         .action = "authorization_refused",
                         .object_type = "route",
                         .object_id = route,
                         .result = AuditResult::refused,
                         .reason_code = reason,
                         .request_id = std::string(call.request_id),
                         .client_address = std::string(call.client_address),
                         .detail = fmt::format(R"({{"folded":{}}})", *folded)};
  const auto written = database_.write<std::string>(
      [&](db::Transaction& tx) { return audit_.append(tx, entry, clock_.now(), random_); });
  if (written) return;
  failures_.increment();
  log::error("audit", "a refused call could not be audited",
             {{"actor", call.actor}, {"route", route}, {"reason_code", reason}, {"code", written.error().code}});
}

}  // namespace ee::cp
