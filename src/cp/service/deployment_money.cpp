#include "cp/service/deployment_money.h"

#include "common/require.h"

namespace ee::cp {

Result<UsdMicros> DeploymentMoney::pending_burn(db::Transaction& tx, const AccountId& account) const {
  return rows_.pending_burn(tx, account);
}

Result<std::vector<DeploymentId>> DeploymentMoney::running(db::Transaction& tx, const AccountId& account,
                                                           std::int64_t limit) const {
  return rows_.running_of(tx, account, limit);
}

Result<void> DeploymentMoney::request_stop(const DeploymentId& deployment, std::string_view reason,
                                           std::string_view actor) {
  require(static_cast<bool>(stop_));
  return stop_(deployment, reason, actor);
}

Result<bool> DeploymentHolds::has_deployments(db::Transaction& tx, const AccountId& account) {
  const auto count = rows_.count_active(tx, account);
  if (!count) return std::unexpected(count.error());
  return *count > 0;
}

Result<bool> DeploymentHolds::has_shares(db::Transaction& tx, const AccountId& account) {
  // Of each app the newest set that is in force or announced: a share that was given up holds nobody.
  const auto found = tx.query_one<std::int64_t>(
      "SELECT 1 FROM app_revenue_shares r JOIN app_share_sets s ON s.id=r.set_id WHERE r.account_id=:account"
      " AND s.set_version=(SELECT MAX(n.set_version) FROM app_share_sets n WHERE n.app_id=s.app_id) LIMIT 1",
      {{"account", account}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<bool> DeploymentHolds::owner_in_use(db::Transaction& tx, std::int64_t github_id) {
  return rows_.owner_in_use(tx, github_id);
}

Result<std::int64_t> DeploymentHolds::stop_deployments(db::Transaction& tx, const AccountId& account,
                                                       std::string_view reason, UtcTime /*now*/) {
  require(machine_ != nullptr);
  std::int64_t stopped = 0;
  for (;;) {
    const auto ids = rows_.running_of(tx, account, 200);
    if (!ids) return std::unexpected(ids.error());
    if (ids->empty()) return stopped;
    for (const DeploymentId& id : *ids) {
      const auto row = rows_.get(tx, id);
      if (!row) return std::unexpected(row.error());
      const auto done = machine_->request_stop(tx, **row, std::string(reason), {.actor = "system:accounts"});
      if (!done) return std::unexpected(done.error());
      ++stopped;
    }
  }
}

}  // namespace ee::cp
