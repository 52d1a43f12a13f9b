#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/app.h"
#include "cp/domain/charge.h"
#include "db/database.h"

namespace ee::cp {

/// A share with the names of its account.
struct ShareWithAccount {
  std::string id = {};
  AccountId account_id = {};
  std::string account_name = {};
  std::optional<std::string> github_login = {};  ///< of the account's user, or of an organisation
  std::int64_t share_bps = 0;
  std::string label = {};
};
BOOST_DESCRIBE_STRUCT(ShareWithAccount, (), (id, account_id, account_name, github_login, share_bps, label))

/// Tables `app_share_sets` and `app_revenue_shares`: lists of shares, each in force from a full hour until the next one
/// (03 section 8). Nothing is ever changed. Stateless.
class ShareStore {
 public:
  Result<void> add(db::Transaction& tx, const ShareSetRow& set, const std::vector<RevenueShareRow>& shares) const;
  /// The list in force at `at`: of those that are effective the one with the highest version.
  Result<std::optional<ShareSetRow>> at(db::Transaction& tx, const std::string& app_id, UtcTime at) const;
  /// Lists that come into force after `now` and will not be replaced before they do, the next one first.
  Result<std::vector<ShareSetRow>> pending(db::Transaction& tx, const std::string& app_id, UtcTime now) const;
  Result<std::optional<ShareSetRow>> newest(db::Transaction& tx, const std::string& app_id) const;
  Result<std::vector<ShareWithAccount>> shares(db::Transaction& tx, const std::string& set_id) const;
  /// Of several apps at once, for charging; an app without a list, or with an empty one, is absent.
  Result<std::map<std::string, ShareSet>> shares_at(db::Transaction& tx, const std::vector<std::string>& app_ids,
                                                    UtcTime at) const;
  /// Whether a list that is in force at `from`, or comes into force later, names the account.
  Result<bool> names_account(db::Transaction& tx, const AccountId& account, UtcTime from) const;
  /// Whether a segment that charging has set aside would pay it, were it retried now.
  Result<bool> awaits_set_aside(db::Transaction& tx, const AccountId& account) const;
};

}  // namespace ee::cp
