#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/id.h"
#include "common/money.h"
#include "cp/domain/charge.h"
#include "db/database.h"

/// What billing asks of apps and deployments. Both are thread-safe; calls with a transaction join the caller's.
namespace ee::cp {

/// Who contributed to which app (03 section 8).
class ShareSource {
 public:
  virtual ~ShareSource() = default;
  /// The set in force at `hour` of each of these apps (at most 500); an app that is absent has none.
  virtual Result<std::map<std::string, ShareSet>> shares_at(db::Transaction& tx,
                                                            const std::vector<std::string>& app_ids,
                                                            UtcTime hour) const = 0;
};

/// No app has shares: the pool stays with the platform.
class NoShares final : public ShareSource {
 public:
  Result<std::map<std::string, ShareSet>> shares_at(db::Transaction&, const std::vector<std::string>&,
                                                    UtcTime) const override {
    return std::map<std::string, ShareSet>();
  }
};

/// The deployments of accounts, as far as money is concerned.
class BillableDeployments {
 public:
  virtual ~BillableDeployments() = default;
  /// Sum of the hourly prices of the account's deployments that are not final and have no segment yet.
  virtual Result<UsdMicros> pending_burn(db::Transaction& tx, const AccountId& account) const = 0;
  /// Its deployments that are not final, the newest first, at most `limit`; those that are stopping already do not
  /// count.
  virtual Result<std::vector<DeploymentId>> running(db::Transaction& tx, const AccountId& account,
                                                    std::int64_t limit) const = 0;
  /// Asks that a deployment ends as `terminated` for `reason`, in a transaction of its own. Idempotent: one that is
  /// stopping or final already is no error.
  virtual Result<void> request_stop(const DeploymentId& deployment, std::string_view reason,
                                    std::string_view actor) = 0;
};

/// A control plane without deployments: there are none to price and none to stop.
class NoBillableDeployments final : public BillableDeployments {
 public:
  Result<UsdMicros> pending_burn(db::Transaction&, const AccountId&) const override { return UsdMicros{}; }
  Result<std::vector<DeploymentId>> running(db::Transaction&, const AccountId&, std::int64_t) const override {
    return std::vector<DeploymentId>();
  }
  Result<void> request_stop(const DeploymentId&, std::string_view, std::string_view) override { return {}; }
};

}  // namespace ee::cp
