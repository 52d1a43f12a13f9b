#include "cp/service/deployment_counters.h"

#include "common/error.h"
#include "cp/domain/deployment.h"

namespace ee::cp {
namespace {

std::vector<std::string> codes() {
  std::vector<std::string> out = {"ok"};
  for (const ErrorInfo& info : error_table()) out.emplace_back(info.slug);
  return out;
}

std::vector<std::string> states() {
  std::vector<std::string> out;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<DeploymentState>>(
      [&](auto state) { out.emplace_back(state.name); });
  return out;
}

/// From the request to a running workload: an image of some GiB takes minutes.
const std::vector<double>& start_buckets() {
  static const std::vector<double> buckets = {1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600};
  return buckets;
}

}  // namespace

DeploymentCounters::DeploymentCounters(metrics::Registry& registry)
    : requests(registry.counter("ee_deploy_requests_total", "Requests to deploy.",
                                {{"result", {"accepted", "refused"}}, {"code", codes()}})),
      claim_seconds(registry.histogram("ee_deploy_claim_seconds", "Claiming agents for a deploy, durably.",
                                       metrics::latency_buckets())),
      claim_losses(registry.counter("ee_deploy_claim_losses_total", "Agents that somebody else claimed first.")),
      to_running_seconds(registry.histogram("ee_deploy_to_running_seconds",
                                            "From a deploy to the first time that its workload ran.", start_buckets())),
      stale_reports(registry.counter("ee_deployment_stale_reports_total", "Reports about what is no longer assigned.")),
      terminations(registry.counter("ee_deployment_terminations_total", "Deployments that ended, by reason.",
                                    {{"reason",
                                      {"user",
                                       "replaced",
                                       "insufficient_funds",
                                       "expired",
                                       "admin",
                                       "agent_owner",
                                       "account_closed",
                                       "agent_lost",
                                       "attestation_lost",
                                       "agent_removed",
                                       "no_capacity",
                                       "dispatch_failed",
                                       "agent_rejected",
                                       "deploy_timeout",
                                       "workload_exited",
                                       "workload_lost",
                                       "rollback_failed",
                                       "digest_mismatch",
                                       "image_pull_failed",
                                       "compose_failed",
                                       "container_exited",
                                       "health_check_failed",
                                       "disk_full",
                                       "out_of_memory",
                                       "internal",
                                       "agent_error"}}})),
      placement_repairs(registry.counter("ee_placement_repairs_total", "Inconsistencies that were mended.")),
      slot_conflicts(
          registry.counter("ee_deployment_slot_conflicts_total", "Agents that were not as their deployment says.")),
      by_state(registry.gauge("ee_deployments", "Deployments, by state.", {{"state", states()}})),
      reconciler_lag_seconds(registry.gauge("ee_reconciler_lag_seconds", "How late the longest due deployment is.")) {}

}  // namespace ee::cp
