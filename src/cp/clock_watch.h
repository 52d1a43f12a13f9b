#pragma once
#include <optional>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

namespace ee::cp {

/// Tells when the system's clock goes back (05 section 13.2), and when it is not that of the others. Deadlines that are
/// stored stay as they are. Not thread-safe.
class ClockWatch {
 public:
  static constexpr Milliseconds kTolerance{2000};

  ClockWatch(const Clock& clock, metrics::Registry& registry)
      : clock_(clock),
        steps_(registry.counter("ee_clock_step_total", "Times that the system's clock went back.")),
        offset_(registry.gauge("ee_clock_offset_seconds", "The database's clock less this machine's.")) {}

  /// Each few seconds: compares what has passed on the system's clock with what has passed.
  void look() {
    const UtcTime utc = clock_.now();
    const SteadyTime steady = clock_.steady_now();
    if (last_) {
      const auto passed = std::chrono::duration_cast<Milliseconds>(steady - last_->steady);
      const Milliseconds back = last_->utc + passed - utc;
      if (back > kTolerance) {
        steps_.increment();
        log::warn("clock", "the system's clock went back", {{"milliseconds", back.count()}});
      }
    }
    last_ = Seen{.utc = utc, .steady = steady};
  }
  /// `offset`: the clock that replicas share, less this machine's (ServedDatabase::clock_offset). Replicas find each
  /// other's changes by the time at which they were made.
  void compare(Milliseconds offset) {
    offset_.set(static_cast<double>(offset.count()) / 1000);
    const bool differs = offset > kTolerance || offset < -kTolerance;
    if (differs && !differs_)
      log::warn("clock", "the system's clock is not the database's", {{"milliseconds", offset.count()}});
    differs_ = differs;
  }

 private:
  struct Seen {
    UtcTime utc;
    SteadyTime steady;
  };
  const Clock& clock_;
  metrics::Counter steps_;
  metrics::Gauge offset_;
  bool differs_ = false;
  std::optional<Seen> last_;
};

}  // namespace ee::cp
