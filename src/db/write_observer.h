#pragma once
#include <chrono>
#include <cstddef>
#include <string_view>

namespace ee::db {

using Microseconds = std::chrono::microseconds;

/// Told what the database does, for metrics and logs. Called from the writer's thread (and readers' callers for
/// `read_finished`): must be quick and must not call the database.
class WriteObserver {
 public:
  virtual ~WriteObserver() = default;
  /// A group of `items` writes ended, `committed` or not, after `took` from BEGIN to COMMIT; `queued` wait behind it.
  virtual void group_finished(std::size_t items, bool committed, Microseconds took, std::size_t queued) {
    static_cast<void>(items), static_cast<void>(committed), static_cast<void>(took), static_cast<void>(queued);
  }
  /// One write from its call to its end, waiting in the queue included.
  virtual void write_finished(Microseconds took) { static_cast<void>(took); }
  /// A write's own function ran longer than the limit for a warning.
  virtual void slow_write(Microseconds took) { static_cast<void>(took); }
  /// A group could not be stored; `detail` is for the log.
  virtual void group_failed(std::string_view detail) { static_cast<void>(detail); }
};

}  // namespace ee::db
