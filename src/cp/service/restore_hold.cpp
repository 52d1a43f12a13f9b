#include "cp/service/restore_hold.h"

#include "cp/store/audit_log_store.h"
#include "cp/store/meta_store.h"

namespace ee::cp {

Result<void> RestoreHold::load() {
  const auto until =
      database_.read<std::int64_t>([](db::Transaction& tx) { return MetaStore().number(tx, kReapHoldKey); });
  if (!until) return std::unexpected(until.error());
  until_ms_ = *until;
  return {};
}

Result<RestoreHold::View> RestoreHold::lift(const Actor& actor) {
  const UtcTime now = clock_.now();
  const bool was_held = active();
  if (!was_held) return View{};
  const auto lifted = database_.run_write([&](db::Transaction& tx) -> Result<void> {
    if (auto removed = MetaStore().remove(tx, kReapHoldKey); !removed) return removed;
    const auto written = AuditLogStore().append(tx,
                                                {.actor = actor.name,
                                                 .action = "reap_hold_lifted",
                                                 .object_type = "database",
                                                 .request_id = actor.request_id,
                                                 .client_address = actor.client_address},
                                                now, random_);
    if (!written) return std::unexpected(written.error());
    return {};
  });
  if (!lifted) return std::unexpected(lifted.error());
  until_ms_ = 0;
  return View{.held = false, .was_held = true};
}

}  // namespace ee::cp
