#pragma once
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "common/clock.h"
#include "db/database.h"

namespace ee::cp {

/// How far a clock went ahead of the time that has passed.
struct ClockLeap {
  Milliseconds ahead{0};  ///< zero: not further than clocks may
  bool lasting = false;   ///< it was so for BillingClock::kPatience
};

/// The time by which billing works: that of another clock, but never further ahead than time has passed since this
/// process, or an earlier one of the same boot of this machine, began to look at it. A clock that is set forward
/// therefore neither closes hours that have not happened nor ends anybody's funds. Where it stood is kept in `meta`.
/// Time in which no process ran and the machine was off is believed: nothing here can know better. Thread-safe.
class BillingClock final : public Clock {
 public:
  /// A difference up to this is what clocks and their corrections have.
  static constexpr std::chrono::hours kTolerance{2};
  /// A clock may be wrong for a moment while replicas agree on the time.
  static constexpr Seconds kPatience{30};

  /// `clock` must outlive it. `boot`: names this boot of this machine; empty: not known, nothing is kept.
  BillingClock(Clock& clock, std::string boot);

  UtcTime now() const override;
  SteadyTime steady_now() const override { return clock_.steady_now(); }
  bool sleep_until(SteadyTime deadline, std::stop_token stop) override {
    return clock_.sleep_until(deadline, std::move(stop));
  }
  bool await_deadline(SteadyTime deadline, std::stop_token stop) override {
    return clock_.await_deadline(deadline, std::move(stop));
  }

  /// Compares the clocks; each few seconds, and before an hour is closed. The first look takes up what an earlier
  /// process kept; a leap that an administrator has accepted since the last one counts as time that passed. Errors: of
  /// the database.
  Result<ClockLeap> look(db::Database& database);

 private:
  /// The two clocks at one moment.
  struct Moment {
    UtcTime utc = {};
    SteadyTime steady = {};
    /// How much more has passed for the one than for the other.
    Milliseconds ahead_of(const Moment& earlier) const {
      return (utc - earlier.utc) - std::chrono::duration_cast<Milliseconds>(steady - earlier.steady);
    }
  };
  struct Kept;
  Moment moment() const { return {.utc = clock_.now(), .steady = clock_.steady_now()}; }
  static Result<Kept> read(db::Database& database);
  /// Whether the anchor is another one now.
  bool take_up(const Kept& kept, const Moment& here);
  Result<void> keep(db::Database& database, const Moment& anchor, std::int64_t accepted) const;

  Clock& clock_;
  const std::string boot_;
  mutable std::mutex mutex_;
  Moment anchor_;                       ///< from here on both clocks are compared
  bool looked_ = false;                 ///< whether what was kept is known
  std::int64_t accepted_ = 0;           ///< leaps that administrators have accepted, as of the last look
  std::optional<SteadyTime> leapt_at_;  ///< when a look first saw the leap
};

/// Counts the leaps that administrators have accepted, in `meta`.
inline constexpr std::string_view kClockLeapsAcceptedKey = "billing_clock_leaps_accepted";
/// Why billing is halted after a leap.
inline constexpr std::string_view kClockLeaptReason = "clock_leapt";

}  // namespace ee::cp
