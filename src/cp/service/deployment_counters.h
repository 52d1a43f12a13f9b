#pragma once
#include "common/metrics.h"

namespace ee::cp {

/// What is counted about deployments (03 section 15); all handles thread-safe.
struct DeploymentCounters {
  explicit DeploymentCounters(metrics::Registry& registry);
  metrics::Family<metrics::Counter> requests;  ///< result (accepted, refused), code
  metrics::Histogram claim_seconds;            ///< the writing transaction of a deploy, with its commit
  metrics::Counter claim_losses;
  metrics::Histogram to_running_seconds;  ///< from the request to the first time that it ran
  metrics::Counter stale_reports;
  metrics::Family<metrics::Counter> terminations;  ///< reason
  metrics::Counter placement_repairs;
  metrics::Counter slot_conflicts;           ///< an agent was not as its deployment says
  metrics::Family<metrics::Gauge> by_state;  ///< state
  metrics::Gauge reconciler_lag_seconds;     ///< how late the longest due row was, at the last look
};

}  // namespace ee::cp
