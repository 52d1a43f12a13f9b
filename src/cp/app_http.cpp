// Composition of the HTTP side: the route table from all families, the OpenAPI document made of it, the listeners.
#include <algorithm>

#include "cp/app_parts.h"
#include "cp/http/openapi.h"
#include "cp/program_version.h"
#include "cp/settings_views.h"
#include "net/client_address.h"

namespace ee::cp {
namespace {

ApiHooks hooks(App::Parts& parts) {
  return {.open_stream = [&parts](const net::RequestHead& head) { return parts.proxy->open(head); },
          .allows_origin =
              [&parts](std::string_view origin) {
                const auto snapshot = parts.snapshot();
                return std::ranges::find(snapshot->list(Setting::ops_cors_origins), origin) !=
                       snapshot->list(Setting::ops_cors_origins).end();
              },
          .observe = [&parts](const net::AccessRecord& record) { parts.counters->request(record); },
          .refused =
              [&parts](const Route& route, const Call& call, const Error& error) {
                parts.refusals->record({.actor = call.principal.actor(),
                                        .method = route.method,
                                        .route = route.pattern,
                                        .reason = error.code,
                                        .request_id = call.request.request_id,
                                        .client_address = call.request.client_address});
              },
          .maintenance = [&parts] { return parts.maintenance->refusal(); }};
}

/// Nothing but metrics is served there.
ApiHooks metrics_hooks(App::Parts& parts) {
  ApiHooks made = hooks(parts);
  made.open_stream = {};
  return made;
}

void make_contexts(App::Parts& parts) {
  parts.exports = std::make_unique<ExportPump>();
  parts.cloudflare_admin = std::make_unique<CloudflareAdmin>(CloudflareAdmin::Parts{
      .tunnels = *parts.tunnels,
      .database = *parts.database,
      .clock = parts.world.clock,
      .random = parts.world.random,
      .cursors = *parts.cursors,
      .missing = [&parts] { return views::missing_of_cloudflare(parts.snapshot()->resolved().values); }});
  parts.cleanup = std::make_unique<Cleanup>(Cleanup::Parts{
      .database = *parts.database,
      .directory = *parts.directory,
      .live = *parts.live,
      .agents = *parts.agents,
      .tunnels = *parts.tunnels,
      .clock = *parts.shared_clock,
      .random = parts.world.random,
      .cursors = *parts.cursors,
      .stale_after = [&parts] { return Seconds(3600 * parts.snapshot()->integer(Setting::agents_stale_hours)); },
      .restore_hold = [&parts] { return parts.restore_hold->active(); },
      .plan_required = parts.config.stage == Stage::production,
      .single_process = parts.sqlite != nullptr});
  parts.cleanup_routes =
      std::make_unique<CleanupRoutes>(CleanupRoutes{.cleanup = *parts.cleanup, .cursors = *parts.cursors});
  parts.cloudflare_routes =
      std::make_unique<CloudflareRoutes>(CloudflareRoutes{.admin = *parts.cloudflare_admin, .cursors = *parts.cursors});
  parts.maintenance_routes = std::make_unique<MaintenanceRoutes>(MaintenanceRoutes{.maintenance = *parts.maintenance});
  parts.billing_routes = std::make_unique<BillingRoutes>(
      BillingRoutes{.billing = *parts.billing_admin, .charging = *parts.charging, .jobs = *parts.job_admin});
  const auto keys_version = [&parts] { return parts.signing_keys_version.load(); };
  parts.ops_routes =
      std::make_unique<OpsRoutes>(OpsRoutes{.health = *parts.health,
                                            .metrics = parts.metrics,
                                            .metrics_token = parts.config.metrics_token.value_or(Secret()),
                                            .dev = parts.config.stage == Stage::dev,
                                            .metrics_here = !parts.config.metrics_bind});
  parts.session_routes = std::make_unique<SessionRoutes>(
      SessionRoutes{.sessions = *parts.sessions,
                    .list = *parts.session_list,
                    .accounts = *parts.accounts,
                    .signup_mode = [&parts] { return views::signup_mode(parts.snapshot()->resolved().values); },
                    .authenticator = *parts.authenticator,
                    .settings = [&parts] { return views::auth(parts.snapshot()->resolved().values, parts.config); }});
  parts.github_routes = std::make_unique<GithubRoutes>(GithubRoutes{
      .login = *parts.github_login, .authenticator = *parts.authenticator, .session = *parts.session_routes});
  parts.account_routes = std::make_unique<AccountRoutes>(AccountRoutes{.accounts = *parts.accounts,
                                                                       .keys = *parts.api_keys,
                                                                       .identities = *parts.identities,
                                                                       .cursors = *parts.cursors});
  parts.attestation_routes = std::make_unique<AttestationRoutes>(AttestationRoutes{
      .attestation = *parts.own_attestation,
      .refresh = [&parts] { return parts.snapshot()->seconds(Setting::attestation_cp_refresh_seconds); },
      .signing_keys_version = keys_version});
  parts.protocol_routes = std::make_unique<AgentProtocolRoutes>(AgentProtocolRoutes{
      .challenges = *parts.challenges,
      .challenge_policy = [&parts] { return views::challenge(parts.snapshot()->resolved().values); },
      .registration = *parts.registration,
      .heartbeats = *parts.heartbeats,
      .authenticator = *parts.authenticator,
      .limits = *parts.limits,
      .channel = *parts.channel,
      .refresh = *parts.refresh,
      .rotation = *parts.rotation,
      .clock = parts.world.clock,
      .challenge_issued = [&parts](std::string_view purpose) { parts.counters->nonce_issued(purpose); }});
  parts.agent_routes = std::make_unique<AgentRoutes>(AgentRoutes{.agents = *parts.agents,
                                                                 .tokens = *parts.enrollment_tokens,
                                                                 .cursors = *parts.cursors,
                                                                 .destructive_requires_oidc = [&parts] {
                                                                   return parts.snapshot()->flag(
                                                                       Setting::agents_destructive_requires_oidc);
                                                                 }});
  parts.agent_relay_routes = std::make_unique<AgentRelayRoutes>(
      AgentRelayRoutes{.relay = *parts.agent_relay, .console = *parts.console_access});
  parts.deployment_routes = std::make_unique<DeploymentRoutes>(DeploymentRoutes{.deployments = *parts.deployments,
                                                                                .jobs = *parts.deployment_jobs,
                                                                                .channel = *parts.deployment_channel,
                                                                                .cursors = *parts.cursors,
                                                                                .streams = *parts.container_streams,
                                                                                .authenticator = *parts.authenticator,
                                                                                .clock = parts.world.clock});
  parts.trust_routes = std::make_unique<TrustRoutes>(
      TrustRoutes{.trust = *parts.trust, .preview = *parts.attestation_admin, .cursors = *parts.cursors});
  parts.ledger_routes = std::make_unique<LedgerRoutes>(LedgerRoutes{.money = *parts.money,
                                                                    .admin = *parts.ledger_admin,
                                                                    .check = *parts.ledger_check,
                                                                    .jobs = *parts.job_admin,
                                                                    .cursors = *parts.cursors,
                                                                    .exports = *parts.exports});
  parts.deposit_routes = std::make_unique<DepositRoutes>(DepositRoutes{.deposits = *parts.deposits,
                                                                       .webhook = *parts.stripe_webhook,
                                                                       .admin = *parts.stripe_admin,
                                                                       .cursors = *parts.cursors});
  parts.proxy_routes = std::make_unique<ProxyRoutes>(
      ProxyRoutes{.services = *parts.services,
                  .evidence = *parts.service_evidence,
                  .cursors = *parts.cursors,
                  .settings = [&parts] { return views::proxy(parts.snapshot()->resolved().values); },
                  .public_url = parts.config.public_url});
  parts.log_routes = std::make_unique<LogRoutes>(
      LogRoutes{.buffer = *parts.logs,
                .containers = *parts.container_logs,
                .exports = *parts.log_export,
                .agents = *parts.agent_client,
                .streams = parts.world.streams != nullptr ? *parts.world.streams : *parts.agent_streams,
                .log_streams = *parts.log_streams,
                .container_streams = *parts.container_streams,
                .export_streams = *parts.export_streams,
                .tenant_exports = *parts.tenant_exports,
                .authenticator = *parts.authenticator,
                .cursors = *parts.cursors,
                .clock = parts.world.clock,
                .replica = parts.boot_id});
  parts.admin_routes = std::make_unique<AdminRoutes>(AdminRoutes{.settings = *parts.settings,
                                                                 .jobs = *parts.job_admin,
                                                                 .audit = *parts.audit_listing,
                                                                 .restore_hold = *parts.restore_hold,
                                                                 .cursors = *parts.cursors,
                                                                 .exports = *parts.exports});
}

}  // namespace

void build_http(App::Parts& parts) {
  parts.limits = std::make_unique<RateLimits>(
      parts.world.clock, [&parts] { return parts.snapshot()->integer(Setting::ops_rate_limit_scale_percent); },
      [&parts](std::string_view limit_class) { parts.counters->rate_limited(limit_class); });
  make_contexts(parts);
  std::vector<Route> table;
  add_ops_routes(table, *parts.ops_routes);
  add_session_routes(table, *parts.session_routes);
  add_github_routes(table, *parts.github_routes);
  add_account_routes(table, *parts.account_routes);
  add_api_key_routes(table, *parts.account_routes);
  add_identity_routes(table, *parts.account_routes);
  add_attestation_routes(table, *parts.attestation_routes);
  add_agent_protocol_routes(table, *parts.protocol_routes);
  add_agent_routes(table, *parts.agent_routes);
  add_enrollment_token_routes(table, *parts.agent_routes);
  add_agent_relay_routes(table, *parts.agent_relay_routes);
  add_deploy_routes(table, *parts.deployment_routes);
  add_deployment_routes(table, *parts.deployment_routes);
  add_deployment_agent_routes(table, *parts.deployment_routes);
  add_log_routes(table, *parts.log_routes);
  add_export_routes(table, *parts.log_routes);
  add_trust_routes(table, *parts.trust_routes);
  add_attestation_admin_routes(table, *parts.attestation_admin_routes);
  add_admin_routes(table, *parts.admin_routes);
  add_ledger_routes(table, *parts.ledger_routes);
  add_billing_routes(table, *parts.billing_routes);
  add_deposit_routes(table, *parts.deposit_routes);
  add_proxy_routes(table, *parts.proxy_routes);
  parts.catalogue->add_routes(table);
  add_cloudflare_routes(table, *parts.cloudflare_routes);
  add_cleanup_routes(table, *parts.cleanup_routes);
  add_maintenance_routes(table, *parts.maintenance_routes);
  for (Route& route : table) {
    route.in_maintenance = goes_on_in_maintenance(route);
    if (route.max_body_bytes == 0) route.max_body_bytes = static_cast<std::size_t>(parts.config.http.max_body_bytes);
  }
  parts.ops_routes->openapi =
      std::make_shared<const std::string>(openapi_document(table, parts.config.public_url, kProgramVersion));
  std::vector<std::string> templates;
  for (const Route& route : table)
    if (std::ranges::find(templates, route.pattern) == templates.end()) templates.emplace_back(route.pattern);
  templates.emplace_back("/metrics");
  templates.emplace_back("/proxy/{service}/{path}");
  parts.counters->set_routes(parts.metrics, templates);
  parts.api = std::make_unique<Api>(std::move(table), *parts.authenticator, *parts.limits, hooks(parts));
  if (parts.config.metrics_bind) {
    std::vector<Route> metrics_table;
    add_metrics_route(metrics_table, *parts.ops_routes);
    parts.metrics_api =
        std::make_unique<Api>(std::move(metrics_table), *parts.authenticator, *parts.limits, metrics_hooks(parts));
  }
}

}  // namespace ee::cp
