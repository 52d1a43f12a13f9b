#pragma once
#include <vector>

#include "cp/http/route.h"
#include "cp/jobs/job_admin.h"
#include "cp/service/billing_admin.h"
#include "cp/service/charging.h"

namespace ee::cp {

/// Prices for everybody; rate cards and charging for administrators.
struct BillingRoutes {
  BillingAdmin& billing;
  Charging& charging;
  JobAdmin& jobs;
};

void add_billing_routes(std::vector<Route>& table, BillingRoutes& context);

}  // namespace ee::cp
