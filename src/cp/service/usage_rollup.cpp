#include "cp/service/usage_rollup.h"

#include <algorithm>

#include "cp/domain/price.h"
#include "cp/store/charge_store.h"
#include "cp/store/usage_store.h"

namespace ee::cp {

namespace {
constexpr std::int64_t kRowsAtOnce = 5000;
constexpr std::int64_t kAccountsAtOnce = 200;
}  // namespace

Result<JobSummary> roll_up_usage(db::Database& database, const Clock& clock, const BillingSettings& settings,
                                 const std::stop_token& stop) {
  JobSummary summary;
  const auto meta =
      database.read<std::optional<BillingMeta>>([](db::Transaction& tx) { return ChargeStore().meta(tx); });
  if (!meta) return std::unexpected(meta.error());
  if (!*meta) return summary;
  // Whole days, so that a day is not split between the two tables for long.
  const UtcTime oldest_kept =
      std::chrono::floor<std::chrono::days>(clock.now() - std::chrono::days(settings.usage_detail_days));
  const UtcTime before = std::min(oldest_kept, (*meta)->next_hour_at);
  std::int64_t moved = 0;
  AccountId after;
  for (bool more = true; more;) {
    const auto accounts = database.read<std::vector<AccountId>>(
        [&](db::Transaction& tx) { return UsageStore().accounts_with_old(tx, after, before, kAccountsAtOnce); });
    if (!accounts) return std::unexpected(accounts.error());
    more = !accounts->empty();
    for (const AccountId& account : *accounts) {
      after = account;
      for (bool full = true; full;) {
        if (stop.stop_requested()) {
          summary.stopped = true;
          summary.count("rows", moved);
          return summary;
        }
        const auto rows = database.write<std::int64_t>(
            [&](db::Transaction& tx) { return UsageStore().roll_up(tx, account, before, kRowsAtOnce); });
        if (!rows) return std::unexpected(rows.error());
        moved += *rows;
        full = *rows == kRowsAtOnce;
      }
    }
  }
  summary.count("rows", moved);
  return summary;
}

}  // namespace ee::cp
