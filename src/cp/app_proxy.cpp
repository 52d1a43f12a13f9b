// Composition of the way to workloads.
#include "common/log.h"
#include "cp/app_parts.h"
#include "cp/settings_views.h"
#include "net/resolver.h"

namespace ee::cp {

std::expected<void, StartFailure> build_proxy(App::Parts& parts) {
  AppWorld& world = parts.world;
  auto tls = net::TlsClientContext::make();
  // Without roots no tunnel is reachable; addresses of a development system still are.
  if (!tls) log::warn("proxy", "agents behind tunnels are not reachable", {{"error", tls.error()}});
  parts.routes = std::make_unique<RouteSnapshots>(*parts.database, *parts.agent_endpoint, world.clock);
  parts.proxy_access =
      std::make_unique<ProxyAccess>(*parts.database, *parts.credentials, *parts.authenticator, world.clock);
  parts.proxy_assertions = std::make_unique<ProxyAssertions>(parts.keys->signing, world.clock);
  parts.backend_addresses = std::make_unique<BackendAddresses>(net::look_up_host, world.clock);
  parts.services = std::make_unique<Services>(
      Services::Parts{.database = *parts.database,
                      .clock = world.clock,
                      .random = world.random,
                      .routes_changed = {},
                      .token_revoked = [&parts](std::string_view id) { parts.proxy_access->forget_token(id); }});
  parts.service_evidence = std::make_unique<ServiceEvidence>(*parts.database, *parts.agent_client);
  parts.target_audit = std::make_unique<TargetAudit>(*parts.database, world.clock, world.random);
  parts.proxy = std::make_unique<Proxy>(
      Proxy::Parts{.routes = *parts.routes,
                   .access = *parts.proxy_access,
                   .assertions = *parts.proxy_assertions,
                   .addresses = *parts.backend_addresses,
                   .clock = world.clock,
                   .random = world.random,
                   .settings = [&parts] { return views::proxy(parts.snapshot()->resolved().values); },
                   .tls = tls ? *tls : nullptr,
                   .metrics = parts.metrics,
                   .target_refused =
                       [&parts](const BackendRoute& backend, const std::string& request_id) {
                         parts.target_audit->record(backend.agent_id, backend.deployment_id, request_id);
                       },
                   .io_threads = static_cast<std::size_t>(parts.config.http_threads)});
  const auto age = parts.metrics.gauge("ee_route_snapshot_age_seconds", "Since the routes were last read.");
  parts.metrics.on_collect([age, &parts] {
    age.set(static_cast<double>(parts.routes->age().count()) / 1000.0);
    parts.proxy->update_gauges();
  });
  if (auto read = parts.routes->refresh(); !read)
    log::warn("proxy", "the routes cannot be read yet", {{"code", read.error().code}});
  if (world.run_jobs) parts.routes->start();
  return {};
}

}  // namespace ee::cp
