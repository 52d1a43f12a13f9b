#pragma once
#include <stop_token>

#include "common/clock.h"
#include "cp/service/billing_settings.h"
#include "cp/service/job_summary.h"
#include "db/database.h"

namespace ee::cp {

/// Usage that is older than `billing.usage_detail_days` is kept by day, not by hour. In transactions of 5,000 rows;
/// only hours that are charged or waived. Safe to repeat. Counts: rows. Ledger lines stay for ever.
Result<JobSummary> roll_up_usage(db::Database& database, const Clock& clock, const BillingSettings& settings,
                                 const std::stop_token& stop);

}  // namespace ee::cp
