#include "cp/service/revenue_shares.h"

#include <fmt/format.h>

#include <algorithm>

#include "cp/store/account_store.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kAll = 10000;

bool may_share(AccountType type) {
  return type == AccountType::contributor || type == AccountType::agent || type == AccountType::deployer;
}

UtcTime next_hour(UtcTime time) {
  const auto hour = std::chrono::floor<std::chrono::hours>(time);
  return UtcTime(hour == time ? hour : hour + std::chrono::hours(1));
}

/// When a list comes into force: a full hour after now.
Result<UtcTime> effective_hour(const std::optional<UtcTime>& wanted, UtcTime now) {
  if (!wanted) return UtcTime(std::chrono::floor<std::chrono::hours>(now) + std::chrono::hours(1));
  if (*wanted > now + RevenueShares::kMaxAhead)
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{.field = "effective_at", .code = "above_max", .detail = "at most 365 days ahead"}}});
  const UtcTime hour = next_hour(*wanted);
  if (hour <= now) return fail(ErrorCode::share_effective_in_past, "it must be later than now");
  return hour;
}

Result<std::int64_t> check_shares(db::Transaction& tx, const std::vector<ShareInput>& shares) {
  if (std::ssize(shares) > RevenueShares::kMaxShares)
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{.field = "shares", .code = "too_many", .detail = "at most 50"}}});
  std::int64_t total = 0;
  std::vector<std::string> seen;
  for (const ShareInput& share : shares) {
    if (std::ranges::find(seen, share.account_id) != seen.end())
      return fail(ErrorCode::share_duplicate_account, "each account at most once");
    seen.push_back(share.account_id);
    const auto account = AccountStore().find(tx, AccountId(share.account_id));
    if (!account) return std::unexpected(account.error());
    if (!*account || !may_share((*account)->account_type) || (*account)->status == AccountStatus::closed)
      return fail(ErrorCode::unknown_account, "no account of a type that can have a share");
    total += share.share_bps;
  }
  if (total > kAll) return fail(ErrorCode::share_total_exceeded, fmt::format("the shares sum to {} of 10000", total));
  return total;
}

}  // namespace

Result<std::map<std::string, ShareSet>> RevenueShares::shares_at(db::Transaction& tx,
                                                                 const std::vector<std::string>& app_ids,
                                                                 UtcTime hour) const {
  return shares_.shares_at(tx, app_ids, hour);
}

Result<ShareSetView> RevenueShares::view(db::Transaction& tx, const ShareSetRow& set) const {
  auto shares = shares_.shares(tx, set.id);
  if (!shares) return std::unexpected(std::move(shares.error()));
  return ShareSetView{.set_version = set.set_version,
                      .effective_at = set.effective_at,
                      .total_bps = set.total_bps,
                      .unassigned_bps = kAll - set.total_bps,
                      .shares = std::move(*shares)};
}

Result<SharesObject> RevenueShares::get(const Principal& principal, const std::string& app_name,
                                        const std::optional<UtcTime>& at) {
  return parts_.database.read<SharesObject>([&](db::Transaction& tx) -> Result<SharesObject> {
    const UtcTime now = parts_.clock.now();
    const auto app = apps_.find(tx, app_name);
    if (!app) return std::unexpected(app.error());
    if (!*app) return fail(ErrorCode::app_not_found);
    SharesObject out{.app = app_name};
    const auto current = shares_.at(tx, (*app)->id, at.value_or(now));
    if (!current) return std::unexpected(current.error());
    if (*current) {
      auto set = view(tx, **current);
      if (!set) return std::unexpected(std::move(set.error()));
      out.set_version = set->set_version;
      out.effective_at = set->effective_at;
      out.total_bps = set->total_bps;
      out.unassigned_bps = set->unassigned_bps;
      out.shares = std::move(set->shares);
    }
    const auto pending = shares_.pending(tx, (*app)->id, now);
    if (!pending) return std::unexpected(pending.error());
    for (const ShareSetRow& row : *pending) {
      auto set = view(tx, row);
      if (!set) return std::unexpected(std::move(set.error()));
      out.pending.push_back(std::move(*set));
    }
    if (manages_app(principal, **app)) return out;
    const std::vector<AccountId> mine = app_accounts(principal);
    const auto names_me = [&](const std::vector<ShareWithAccount>& shares) {
      return std::ranges::any_of(shares, [&](const ShareWithAccount& share) {
        return std::ranges::find(mine, share.account_id) != mine.end();
      });
    };
    const auto live = shares_.at(tx, (*app)->id, now);
    if (!live) return std::unexpected(live.error());
    bool member = std::ranges::any_of(out.pending, [&](const ShareSetView& set) { return names_me(set.shares); });
    if (!member && *live) {
      const auto set = view(tx, **live);
      if (!set) return std::unexpected(set.error());
      member = names_me(set->shares);
    }
    if (member) return out;
    // Who had a share once may see that list, and nothing of those without it.
    if (!names_me(out.shares)) return fail(ErrorCode::app_not_found);
    out.pending.clear();
    return out;
  });
}

