#pragma once
#include <optional>
#include <string_view>

#include "cp/domain/deployment.h"
#include "db/database.h"

namespace ee::cp {

/// Table `services` as far as deploying needs it, and the counter that readers of routes watch. Stateless.
class ServiceStore {
 public:
  /// A deleted service's name is held for its account so long.
  static constexpr Seconds kNameHeld{30LL * 24 * 3600};

  /// Errors: `service_name_taken`.
  Result<void> insert(db::Transaction& tx, const ServiceRow& row) const;
  Result<std::optional<ServiceRow>> get(db::Transaction& tx, const std::string& id) const;
  /// Also a deleted one whose name is held.
  Result<std::optional<ServiceRow>> find(db::Transaction& tx, std::string_view name) const;
  Result<void> set_access(db::Transaction& tx, const std::string& id, ServiceAccess access, UtcTime now) const;
  Result<void> restore(db::Transaction& tx, const std::string& id, ServiceAccess access, UtcTime now) const;
  Result<void> note_healthy(db::Transaction& tx, const std::string& id, UtcTime now) const;
  /// Deleted ones whose name is no longer held and which nothing refers to.
  Result<std::int64_t> remove_deleted(db::Transaction& tx, UtcTime deleted_before, std::int64_t limit) const;

  /// What traffic is sent to has changed.
  Result<void> raise_route_epoch(db::Transaction& tx) const;
};

}  // namespace ee::cp
