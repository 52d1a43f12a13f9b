#include "cp/jobs/billing_jobs.h"

#include "cp/service/usage_rollup.h"

namespace ee::cp {

JobDefinition hourly_charging(Charging& charging) {
  return {.name = "hourly_charging",
          .period = every(Seconds(60)),
          .timeout = Seconds(600),
          .run =
              [&charging](const JobContext& context) {
                // A single pass that somebody calls without the runner has no lease that could be lost.
                if (context.lease.name.empty()) return charging.run({}, context.stop);
                return charging.run(
                    [&context](db::Transaction& tx) { return JobStore().check_fence(tx, context.lease); },
                    context.stop);
              },
          .own_thread = true};
}

JobDefinition insufficient_funds(FundsWatch& funds) {
  return {.name = "insufficient_funds",
          .period = every(Seconds(60)),
          .timeout = Seconds(55),
          .run = [&funds](const JobContext& context) { return funds.run(context.stop); }};
}

JobDefinition usage_rollup(db::Database& database, const Clock& clock, BillingSettingsSource settings) {
  return {.name = "usage_rollup",
          .period = every(Seconds(3600)),
          .timeout = Seconds(600),
          .run = [&database, &clock, settings = std::move(settings)](const JobContext& context) {
            return roll_up_usage(database, clock, settings(), context.stop);
          }};
}

}  // namespace ee::cp
