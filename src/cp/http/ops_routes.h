#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/metrics.h"
#include "common/secret.h"
#include "cp/http/route.h"
#include "cp/service/health.h"

namespace ee::cp {

/// Liveness, readiness, metrics and the OpenAPI document.
struct OpsRoutes {
  const Health& health;
  metrics::Registry& metrics;
  Secret metrics_token = {};  ///< `EE_METRICS_TOKEN`; empty: by address
  bool dev = false;
  bool metrics_here = true;  ///< false: `EE_METRICS_BIND` serves them elsewhere
  /// Set once the table is complete.
  std::shared_ptr<const std::string> openapi = {};
};

void add_ops_routes(std::vector<Route>& table, OpsRoutes& context);
/// `GET /metrics` alone, for the listener of `EE_METRICS_BIND`.
void add_metrics_route(std::vector<Route>& table, OpsRoutes& context);

/// Whether the caller may read metrics: the token, or without one a loopback address (dev: anybody).
bool may_read_metrics(const OpsRoutes& context, const net::Request& request);

}  // namespace ee::cp
