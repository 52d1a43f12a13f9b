#pragma once
#include <atomic>
#include <cstdint>

#include "common/clock.h"
#include "common/metrics.h"
#include "cp/domain/funds.h"

namespace ee::cp {

/// Metrics of charging and funds (04 section 10), and what health asks of them. Thread-safe.
class BillingMetrics {
 public:
  static constexpr Seconds kLagTooLong{7200};

  BillingMetrics(metrics::Registry& registry, const Clock& clock);
  BillingMetrics(const BillingMetrics&) = delete;
  BillingMetrics& operator=(const BillingMetrics&) = delete;

  /// The first hour that is not charged; known after each run of the charging job.
  void next_hour(UtcTime hour) { next_hour_ms_ = unix_ms(hour); }
  void charged(std::int64_t rows) { rows_.increment(static_cast<double>(rows)); }
  void hour_took(Milliseconds took) { pass_seconds_.observe(static_cast<double>(took.count()) / 1000); }
  /// How far the clock leapt ahead of the time that has passed; zero when it did not.
  void clock_ahead(Seconds ahead) { clock_ahead_.set(static_cast<double>(ahead.count())); }
  void failed_rows(std::int64_t rows) { failed_rows_.set(static_cast<double>(rows)); }
  void accounts_in(BillingState state, std::int64_t accounts);

  /// How far charging is behind: now - next hour - 1 h, not below zero; zero before there was a first hour.
  Seconds lag() const;
  bool in_time() const { return lag() <= kLagTooLong; }

 private:
  const Clock& clock_;
  std::atomic<std::int64_t> next_hour_ms_ = 0;
  metrics::Gauge lag_seconds_;
  metrics::Counter rows_;
  metrics::Histogram pass_seconds_;
  metrics::Gauge clock_ahead_;
  metrics::Gauge failed_rows_;
  metrics::Family<metrics::Gauge> by_state_;
};

}  // namespace ee::cp
