#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>

#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

/// A run of the clean-up; lists are JSON text.
struct CleanupRow {
  std::string id = {};
  std::string status = {};
  std::string plan = {};
  std::string deleted = {};
  std::string failed = {};
  std::string skipped = {};
  UtcTime started_at = {};
  std::optional<UtcTime> finished_at = {};
  std::string requested_by = {};
  std::string reason = {};
  std::optional<UtcTime> lease_expires_at = {};
  bool cancel_requested = false;
};
BOOST_DESCRIBE_STRUCT(CleanupRow, (),
                      (id, status, plan, deleted, failed, skipped, started_at, finished_at, requested_by, reason,
                       lease_expires_at, cancel_requested))

/// Table `cleanup_runs`. Stateless.
class CleanupStore {
 public:
  static constexpr std::int64_t kKept = 200;

  /// Begins a run, unless one is running; the oldest beyond the newest 200 go. Errors: cleanup_running.
  Result<void> insert(db::Transaction& tx, const CleanupRow& row) const;
  /// What was done so far, and for how long the run is believed to be alive. False: it runs no more.
  Result<bool> update(db::Transaction& tx, const CleanupRow& row) const;
  /// Marks runs as failed whose lease is over; `all`: every one.
  Result<std::int64_t> fail_dead(db::Transaction& tx, bool all, UtcTime now) const;
  /// False: it does not run.
  Result<bool> request_cancel(db::Transaction& tx, std::string_view id) const;
  Result<std::optional<CleanupRow>> find(db::Transaction& tx, std::string_view id) const;
  /// Newest first.
  Result<Page<CleanupRow>> list(db::Transaction& tx, const PageRequest& page) const;
};

}  // namespace ee::cp
