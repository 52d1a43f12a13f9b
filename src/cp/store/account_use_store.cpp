#include "cp/store/account_use_store.h"

namespace ee::cp {
namespace {

Result<bool> exists(db::Transaction& tx, std::string_view sql, const db::Params& params) {
  const auto found = tx.query_one<std::int64_t>(sql, params);
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

}  // namespace

Result<bool> AccountUseStore::has_agents(db::Transaction& tx, const AccountId& account) const {
  return exists(tx, "SELECT 1 FROM agents WHERE account_id=:account AND status<>'deleted' LIMIT 1",
                {{"account", account}});
}

Result<bool> AccountUseStore::has_unbilled_usage(db::Transaction& tx, const AccountId& account) const {
  auto live = exists(tx, "SELECT 1 FROM deployment_segments WHERE account_id=:account AND settled=0 LIMIT 1",
                     {{"account", account}});
  if (!live || *live) return live;
  auto aside = exists(tx, "SELECT 1 FROM deployment_segments WHERE account_id=:account AND settled=2 LIMIT 1",
                      {{"account", account}});
  if (!aside || *aside) return aside;
  // What its agents earned and nobody has been charged for yet.
  return exists(tx, "SELECT 1 FROM deployment_segments WHERE agent_account_id=:account AND settled<>1 LIMIT 1",
                {{"account", account}});
}

Result<bool> AccountUseStore::has_pending_deposits(db::Transaction& tx, const AccountId& account) const {
  return exists(tx,
                "SELECT 1 FROM deposits WHERE account_id=:account"
                " AND status IN ('creating','requires_payment','processing') LIMIT 1",
                {{"account", account}});
}

Result<bool> AccountUseStore::owner_has_agents(db::Transaction& tx, std::int64_t github_id) const {
  return exists(tx, "SELECT 1 FROM agents WHERE github_owner_id=:github_id AND status<>'deleted' LIMIT 1",
                {{"github_id", github_id}});
}

Result<void> AccountUseStore::lift_dispute_hold(db::Transaction& tx, const AccountId& account, UtcTime now) const {
  const auto lifted = tx.execute(
      "UPDATE account_balances SET dispute_hold=0, updated_at=:now WHERE account_id=:account AND dispute_hold<>0",
      {{"account", account}, {"now", now}});
  if (!lifted) return std::unexpected(lifted.error());
  return {};
}

}  // namespace ee::cp
