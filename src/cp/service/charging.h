#pragma once
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "cp/service/actor.h"
#include "cp/service/billing_clock.h"
#include "cp/service/billing_metrics.h"
#include "cp/service/billing_settings.h"
#include "cp/service/charge_batch.h"
#include "cp/service/job_summary.h"

namespace ee::cp {

/// Hourly charging (04 section 7.4): every closed hour in its order, segment by segment in batches, each batch one
/// transaction with its place in `billing_hours`, so that a crash at any point charges nothing twice and forgets
/// nothing. Thread-safe: one pass at a time; what it refers to outlives it.
class Charging {
 public:
  /// Segments that one pass sets aside; more than that is not the segments' fault, and billing is halted.
  static constexpr int kSetAsideMax = 100;
  static constexpr Milliseconds kPause{5};  ///< at least, between batches: others write too

  struct Parts {
    db::Database& database;
    const ShareSource& shares;
    Clock& clock;
    Random& random;
    BillingSettingsSource settings;
    BillingMetrics& metrics;
    /// Whether `clock` went ahead of the time that has passed; empty: it is believed.
    std::function<Result<ClockLeap>()> look_at_clock = {};
    /// Tests; see ChargeBatch.
    std::function<Result<void>(ChargeStep)> before_step = {};
  };
  /// What a batch asks before it writes: whether the caller still holds the job.
  using Fence = std::function<Result<void>(db::Transaction&)>;

  explicit Charging(Parts parts);

  /// Charges every hour that is due, at most `billing.max_hours_per_tick`. Counts: hours, waived, rows, set_aside.
  /// A summary that stopped, or the note `billing_halted`, did whole batches only. Errors: `job_running`; of the
  /// database after three retries; of the fence; of what set more than kSetAsideMax segments aside.
  Result<JobSummary> run(const Fence& fence, const std::stop_token& stop);

  /// Halts billing, with the reason kClockLeaptReason and an audit row, when the clock leapt and stays there. Before
  /// each hour, and every few seconds on each replica: one that started after the leap cannot see it.
  Result<void> hold_if_clock_leapt();

  /// Charges a segment that was set aside for every hour that it missed, and takes it back among the live. Audited.
  /// Errors: `segment_unchargeable`, `billing_halted`.
  struct Retried {
    std::int64_t hours = 0;
    UsdMicros amount = {};
  };
  Result<Retried> retry(const std::string& segment_id, const std::string& reason, const Actor& actor);

 private:
  enum class Batch : std::uint8_t { more, hour_done, moved_on, halted };
  struct Pass;
  Result<Batch> hour(Pass& pass, UtcTime hour);
  Result<Batch> batch_with_retries(Pass& pass, UtcTime hour, std::int64_t rows);
  Result<Batch> batch(db::Transaction& tx, Pass& pass, UtcTime hour, std::int64_t rows) const;
  Result<AccountId> platform(db::Transaction& tx, const BillingSettings& settings) const;
  /// Whether a segment was set aside.
  Result<bool> set_first_aside(Pass& pass, UtcTime hour, const Error& why);
  Result<Retried> retry_in(db::Transaction& tx, const std::string& segment_id, const std::string& reason,
                           const Actor& actor) const;
  Result<void> halt(std::string_view reason, std::string_view why, const std::string& detail);
  bool pause(Milliseconds about, const std::stop_token& stop);
  void count_failed();

  Parts parts_;
  ChargeBatch batch_;
  std::mutex running_;
};

}  // namespace ee::cp
