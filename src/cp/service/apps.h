#pragma once
#include <string>

#include "common/clock.h"
#include "common/random.h"
#include "cp/domain/cursor.h"
#include "cp/service/app_access.h"
#include "cp/service/catalogue_api.h"
#include "cp/store/app_store.h"
#include "cp/store/app_version_store.h"
#include "db/database.h"

namespace ee::cp {

/// Apps of the catalogue, from their creation to their archiving (03 section 7.1). A name is never given twice. Every
/// change leaves one audit row in its transaction. Thread-safe.
class Apps {
 public:
  struct Parts {
    db::Database& database;
    const Clock& clock;
    Random& random;
  };
  static constexpr std::size_t kMaxDescription = 2000;
  static constexpr std::size_t kMaxNames = 20;  ///< maintainers, tags

  explicit Apps(Parts parts) : parts_(parts) {}

  /// A workflow makes apps of its own repository only. Errors: invalid_request, account_type_not_allowed (a caller
  /// without an account), repository_not_allowed, app_exists.
  Result<AppObject> create(const CatalogueCall& call, const AppRequest& wanted);
  Result<Page<AppObject>> list(const Principal& principal, AppFilter filter, const PageRequest& page);
  /// Errors: app_not_found.
  Result<AppObject> get(const Principal& principal, const std::string& name);
  /// Errors: app_not_found, invalid_request.
  Result<AppObject> update(const CatalogueCall& call, const std::string& name, const AppChanges& changes);
  /// Archived already is fine. Errors: app_not_found, app_in_use.
  Result<AppObject> archive(const CatalogueCall& call, const std::string& name);

 private:
  Parts parts_;
  AppStore apps_;
  AppVersionStore versions_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
