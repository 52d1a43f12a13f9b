#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/database.h"

namespace ee::cp {

/// A row of `service_tokens`: a credential `ee_svc_*` that opens one service.
struct ServiceTokenRow {
  std::string id = {};
  std::string service_id = {};
  std::string label = {};
  std::string lookup = {};
  std::string secret_hash = {};  ///< Argon2id of the whole text
  UtcTime created_at = {};
  std::optional<UtcTime> expires_at = {};
  std::optional<UtcTime> last_used_at = {};
  std::optional<UtcTime> revoked_at = {};
};
BOOST_DESCRIBE_STRUCT(ServiceTokenRow, (),
                      (id, service_id, label, lookup, secret_hash, created_at, expires_at, last_used_at, revoked_at))

/// Table `service_tokens`. Stateless.
class ServiceTokenStore {
 public:
  /// Of one service, live ones.
  static constexpr std::int64_t kMaxLive = 50;

  Result<void> insert(db::Transaction& tx, const ServiceTokenRow& row) const;
  Result<std::optional<ServiceTokenRow>> find_by_lookup(db::Transaction& tx, std::string_view lookup) const;
  /// Live ones, oldest first.
  Result<std::vector<ServiceTokenRow>> live(db::Transaction& tx, const std::string& service, UtcTime now) const;
  /// False: there is no such live token of this service.
  Result<bool> revoke(db::Transaction& tx, const std::string& service, const std::string& id, UtcTime now) const;
  Result<void> note_use(db::Transaction& tx, const std::string& id, UtcTime now) const;
};

}  // namespace ee::cp
