#include "cp/service/charge_batch.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "common/json.h"
#include "common/log.h"
#include "cp/domain/charge.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/ledger_store.h"

namespace ee::cp {

namespace {

constexpr std::size_t kAppsAtOnce = 500;

struct InvalidSetDetail {
  UtcTime hour_start_at;
};
BOOST_DESCRIBE_STRUCT(InvalidSetDetail, (), (hour_start_at))

void add_line(std::vector<LedgerLine>& lines, const AccountId& account, std::int64_t micros, TransactionType type) {
  if (micros != 0) lines.push_back({.account = account, .amount_micros = micros, .type = type});
}

}  // namespace

struct ChargeBatch::Sums {
  std::map<AccountId, std::int64_t> paid;
  std::map<AccountId, std::int64_t> earned;
  std::map<AccountId, std::int64_t> contributed;
  std::int64_t gross = 0;
  std::int64_t platform = 0;
};

Result<ChargeTotals> ChargeBatch::charge(db::Transaction& tx, const ChargeWork& work) const {
  const ChargeStore store;
  const auto group_id = new_uuid_v7(parts_.clock.now(), parts_.random);
  if (!group_id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  const auto rows = store.insert_charges(tx, work.range, work.hour, *group_id);
  if (!rows) return std::unexpected(rows.error());
  if (auto go_on = step(ChargeStep::charged); !go_on) return std::unexpected(go_on.error());

  Sums sums;
  std::int64_t for_operators = 0;
  for (const ChargedRow& row : *rows) {
    sums.paid[row.account_id] += row.gross_micros;
    sums.gross += row.gross_micros;
    for_operators += row.operator_micros;
  }
  if (for_operators > 0) {
    const auto earned = store.earned(tx, work.range, work.hour, *group_id);
    if (!earned) return std::unexpected(earned.error());
    for (const EarnedRow& row : *earned) sums.earned[row.account_id] += row.micros;
  }
  if (auto added = add_contributors(tx, work, *rows, sums); !added) return std::unexpected(added.error());
  sums.platform = sums.gross;
  std::int64_t found = 0;
  for (const auto& [account, micros] : sums.earned) found += micros;
  if (found != for_operators) return fail(ErrorCode::internal_error, "the operators' parts do not sum up");
  sums.platform -= found;
  for (const auto& [account, micros] : sums.contributed) sums.platform -= micros;
  if (sums.platform < 0) return fail(ErrorCode::internal_error, "more would be paid out than was charged");

  if (auto noted = store.note_charges(tx, work.range, work.hour, *group_id); !noted)
    return std::unexpected(noted.error());
  if (auto go_on = step(ChargeStep::noted); !go_on) return std::unexpected(go_on.error());
  if (sums.gross > 0)
    if (auto posted = post(tx, work, *group_id, sums); !posted) return std::unexpected(posted.error());
  if (auto go_on = step(ChargeStep::posted); !go_on) return std::unexpected(go_on.error());
  return ChargeTotals{.rows = static_cast<std::int64_t>(rows->size()), .gross_micros = sums.gross};
}

Result<void> ChargeBatch::add_contributors(db::Transaction& tx, const ChargeWork& work,
                                           const std::vector<ChargedRow>& rows, Sums& sums) const {
  std::set<std::string> apps;
  for (const ChargedRow& row : rows)
    if (row.app_id && row.pool_micros > 0) apps.insert(*row.app_id);
  std::map<std::string, ShareSet> sets;
  std::vector<std::string> wanted;
  wanted.reserve(std::min(apps.size(), kAppsAtOnce));
  for (auto app = apps.begin(); app != apps.end();) {
    wanted.clear();
    for (; app != apps.end() && wanted.size() < kAppsAtOnce; ++app) wanted.push_back(*app);
    auto found = parts_.shares.shares_at(tx, wanted, work.hour);
    if (!found) return std::unexpected(found.error());
    sets.merge(*found);
  }
  for (auto set = sets.begin(); set != sets.end();) {
    if (is_valid(set->second)) {
      ++set;
      continue;
    }
    if (auto noted = note_invalid_set(tx, work, set->first); !noted) return noted;
    set = sets.erase(set);
  }
  if (sets.empty()) return {};
  for (const ChargedRow& row : rows) {
    const auto set = row.app_id ? sets.find(*row.app_id) : sets.end();
    if (set == sets.end()) continue;
    for (const Share& share : set->second)
      sums.contributed[share.account] += contributor_part(row.pool_micros, share.bps);
  }
  return {};
}

/// Nobody of such a set is paid: the pool stays with the platform.
Result<void> ChargeBatch::note_invalid_set(db::Transaction& tx, const ChargeWork& work,
                                           const std::string& app_id) const {
  log::error("billing", "the shares of an app exceed the whole", {{"app_id", app_id}});
  const auto noted = AuditLogStore().append(tx,
                                            {.actor = work.actor,
                                             .action = "share_set_invalid",
                                             .object_type = "app",
                                             .object_id = app_id,
                                             .result = AuditResult::failed,
                                             .detail = json::write(InvalidSetDetail{.hour_start_at = work.hour})},
                                            parts_.clock.now(), parts_.random);
  if (!noted) return std::unexpected(noted.error());
  return {};
}

Result<void> ChargeBatch::post(db::Transaction& tx, const ChargeWork& work, const std::string& group_id,
                               const Sums& sums) const {
  LedgerPosting posting{.kind = LedgerKind::usage,
                        .idempotency_key = fmt::format("usage:{}:{}", unix_ms(work.hour), group_id),
                        .period_start = work.hour,
                        .reference_type = "billing_hour",
                        .reference_id = to_rfc3339(work.hour),
                        .description = "usage",
                        .actor = work.actor,
                        .group_id = group_id};
  posting.lines.reserve(sums.paid.size() + sums.earned.size() + sums.contributed.size() + 1);
  for (const auto& [account, micros] : sums.paid) add_line(posting.lines, account, -micros, TransactionType::charge);
  for (const auto& [account, micros] : sums.earned) add_line(posting.lines, account, micros, TransactionType::earning);
  for (const auto& [account, micros] : sums.contributed)
    add_line(posting.lines, account, micros, TransactionType::contributor_credit);
  add_line(posting.lines, work.platform, sums.platform, TransactionType::platform_revenue);
  const auto posted = LedgerStore(parts_.random).post(tx, posting, parts_.clock.now());
  if (!posted) return std::unexpected(posted.error());
  if (posted->duplicate) return fail(ErrorCode::internal_error, "a fresh ledger group was there already");
  return {};
}

}  // namespace ee::cp
