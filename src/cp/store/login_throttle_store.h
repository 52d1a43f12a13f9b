#pragma once
#include <optional>
#include <string_view>

#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// `failures_max` failures within `window` lock a bucket for `lock`; each further lock that begins within `memory` of
/// the end of the one before is twice as long, up to `lock_max`.
struct ThrottleRule {
  std::int64_t failures_max;
  Seconds window;
  Seconds lock;
  Seconds lock_max;
  Seconds memory;
};

/// Password failures of one client address, and of everybody.
constexpr ThrottleRule kAddressThrottle{5, Seconds(900), Seconds(900), Seconds(86400), Seconds(86400)};
constexpr ThrottleRule kGlobalThrottle{50, Seconds(900), Seconds(300), Seconds(300), Seconds(86400)};

/// Table `login_throttle`: failed guesses, so that their limit holds over replicas and restarts. An attempt is counted
/// as a failure before it is checked, so that guesses at the same time cannot exceed the limit; a success clears the
/// bucket. Stateless.
class LoginThrottleStore {
 public:
  /// When the bucket's lock ends, if it is locked at `now`.
  Result<std::optional<UtcTime>> locked_until(db::Transaction& tx, std::string_view bucket, UtcTime now) const;
  /// Counts an attempt: true, it may be made; false, the bucket is locked. The last attempt that may be made sets the
  /// lock at once.
  Result<bool> raise(db::Transaction& tx, std::string_view bucket, const ThrottleRule& rule, UtcTime now) const;
  /// After a success.
  Result<void> clear(db::Transaction& tx, std::string_view bucket) const;
  /// Removes at most `limit` buckets that nothing has happened to since `before`; how many.
  Result<std::int64_t> remove_idle(db::Transaction& tx, UtcTime before, std::int64_t limit) const;
};

}  // namespace ee::cp
