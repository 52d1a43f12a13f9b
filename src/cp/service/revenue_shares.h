#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "cp/service/app_access.h"
#include "cp/service/billing_hooks.h"
#include "cp/service/catalogue_api.h"
#include "cp/store/app_store.h"
#include "cp/store/share_store.h"
#include "db/database.h"

namespace ee::cp {

/// Who gets which part of what an app earns (03 section 8). Lists are only added to, and take effect at a full hour
/// that has not begun: what was charged, or is being charged, never changes. Every change leaves one audit row in its
/// transaction. Thread-safe.
class RevenueShares final : public ShareSource {
 public:
  struct Parts {
    db::Database& database;
    const Clock& clock;
    Random& random;
  };
  static constexpr std::int64_t kMaxShares = 50;
  static constexpr std::chrono::days kMaxAhead{365};

  explicit RevenueShares(Parts parts) : parts_(parts) {}

  /// The list in force at `at` (nothing: now), for the app's owner, administrators and members of any of its lists in
  /// force or pending. Errors: app_not_found.
  Result<SharesObject> get(const Principal& principal, const std::string& app, const std::optional<UtcTime>& at);
  /// The newest version of any list, and the list itself. Errors: app_not_found, unknown_account,
  /// share_duplicate_account, share_total_exceeded, share_effective_in_past, invalid_request, share_conflict.
  Result<ShareSetView> replace(const CatalogueCall& call, const std::string& app, const SharesRequest& wanted);
  /// The newest list and this one. Errors: the same.
  Result<ShareSetView> add(const CatalogueCall& call, const std::string& app, const ShareAdded& wanted);
  /// The newest list less this one. Errors: the same, not_found.
  Result<ShareSetView> remove(const CatalogueCall& call, const std::string& app, const std::string& share_id,
                              const std::optional<UtcTime>& effective_at);

  Result<std::map<std::string, ShareSet>> shares_at(db::Transaction& tx, const std::vector<std::string>& app_ids,
                                                    UtcTime hour) const override;

 private:
  /// Writes a list that follows version `from`.
  Result<ShareSetView> write(db::Transaction& tx, const CatalogueCall& call, const AppRow& app,
                             const std::vector<ShareInput>& shares, const std::optional<UtcTime>& effective_at,
                             std::int64_t from);
  Result<std::vector<ShareInput>> newest(db::Transaction& tx, const AppRow& app) const;
  Result<ShareSetView> view(db::Transaction& tx, const ShareSetRow& set) const;

  Parts parts_;
  AppStore apps_;
  ShareStore shares_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
