// Composition of deployments: what moves them, what agents say and are told, the work in the background.
#include "cp/app_parts.h"
#include "cp/settings_views.h"

namespace ee::cp {

namespace {

DeploymentSettingsSource settings_of(App::Parts& parts) {
  return [&parts] { return views::deployments(parts.snapshot()->resolved().values, parts.config); };
}

}  // namespace

/// After the directory and the live map, before whatever tells of agents.
void build_deployment_core(App::Parts& parts) {
  AppWorld& world = parts.world;
  std::vector<Secret> keys;
  if (parts.config.secrets_key) keys.push_back(*parts.config.secrets_key);
  for (const Secret& old : parts.config.secrets_keys_old) keys.push_back(old);
  if (!parts.config.secrets_key) keys.clear();
  parts.secret_box = std::make_unique<SecretBox>(keys);
  parts.deployment_counters = std::make_unique<DeploymentCounters>(parts.metrics);
  parts.agent_slots = std::make_unique<AgentSlots>(world.random);
  parts.placer = std::make_unique<Placer>(*parts.agent_slots);
  parts.revisions = std::make_unique<Revisions>(*parts.secret_box, world.random);
  parts.machine = std::make_unique<DeploymentMachine>(DeploymentMachine::Parts{.billing = *parts.billing,
                                                                               .slots = *parts.agent_slots,
                                                                               .placer = *parts.placer,
                                                                               .revisions = *parts.revisions,
                                                                               .clock = world.clock,
                                                                               .random = world.random,
                                                                               .settings = settings_of(parts),
                                                                               .counters = *parts.deployment_counters});
  parts.documents =
      std::make_unique<DeploymentDocuments>(DeploymentDocuments::Parts{.revisions = *parts.revisions,
                                                                       .signing_keys = parts.keys->signing,
                                                                       .clock = world.clock,
                                                                       .settings = settings_of(parts)});
  const auto wake = [&parts] {
    if (parts.jobs) parts.jobs->wake("deployment_reconciler");
  };
  parts.reports = std::make_unique<DeploymentReports>(DeploymentReports::Parts{.database = *parts.database,
                                                                               .machine = *parts.machine,
                                                                               .slots = *parts.agent_slots,
                                                                               .live = *parts.live,
                                                                               .documents = *parts.documents,
                                                                               .clock = world.clock,
                                                                               .counters = *parts.deployment_counters,
                                                                               .wake = wake});
  parts.deployment_channel = std::make_unique<DeploymentChannel>(*parts.reports, *parts.directory);
  parts.deployments = std::make_unique<Deployments>(Deployments::Parts{.database = *parts.database,
                                                                       .machine = *parts.machine,
                                                                       .placer = *parts.placer,
                                                                       .revisions = *parts.revisions,
                                                                       .billing = *parts.billing,
                                                                       .box = *parts.secret_box,
                                                                       .directory = *parts.directory,
                                                                       .clock = world.clock,
                                                                       .random = world.random,
                                                                       .settings = settings_of(parts),
                                                                       .wake = wake});
  parts.billable_deployments.set_stop(
      [&parts](const DeploymentId& id, std::string_view reason, std::string_view actor) {
        return parts.deployments->request_stop(id, reason, actor);
      });
  parts.account_holds.set_machine(*parts.machine);
}

/// After the calls to agents.
void build_deployment_work(App::Parts& parts) {
  AppWorld& world = parts.world;
  parts.reconciler = std::make_unique<DeploymentReconciler>(
      DeploymentReconciler::Parts{.database = *parts.database,
                                  .machine = *parts.machine,
                                  .documents = *parts.documents,
                                  .agents = *parts.agent_client,
                                  .endpoint = *parts.agent_endpoint,
                                  .directory = *parts.directory,
                                  .clock = *parts.shared_clock,
                                  .random = world.random,
                                  .owner = new_uuid_v7(world.clock.now(), world.random).value_or("this process")});
  parts.deployment_jobs =
      std::make_unique<DeploymentJobs>(DeploymentJobs::Parts{.database = *parts.database,
                                                             .machine = *parts.machine,
                                                             .placer = *parts.placer,
                                                             .billing = *parts.billing,
                                                             .deployments = *parts.deployments,
                                                             .live = *parts.live,
                                                             .directory = *parts.directory,
                                                             .clock = *parts.shared_clock,
                                                             .random = world.random,
                                                             .settings = settings_of(parts),
                                                             .counters = *parts.deployment_counters,
                                                             .wake = [&parts] {
                                                               if (parts.jobs)
                                                                 parts.jobs->wake("deployment_reconciler");
                                                             }});
}

}  // namespace ee::cp
