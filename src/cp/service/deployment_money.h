#pragma once
#include <functional>

#include "cp/service/account_holds.h"
#include "cp/service/billing_hooks.h"
#include "cp/service/deployment_machine.h"
#include "cp/store/deployment_store.h"

namespace ee::cp {

/// Deployments as money sees them. Made before prices are, and told later how to stop one. Thread-safe.
class DeploymentMoney final : public BillableDeployments {
 public:
  using Stop = std::function<Result<void>(const DeploymentId&, std::string_view reason, std::string_view actor)>;
  /// Before the first request.
  void set_stop(Stop stop) { stop_ = std::move(stop); }

  Result<UsdMicros> pending_burn(db::Transaction& tx, const AccountId& account) const override;
  Result<std::vector<DeploymentId>> running(db::Transaction& tx, const AccountId& account,
                                            std::int64_t limit) const override;
  Result<void> request_stop(const DeploymentId& deployment, std::string_view reason, std::string_view actor) override;

 private:
  Stop stop_;
  DeploymentStore rows_;
};

/// What deployments and shares hold of an account. Thread-safe.
class DeploymentHolds final : public AccountHolds {
 public:
  /// Before the first request.
  void set_machine(const DeploymentMachine& machine) { machine_ = &machine; }

  Result<bool> has_deployments(db::Transaction& tx, const AccountId& account) override;
  Result<bool> has_shares(db::Transaction& tx, const AccountId& account) override;
  Result<bool> owner_in_use(db::Transaction& tx, std::int64_t github_id) override;
  Result<std::int64_t> stop_deployments(db::Transaction& tx, const AccountId& account, std::string_view reason,
                                        UtcTime now) override;

 private:
  const DeploymentMachine* machine_ = nullptr;
  DeploymentStore rows_;
};

}  // namespace ee::cp
