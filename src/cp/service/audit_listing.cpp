#include "cp/service/audit_listing.h"

#include <algorithm>
#include <utility>

namespace ee::cp {
namespace {

AuditView view_of(AuditRow row) {
  return {.id = std::move(row.id),
          .at = row.at,
          .actor = std::move(row.actor),
          .action = std::move(row.action),
          .object_type = std::move(row.object_type),
          .object_id = std::move(row.object_id),
          .result = row.result,
          .reason_code = std::move(row.reason_code),
          .request_id = std::move(row.request_id),
          .client_address = std::move(row.client_address),
          .detail = std::move(row.detail)};
}

}  // namespace

Result<AuditPage> AuditListing::list(const AuditFilter& filter, const PageRequest& page) const {
  auto rows =
      database_.read<Page<AuditRow>>([&](db::Transaction& tx) { return AuditLogStore().list(tx, filter, page); });
  if (!rows) return std::unexpected(rows.error());
  AuditPage out{.items = {}, .next_cursor = cursors_.encode("audit", rows->next)};
  out.items.reserve(rows->items.size());
  for (AuditRow& row : rows->items) out.items.push_back(view_of(std::move(row)));
  return out;
}

Result<std::string> AuditExport::next() {
  if (ended_) return std::string();
  const PageRequest page{.limit = std::min(kRowsAtOnce, kRowsMax - rows_), .after = after_};
  auto rows =
      database_.read<Page<AuditRow>>([&](db::Transaction& tx) { return AuditLogStore().list(tx, filter_, page); });
  if (!rows) return std::unexpected(rows.error());
  std::string lines;
  for (AuditRow& row : rows->items) {
    lines += json::write(view_of(std::move(row)));
    lines += '\n';
  }
  rows_ += static_cast<std::int64_t>(rows->items.size());
  after_ = rows->next;
  ended_ = !after_ || rows_ >= kRowsMax;
  return lines;
}

}  // namespace ee::cp
