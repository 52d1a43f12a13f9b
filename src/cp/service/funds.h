#pragma once
#include <mutex>
#include <stop_token>

#include "common/clock.h"
#include "common/random.h"
#include "cp/service/billing_hooks.h"
#include "cp/service/billing_metrics.h"
#include "cp/service/billing_settings.h"
#include "cp/service/job_summary.h"
#include "cp/store/funds_store.h"

namespace ee::cp {

/// Watches that accounts can pay for what they run, and has the deployments of those that cannot stopped (04 section
/// 8.2). Thread-safe; what it refers to outlives it.
class FundsWatch {
 public:
  static constexpr std::int64_t kPage = 1000;
  static constexpr std::int64_t kStopsAtOnce = 200;  ///< of one account in one run

  struct Parts {
    db::Database& database;
    BillableDeployments& deployments;
    const Clock& clock;
    Random& random;
    BillingSettingsSource settings;
    BillingMetrics& metrics;
  };
  explicit FundsWatch(Parts parts) : parts_(std::move(parts)) {}

  /// One pass over every account with usage or without money. Counts: accounts, changed, stops. Skipped while billing
  /// is off. An account that fails is logged and does not hinder the others; the pass fails at its end then.
  Result<JobSummary> run(const std::stop_token& stop);

 private:
  struct Pass;
  Result<void> account(Pass& pass, FundsOfAccount funds);
  Result<bool> change(const FundsOfAccount& funds, const FundsChange& change, std::int64_t available);
  Result<bool> over_spend_limit(const FundsOfAccount& funds);
  Result<void> stop_all(Pass& pass, const AccountId& account);
  void count_states();

  Parts parts_;
};

}  // namespace ee::cp
