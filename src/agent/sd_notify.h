#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/time.h"

namespace ee::agent {

/// Tells the service manager about this process, if there is one that wants to know. Source: sd_notify(3). Thread-safe.
class ServiceManager {
 public:
  /// `socket`: a path, or `@name` in the abstract namespace; empty: nobody listens. `watchdog_usec`: WATCHDOG_USEC.
  ServiceManager(std::string socket, std::string_view watchdog_usec);
  /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the process's environment.
  static ServiceManager from_environment();

  /// `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=...`. Failures are ignored: it is only news.
  void notify(std::string_view state) const;
  /// How often it wants to hear `WATCHDOG=1` (half of its limit); nothing when it does not.
  std::optional<Milliseconds> watchdog_period() const { return watchdog_period_; }

 private:
  std::string socket_;
  std::optional<Milliseconds> watchdog_period_;
};

}  // namespace ee::agent
