#pragma once
#include <array>
#include <atomic>
#include <boost/describe.hpp>
#include <mutex>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/json.h"
#include "common/random.h"
#include "cp/service/actor.h"
#include "db/database.h"

namespace ee::cp {

/// `POST /api/v1/admin/maintenance`.
struct MaintenanceRequest {
  bool read_only = false;
  std::string message = {};  ///< shown to whoever is refused
};
BOOST_DESCRIBE_STRUCT(MaintenanceRequest, (), (read_only, message))
constexpr auto json_rules(json::For<MaintenanceRequest>) {
  return std::array{json::field("message").length(0, 200).defaulted()};
}
constexpr std::string_view json_name(json::For<MaintenanceRequest>) { return "MaintenanceRequest"; }

struct MaintenanceView {
  bool read_only = false;
  std::string message = {};
  std::optional<UtcTime> changed_at = {};
};
BOOST_DESCRIBE_STRUCT(MaintenanceView, (), (read_only, message, changed_at))
constexpr std::string_view json_name(json::For<MaintenanceView>) { return "Maintenance"; }

/// Whether the installation takes no changes for now (05 section 11.3); kept in `meta`, so that a restart does not end
/// it. Jobs go on. Thread-safe.
class Maintenance {
 public:
  static constexpr Seconds kRetryAfter{60};

  Maintenance(db::Database& database, const Clock& clock, Random& random)
      : database_(database), clock_(clock), random_(random) {}

  /// At the start, and now and then: another process may have changed it. Errors: of the database.
  Result<void> load();
  /// Audited as `maintenance_changed`; saying it again is fine. Errors: `invalid_request`, of the database.
  Result<MaintenanceView> set(const MaintenanceRequest& wanted, const Actor& actor);
  MaintenanceView view() const;
  /// What a request for a change is answered; nothing: go on. Does not wait for the database.
  std::optional<Error> refusal() const;

 private:
  void take(MaintenanceView view);

  db::Database& database_;
  const Clock& clock_;
  Random& random_;
  std::atomic<bool> read_only_ = false;
  mutable std::mutex mutex_;
  MaintenanceView view_;
};

}  // namespace ee::cp
