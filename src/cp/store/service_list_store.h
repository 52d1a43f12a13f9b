#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/domain/deployment.h"
#include "db/database.h"

namespace ee::cp {

/// A service with what runs behind it.
struct ListedServiceRow {
  std::string id = {};
  std::string name = {};
  AccountId account_id = {};
  ServiceAccess access = ServiceAccess::account;
  std::string settings = "{}";
  UtcTime created_at = {};
  UtcTime updated_at = {};
  std::optional<UtcTime> last_healthy_at = {};
  std::int64_t healthy = 0;  ///< of deployments that run
  std::int64_t total = 0;
};
BOOST_DESCRIBE_STRUCT(ListedServiceRow, (),
                      (id, name, account_id, access, settings, created_at, updated_at, last_healthy_at, healthy, total))

/// Services as their owners see and change them. Stateless.
class ServiceListStore {
 public:
  /// Accounts that one caller may stand for at most.
  static constexpr std::size_t kMaxAccounts = 16;

  /// Live ones of these accounts (nothing: of all), oldest first.
  Result<std::vector<ListedServiceRow>> list(db::Transaction& tx, const std::optional<std::vector<AccountId>>& accounts,
                                             const PageRequest& page) const;
  Result<std::optional<ListedServiceRow>> find(db::Transaction& tx, std::string_view name) const;
  Result<void> update(db::Transaction& tx, const std::string& id, ServiceAccess access, const std::string& settings,
                      UtcTime now) const;
  /// Whether a deployment of it is not final.
  Result<bool> is_in_use(db::Transaction& tx, const std::string& id) const;
  /// The name stays held; its tokens end.
  Result<void> remove(db::Transaction& tx, const std::string& id, UtcTime now) const;
};

}  // namespace ee::cp
