#include "cp/store/billing_meta_store.h"

#include <chrono>

namespace ee::cp {

Result<std::optional<std::string>> BillingMetaStore::halted_reason(db::Transaction& tx) const {
  return tx.query_one<std::string>("SELECT COALESCE(halted_reason, '') FROM billing_meta WHERE id=1 AND halted<>0");
}

Result<bool> BillingMetaStore::halted(db::Transaction& tx) const {
  const auto reason = halted_reason(tx);
  if (!reason) return std::unexpected(reason.error());
  return reason->has_value();
}

Result<void> BillingMetaStore::require_running(db::Transaction& tx) const {
  const auto stopped = halted(tx);
  if (!stopped) return std::unexpected(stopped.error());
  if (*stopped) return fail(ErrorCode::billing_halted);
  return {};
}

Result<bool> BillingMetaStore::halt(db::Transaction& tx, std::string_view reason, UtcTime now) const {
  const UtcTime hour = std::chrono::floor<std::chrono::hours>(now) - std::chrono::hours(1);
  const auto changed = tx.execute(
      "INSERT INTO billing_meta (id, next_hour_at, halted, halted_reason) VALUES (1, :hour, 1, :reason) "
      "ON CONFLICT (id) DO UPDATE SET halted=1, halted_reason=excluded.halted_reason WHERE billing_meta.halted=0",
      {{"hour", hour}, {"reason", reason}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<bool> BillingMetaStore::resume(db::Transaction& tx) const {
  const auto changed = tx.execute("UPDATE billing_meta SET halted=0, halted_reason=NULL WHERE id=1 AND halted<>0");
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

}  // namespace ee::cp
