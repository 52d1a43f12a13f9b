#pragma once
#include "cp/jobs/job.h"
#include "cp/service/charging.h"
#include "cp/service/funds.h"

namespace ee::cp {

/// The jobs of charging and funds (04 section 10). What they are given must outlive them.

/// On a thread of its own: it must not wait behind other jobs. Each batch checks that the lease is still held.
JobDefinition hourly_charging(Charging& charging);
JobDefinition insufficient_funds(FundsWatch& funds);
JobDefinition usage_rollup(db::Database& database, const Clock& clock, BillingSettingsSource settings);

}  // namespace ee::cp