Result<ShareSetView> RevenueShares::write(db::Transaction& tx, const CatalogueCall& call, const AppRow& app,
                                          const std::vector<ShareInput>& shares,
                                          const std::optional<UtcTime>& effective_at, std::int64_t from) {
  const UtcTime now = parts_.clock.now();
  const auto effective = effective_hour(effective_at, now);
  if (!effective) return std::unexpected(effective.error());
  const auto total = check_shares(tx, shares);
  if (!total) return std::unexpected(total.error());
  const auto raised = apps_.raise_shares_version(tx, app.id, from);
  if (!raised) return std::unexpected(raised.error());
  if (!*raised) return fail(ErrorCode::share_conflict);
  auto set_id = new_uuid_v7(now, parts_.random);
  if (!set_id) return fail(ErrorCode::internal_error, "random number generator failed");
  const ShareSetRow set{.id = *set_id,
                        .app_id = app.id,
                        .set_version = from + 1,
                        .effective_at = *effective,
                        .total_bps = *total,
                        .created_at = now,
                        .created_by = call.actor.name};
  std::vector<RevenueShareRow> rows;
  for (const ShareInput& share : shares) {
    auto id = new_uuid_v7(now, parts_.random);
    if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
    rows.push_back({.id = std::move(*id),
                    .app_id = app.id,
                    .set_id = *set_id,
                    .account_id = AccountId(share.account_id),
                    .share_bps = share.share_bps,
                    .label = share.label.value_or(""),
                    .position = std::ssize(rows),
                    .created_at = now,
                    .created_by = call.actor.name});
  }
  if (auto added = shares_.add(tx, set, rows); !added) return std::unexpected(std::move(added.error()));
  AuditEntry entry = catalogue_audit(call, "shares_changed", "app", app.id);
  entry.detail = fmt::format(R"({{"app":{},"set_version":{},"effective_at":"{}","total_bps":{},"shares":{}}})",
                             json::quote(app.name), set.set_version, to_rfc3339(*effective), *total, rows.size());
  if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
    return std::unexpected(std::move(audited.error()));
  return view(tx, set);
}

Result<std::vector<ShareInput>> RevenueShares::newest(db::Transaction& tx, const AppRow& app) const {
  std::vector<ShareInput> out;
  const auto set = shares_.newest(tx, app.id);
  if (!set) return std::unexpected(set.error());
  if (!*set) return out;
  const auto shares = shares_.shares(tx, (*set)->id);
  if (!shares) return std::unexpected(shares.error());
  for (const ShareWithAccount& share : *shares)
    out.push_back({.account_id = share.account_id.str(), .share_bps = share.share_bps, .label = share.label});
  return out;
}

Result<ShareSetView> RevenueShares::replace(const CatalogueCall& call, const std::string& app_name,
                                            const SharesRequest& wanted) {
  return parts_.database.write<ShareSetView>([&](db::Transaction& tx) -> Result<ShareSetView> {
    const auto app = managed_app(tx, call.principal, app_name);
    if (!app) return std::unexpected(app.error());
    return write(tx, call, *app, wanted.shares, wanted.effective_at, wanted.expected_set_version);
  });
}

Result<ShareSetView> RevenueShares::add(const CatalogueCall& call, const std::string& app_name,
                                        const ShareAdded& wanted) {
  return parts_.database.write<ShareSetView>([&](db::Transaction& tx) -> Result<ShareSetView> {
    const auto app = managed_app(tx, call.principal, app_name);
    if (!app) return std::unexpected(app.error());
    auto shares = newest(tx, *app);
    if (!shares) return std::unexpected(std::move(shares.error()));
    shares->push_back({.account_id = wanted.account_id, .share_bps = wanted.share_bps, .label = wanted.label});
    return write(tx, call, *app, *shares, wanted.effective_at, app->shares_version);
  });
}

Result<ShareSetView> RevenueShares::remove(const CatalogueCall& call, const std::string& app_name,
                                           const std::string& share_id, const std::optional<UtcTime>& effective_at) {
  return parts_.database.write<ShareSetView>([&](db::Transaction& tx) -> Result<ShareSetView> {
    const auto app = managed_app(tx, call.principal, app_name);
    if (!app) return std::unexpected(app.error());
    const auto set = shares_.newest(tx, app->id);
    if (!set) return std::unexpected(set.error());
    if (!*set) return fail(ErrorCode::not_found);
    const auto listed = shares_.shares(tx, (*set)->id);
    if (!listed) return std::unexpected(listed.error());
    std::vector<ShareInput> kept;
    for (const ShareWithAccount& share : *listed)
      if (share.id != share_id)
        kept.push_back({.account_id = share.account_id.str(), .share_bps = share.share_bps, .label = share.label});
    if (kept.size() == listed->size()) return fail(ErrorCode::not_found);
    return write(tx, call, *app, kept, effective_at, app->shares_version);
  });
}

}  // namespace ee::cp
