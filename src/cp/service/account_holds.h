#pragma once
#include <cstdint>
#include <string_view>

#include "common/error.h"
#include "common/id.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// What other services hold of an account, asked before it is closed or loses a GitHub owner. The calls join the
/// caller's transaction. Thread-safe.
class AccountHolds {
 public:
  virtual ~AccountHolds() = default;

  /// A deployment that has not ended.
  virtual Result<bool> has_deployments(db::Transaction& tx, const AccountId& account) = 0;
  /// A share of an app's revenue in force names it.
  virtual Result<bool> has_shares(db::Transaction& tx, const AccountId& account) = 0;
  /// A deployment that has not ended was made for this GitHub owner.
  virtual Result<bool> owner_in_use(db::Transaction& tx, std::int64_t github_id) = 0;
  /// Asks all of its deployments to stop; how many.
  virtual Result<std::int64_t> stop_deployments(db::Transaction& tx, const AccountId& account, std::string_view reason,
                                                UtcTime now) = 0;
};

/// A control plane that holds neither deployments nor apps.
class NoHolds final : public AccountHolds {
 public:
  Result<bool> has_deployments(db::Transaction& /*tx*/, const AccountId& /*account*/) override { return false; }
  Result<bool> has_shares(db::Transaction& /*tx*/, const AccountId& /*account*/) override { return false; }
  Result<bool> owner_in_use(db::Transaction& /*tx*/, std::int64_t /*github_id*/) override { return false; }
  Result<std::int64_t> stop_deployments(db::Transaction& /*tx*/, const AccountId& /*account*/,
                                        std::string_view /*reason*/, UtcTime /*now*/) override {
    return 0;
  }
};

}  // namespace ee::cp
