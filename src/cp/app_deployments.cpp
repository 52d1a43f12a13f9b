// Composition of deployments: what moves them, what agents say and are told, the work in the background.
#include <atomic>

#include "common/log.h"
#include "cp/app_parts.h"
#include "cp/catalogue_views.h"
#include "cp/settings_views.h"

namespace ee::cp {

namespace {

DeploymentSettingsSource settings_of(App::Parts& parts) {
  return [&parts] { return views::deployments(parts.snapshot()->resolved().values, parts.config); };
}

/// What a failed measurement is to who deploys: the file's own fault, or a registry's, which may pass.
Error not_pinned(const Error& error) {
  if (error_info(error.code).http_status != 0) return error;
  const std::string code(slug(error.code));
  if (!is_transient(error.code))
    return {.code = ErrorCode::compose_forbidden,
            .fields = {{.field = "compose", .code = code, .detail = "an image cannot be had"}}};
  log::warn("deployments", "images could not be looked up", {{"code", code}});
  return {.code = ErrorCode::overloaded, .retry_after = Seconds(30)};
}

/// Tags are for development and staging, and looking them up holds a worker: a few at a time.
std::function<Result<PinnedImages>(const std::string&, const AccountId&)> pinning(App::Parts& parts) {
  constexpr int kAtOnce = 2;
  const auto under_way = std::make_shared<std::atomic<int>>(0);
  return [&parts, under_way](const std::string& compose, const AccountId& account) -> Result<PinnedImages> {
    struct Place {
      std::atomic<int>& taken;
      const int before = taken.fetch_add(1);
      ~Place() { taken.fetch_sub(1); }
    };
    const Place place{*under_way};
    if (place.before >= kAtOnce) return fail(ErrorCode::overloaded, "other images are looked up");
    const auto signing = merge_signature_policy(views::signatures(parts.snapshot()->resolved().values), AppSigning());
    if (!signing) return std::unexpected(signing.error());
    const auto measured = parts.catalogue->measurer().measure_compose(compose, registry::kPlatform, *signing, account,
                                                                      {}, Milliseconds(30'000));
    if (!measured) return fail(not_pinned(measured.error()));
    PinnedImages pinned;
    for (const auto& [service, image] : measured->images) pinned.emplace(service, image.pinned);
    return pinned;
  };
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
  parts.agent_slots = std::make_unique<AgentSlots>(world.random, *parts.deployment_counters);
  parts.placer = std::make_unique<Placer>(*parts.agent_slots, *parts.deployment_counters);
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
                                                                       .counters = *parts.deployment_counters,
                                                                       .wake = wake,
                                                                       .pin_images = pinning(parts)});
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
                                  .counters = *parts.deployment_counters,
                                  .owner = new_uuid_v7(world.clock.now(), world.random).value_or("this process")});
  parts.deployment_jobs =
      std::make_unique<DeploymentJobs>(DeploymentJobs::Parts{.database = *parts.database,
                                                             .machine = *parts.machine,
                                                             .placer = *parts.placer,
                                                             .billing = *parts.billing,
                                                             .revisions = *parts.revisions,
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
