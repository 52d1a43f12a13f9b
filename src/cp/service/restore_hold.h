#pragma once
#include <atomic>
#include <boost/describe.hpp>

#include "common/clock.h"
#include "common/json_type.h"
#include "common/random.h"
#include "cp/service/actor.h"
#include "db/database.h"

namespace ee::cp {

/// For a day after a restore the database is not believed about what it does not know: VMs and tunnels that are newer
/// than the backup look like orphans, and nothing of that kind is removed (05 section 3.5). Thread-safe.
class RestoreHold {
 public:
  struct View {
    bool held = false;
    bool was_held = false;
  };

  RestoreHold(db::Database& database, const Clock& clock, Random& random)
      : database_(database), clock_(clock), random_(random) {}

  /// At the start; where there are replicas also now and then: another one may have lifted it. Errors: of the database.
  Result<void> load();
  bool active() const { return unix_ms(clock_.now()) < until_ms_.load(); }
  /// An administrator has looked and ends it; audited.
  Result<View> lift(const Actor& actor);

 private:
  db::Database& database_;
  const Clock& clock_;
  Random& random_;
  std::atomic<std::int64_t> until_ms_ = 0;
};
BOOST_DESCRIBE_STRUCT(RestoreHold::View, (), (held, was_held))
constexpr std::string_view json_name(json::For<RestoreHold::View> /*type*/) { return "RestoreHold"; }

}  // namespace ee::cp
