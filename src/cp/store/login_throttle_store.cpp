#include "cp/store/login_throttle_store.h"

namespace ee::cp {
namespace {

/// One conditional upsert: of any number of attempts at once each sees the count that the one before left.
///   begins anew: the window is over, or a lock was set in it, which is over
///   attempts:    in the window, with this one
///   earlier:     locks that still count for doubling
constexpr std::string_view kRaise = R"sql(
INSERT INTO login_throttle (bucket, failures, window_start_at, locks, lock_ends_at) VALUES (:bucket, 1, :now, 0, 0)
ON CONFLICT (bucket) DO UPDATE SET
  failures = CASE WHEN login_throttle.window_start_at <= :window_before
                    OR login_throttle.lock_ends_at > login_throttle.window_start_at
                  THEN 1 ELSE login_throttle.failures + 1 END,
  window_start_at = CASE WHEN login_throttle.window_start_at <= :window_before
                           OR login_throttle.lock_ends_at > login_throttle.window_start_at
                         THEN :now ELSE login_throttle.window_start_at END,
  locks = CASE WHEN login_throttle.failures + 1 >= :failures_max
                 AND login_throttle.window_start_at > :window_before
                 AND login_throttle.lock_ends_at <= login_throttle.window_start_at
               THEN CASE WHEN login_throttle.lock_ends_at > :memory_before THEN login_throttle.locks ELSE 0 END + 1
               ELSE login_throttle.locks END,
  lock_ends_at = CASE WHEN login_throttle.failures + 1 >= :failures_max
                        AND login_throttle.window_start_at > :window_before
                        AND login_throttle.lock_ends_at <= login_throttle.window_start_at
                      THEN :now + CASE WHEN login_throttle.lock_ends_at <= :memory_before THEN :lock
                                       WHEN login_throttle.locks >= :doublings_max THEN :lock_max
                                       ELSE :lock * (1 << login_throttle.locks) END
                      ELSE login_throttle.lock_ends_at END
WHERE login_throttle.lock_ends_at <= :now
RETURNING failures)sql";

std::int64_t millis(Seconds seconds) { return Milliseconds(seconds).count(); }

/// After so many doublings the lock would be as long as the longest, or longer.
std::int64_t doublings_max(const ThrottleRule& rule) {
  std::int64_t count = 0;
  for (Seconds lock = rule.lock; lock < rule.lock_max; lock *= 2) ++count;
  return count;
}

}  // namespace

Result<std::optional<UtcTime>> LoginThrottleStore::locked_until(db::Transaction& tx, std::string_view bucket,
                                                                UtcTime now) const {
  return tx.query_one<UtcTime>("SELECT lock_ends_at FROM login_throttle WHERE bucket=:bucket AND lock_ends_at>:now",
                               {{"bucket", bucket}, {"now", now}});
}

Result<bool> LoginThrottleStore::raise(db::Transaction& tx, std::string_view bucket, const ThrottleRule& rule,
                                       UtcTime now) const {
  const auto counted = tx.query_one<std::int64_t>(kRaise, {{"bucket", bucket},
                                                           {"now", now},
                                                           {"window_before", now - rule.window},
                                                           {"memory_before", now - rule.memory},
                                                           {"failures_max", rule.failures_max},
                                                           {"lock", millis(rule.lock)},
                                                           {"lock_max", millis(rule.lock_max)},
                                                           {"doublings_max", doublings_max(rule)}});
  if (!counted) return std::unexpected(counted.error());
  return counted->has_value();
}

Result<void> LoginThrottleStore::clear(db::Transaction& tx, std::string_view bucket) const {
  const auto cleared = tx.execute("DELETE FROM login_throttle WHERE bucket=:bucket", {{"bucket", bucket}});
  if (!cleared) return std::unexpected(cleared.error());
  return {};
}

Result<std::int64_t> LoginThrottleStore::remove_idle(db::Transaction& tx, UtcTime before, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM login_throttle WHERE bucket IN (SELECT bucket FROM login_throttle"
      " WHERE window_start_at<:before AND lock_ends_at<:before LIMIT :limit)",
      {{"before", before}, {"limit", limit}});
}

}  // namespace ee::cp
