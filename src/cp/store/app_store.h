#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/app.h"
#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

struct AppFilter {
  std::optional<std::string> name_prefix = {};  ///< characters of DNS labels only
  std::vector<std::string> tags = {};           ///< all of them; at most 20
  std::optional<AccountId> owner = {};
  std::optional<std::string> description = {};  ///< a part of it
  /// Whose private apps are listed too; `all_private`: everybody's.
  std::vector<AccountId> viewers = {};
  bool all_private = false;
};

/// Tables `apps` and `app_tags`. Stateless.
class AppStore {
 public:
  /// Errors: app_exists.
  Result<void> create(db::Transaction& tx, const AppRow& row, const std::vector<std::string>& tags) const;
  /// Also an archived one.
  Result<std::optional<AppRow>> find(db::Transaction& tx, const std::string& name) const;
  Result<std::optional<AppRow>> find_by_id(db::Transaction& tx, const std::string& id) const;
  /// Without archived ones, the oldest first.
  Result<Page<AppRow>> list(db::Transaction& tx, const AppFilter& filter, const PageRequest& page) const;
  /// Everything that a PATCH or an archiving changes.
  Result<void> update(db::Transaction& tx, const AppRow& row, const std::vector<std::string>& tags) const;
  /// Raises `shares_version` from `from`; false: it is another one.
  Result<bool> raise_shares_version(db::Transaction& tx, const std::string& app_id, std::int64_t from) const;
  /// Whether a deployment that has not ended runs the app or is about to.
  Result<bool> in_use(db::Transaction& tx, const std::string& app_id) const;
};

}  // namespace ee::cp
