#include "cp/service/audit_listing.h"

namespace ee::cp {

Result<AuditPage> AuditListing::list(const AuditFilter& filter, const PageRequest& page) const {
  auto rows =
      database_.read<Page<AuditRow>>([&](db::Transaction& tx) { return AuditLogStore().list(tx, filter, page); });
  if (!rows) return std::unexpected(rows.error());
  AuditPage out{.items = {}, .next_cursor = cursors_.encode("audit", rows->next)};
  for (AuditRow& row : rows->items)
    out.items.push_back({.id = std::move(row.id),
                         .at = row.at,
                         .actor = std::move(row.actor),
                         .action = std::move(row.action),
                         .object_type = std::move(row.object_type),
                         .object_id = std::move(row.object_id),
                         .result = row.result,
                         .reason_code = std::move(row.reason_code),
                         .request_id = std::move(row.request_id),
                         .client_address = std::move(row.client_address),
                         .detail = std::move(row.detail)});
  return out;
}

}  // namespace ee::cp
