#include "cp/service/billing_metrics.h"

#include <algorithm>

namespace ee::cp {

BillingMetrics::BillingMetrics(metrics::Registry& registry, const Clock& clock)
    : clock_(clock),
      lag_seconds_(registry.gauge("ee_billing_lag_seconds", "How far hourly charging is behind.")),
      rows_(registry.counter("ee_billing_rows_total", "Hours of segments that were charged.")),
      pass_seconds_(registry.histogram("ee_billing_pass_seconds", "How long charging one hour took.",
                                       {0.01, 0.1, 1, 5, 10, 30, 60, 120, 300})),
      clock_ahead_(registry.gauge("ee_billing_clock_leap_seconds",
                                  "How far the clock leapt ahead of the time that has passed; billing halts.")),
      failed_rows_(registry.gauge("ee_billing_failed_rows", "Segments set aside because they cannot be charged.")),
      by_state_(registry.gauge("ee_accounts_by_billing_state", "Accounts in each state of their funds.",
                               {{"state", {"ok", "low", "grace", "exhausted"}}})) {
  registry.on_collect([this] { lag_seconds_.set(static_cast<double>(lag().count())); });
}

void BillingMetrics::accounts_in(BillingState state, std::int64_t accounts) {
  by_state_.with({boost::describe::enum_to_string(state, "")}).set(static_cast<double>(accounts));
}

Seconds BillingMetrics::lag() const {
  const std::int64_t next = next_hour_ms_;
  if (next == 0) return Seconds(0);
  const auto behind = clock_.now() - from_unix_ms(next) - std::chrono::hours(1);
  return std::max(Seconds(0), std::chrono::duration_cast<Seconds>(behind));
}

}  // namespace ee::cp
