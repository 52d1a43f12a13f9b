#pragma once
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "common/secret.h"
#include "cp/domain/cursor.h"
#include "cp/domain/principal.h"
#include "cp/service/actor.h"
#include "cp/service/route_table.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/deployment_store.h"
#include "cp/store/service_list_store.h"
#include "cp/store/service_store.h"
#include "cp/store/service_token_store.h"

namespace ee::cp {

/// A token as it is made: the only time that its text is known.
struct NewServiceToken {
  ServiceTokenRow row;
  Secret text;
};

/// Services and their tokens, for their owners and administrators (03 section 9.1). What another account owns does not
/// exist. Thread-safe; calls block on the database.
class Services {
 public:
  struct Parts {
    db::Database& database;
    Clock& clock;
    Random& random;
    std::function<void()> routes_changed;                          ///< after each COMMIT that changes routing
    std::function<void(std::string_view token_id)> token_revoked;  ///< after the COMMIT, before the answer
  };
  explicit Services(Parts parts) : parts_(std::move(parts)) {}

  struct Changes {
    std::optional<ServiceAccess> access = {};
    std::optional<ServiceOverrides> settings = {};
  };

  Result<Page<ListedServiceRow>> list(const Principal& principal, const PageRequest& page);
  /// Errors of all below: service_not_found; of `update`: invalid_request.
  Result<ListedServiceRow> get(const Principal& principal, std::string_view name);
  Result<ListedServiceRow> update(const Principal& principal, const Actor& actor, std::string_view name,
                                  const Changes& changes);
  /// Errors: service_in_use.
  Result<void> remove(const Principal& principal, const Actor& actor, std::string_view name);
  Result<std::vector<ServiceTokenRow>> tokens(const Principal& principal, std::string_view name);
  /// Errors: too_many_keys, invalid_request.
  Result<NewServiceToken> add_token(const Principal& principal, const Actor& actor, std::string_view name,
                                    const std::string& label, std::optional<std::int64_t> ttl_seconds);
  /// Errors: not_found.
  Result<void> revoke_token(const Principal& principal, const Actor& actor, std::string_view name,
                            const std::string& token_id);

 private:
  Result<ListedServiceRow> own(db::Transaction& tx, const Principal& principal, std::string_view name) const;
  /// The same for a change by it: its account is active. Errors: also `account_suspended`.
  Result<ListedServiceRow> changeable(db::Transaction& tx, const Principal& principal, std::string_view name) const;
  Result<void> audit(db::Transaction& tx, const Actor& actor, std::string action, const ListedServiceRow& service,
                     std::string detail) const;

  Parts parts_;
  ServiceListStore services_;
  ServiceStore routes_;
  DeploymentStore deployments_;
  ServiceTokenStore tokens_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
