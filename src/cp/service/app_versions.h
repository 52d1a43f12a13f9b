#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "cp/domain/cursor.h"
#include "cp/service/app_access.h"
#include "cp/service/catalogue_api.h"
#include "cp/store/app_version_store.h"
#include "db/database.h"

namespace ee::cp {

/// Settings that publishing reads.
struct PublishSettings {
  std::vector<std::string> allowed_registries = {};
  std::vector<std::uint16_t> reserved_ports = {8088, 8089, 9100};
};

/// Versions of apps as people see and change them (03 section 7.1); measuring is VersionMeasuring's. Every change
/// leaves one audit row in its transaction. Thread-safe.
class AppVersions {
 public:
  struct Parts {
    db::Database& database;
    const Clock& clock;
    Random& random;
    std::function<PublishSettings()> settings;
    /// Takes one from the app's bucket of publishes. Errors: rate_limited.
    std::function<Result<void>(const std::string& app_id)> admit_publish;
    /// There is something to measure.
    std::function<void()> wake_measuring;
  };

  explicit AppVersions(Parts parts) : parts_(std::move(parts)) {}

  /// Errors: app_not_found, repository_not_allowed, rate_limited, invalid_request, unknown_node_size, compose_invalid,
  /// compose_forbidden, ingress_port_unpublished, version_exists.
  Result<VersionObject> publish(const CatalogueCall& call, const std::string& app, const VersionRequest& wanted);
  /// Without compose texts and measurements. Errors: app_not_found.
  Result<Page<VersionObject>> list(const Principal& principal, const std::string& app, const VersionFilter& filter,
                                   const PageRequest& page);
  /// Errors: app_not_found, version_not_found.
  Result<VersionVariants> get(const Principal& principal, const std::string& app, const std::string& version,
                              const std::optional<std::string>& node_size);
  /// All variants, or that of `node_size`; those that are there already stay. Errors: app_not_found,
  /// repository_not_allowed, version_not_found, invalid_version_transition.
  Result<VersionVariants> yank(const CatalogueCall& call, const std::string& app, const std::string& version,
                               const VersionChoice& choice);
  Result<VersionVariants> unyank(const CatalogueCall& call, const std::string& app, const std::string& version,
                                 const VersionChoice& choice);
  /// Of versions that were rejected for something that may have passed. Errors: the same.
  Result<VersionVariants> remeasure(const CatalogueCall& call, const std::string& app, const std::string& version,
                                    const VersionChoice& choice);
  /// Sets the MRTD that agents must have. Errors: app_not_found, version_not_found, invalid_version_transition (not
  /// attested, or it has one).
  Result<VersionVariants> set_mrtd(const CatalogueCall& call, const std::string& app, const std::string& version,
                                   const AttestRequest& wanted);

 private:
  using Change = std::function<Result<bool>(db::Transaction&, const AppVersionRow&, UtcTime)>;
  struct ChangeOf {
    VersionEvent event;
    const char* action;
    Change apply;
  };
  Result<VersionVariants> change(const CatalogueCall& call, const std::string& app, const std::string& version,
                                 const VersionChoice& choice, const ChangeOf& change, bool by_workflows);
  Result<std::vector<AppVersionRow>> chosen(db::Transaction& tx, const AppRow& app, const std::string& version,
                                            const std::optional<std::string>& node_size) const;

  Parts parts_;
  AppVersionStore versions_;
  AuditLogStore audit_;
};

/// A version as the API shows it; `whole`: with compose text and measurement.
VersionObject version_object(const AppRow& app, const AppVersionRow& row, bool whole);

}  // namespace ee::cp
