// Composition of everything that keeps agents.
#include "cp/app_parts.h"
#include "cp/settings_views.h"

namespace ee::cp {

void build_agents(App::Parts& parts) {
  AppWorld& world = parts.world;
  const auto values = [&parts] { return parts.snapshot(); };
  const auto keys_version = [&parts] { return parts.signing_keys_version.load(); };
  parts.directory = std::make_unique<Directory>(*parts.database, world.clock);
  parts.live = std::make_unique<LiveMap>(*parts.database);
  build_deployment_core(parts);
  const auto flush_seconds = parts.metrics.histogram(
      "ee_agent_flush_seconds", "Duration of passes that write heartbeats.", metrics::latency_buckets());
  parts.flusher = std::make_unique<LiveFlusher>(*parts.database, *parts.live, world.clock,
                                                [flush_seconds](SteadyTime::duration took) {
                                                  flush_seconds.observe(std::chrono::duration<double>(took).count());
                                                });
  parts.heartbeats = std::make_unique<HeartbeatService>(
      *parts.database, *parts.directory, *parts.live, *parts.reports,
      HeartbeatService::Sources{.settings = [values] { return views::heartbeat(values()->resolved().values); },
                                .interval_raise = [&parts] { return parts.flusher->interval_raise(); },
                                .signing_keys_version = keys_version,
                                .observe = [&parts](HeartbeatResult result) { parts.counters->heartbeat(result); }});
  parts.cloudflare = std::make_unique<cloudflare::CloudflareClient>(
      parts.outbound.of("cloudflare"), world.clock, world.random,
      [values] { return views::cloudflare(values()->resolved().values); },
      [&parts](std::string_view op, std::string_view status) { parts.counters->cloudflare_call(op, status); });
  parts.tunnels = std::make_unique<TunnelService>(
      TunnelParts{
          .database = *parts.database,
          .cloudflare = *parts.cloudflare,
          .directory = *parts.directory,
          .clock = world.clock,
          .random = world.random,
          .settings =
              [&parts] {
                TunnelSettings settings = views::tunnels(parts.snapshot()->resolved().values, parts.config);
                settings.restore_hold = parts.restore_hold->active();
                return settings;
              },
          .observe = [&parts](std::string_view op, std::string_view result) { parts.counters->tunnel(op, result); }},
      [&parts] {
        if (parts.jobs) parts.jobs->wake("tunnel_worker");
      });
  parts.registration = std::make_unique<RegistrationService>(RegistrationService::Parts{
      .database = *parts.database,
      .verifier = *parts.verifier,
      .trust = *parts.trust,
      .signing_keys = parts.keys->signing,
      .tunnels = *parts.tunnels,
      .deployments = *parts.reports,
      .directory = *parts.directory,
      .live = *parts.live,
      .credentials = *parts.credentials,
      .clock = world.clock,
      .random = world.random,
      .settings = [&parts] { return views::registration(parts.snapshot()->resolved().values, parts.config); },
      .signing_keys_version = keys_version,
      .observe = [&parts](std::optional<ErrorCode> reason, const AttestationAttempt& attempt,
                          Milliseconds took) { parts.counters->registration(reason, attempt, took); },
      .audit_failed = [&parts] { parts.counters->audit_failed(); }});
  parts.agents = std::make_unique<AgentService>(AgentService::Parts{.database = *parts.database,
                                                                    .directory = *parts.directory,
                                                                    .live = *parts.live,
                                                                    .deployments = *parts.reports,
                                                                    .tunnels = *parts.tunnels,
                                                                    .credentials = *parts.credentials,
                                                                    .clock = world.clock,
                                                                    .random = world.random});
  parts.channel = std::make_unique<AgentChannel>(*parts.database, *parts.directory, *parts.reports, parts.keys->signing,
                                                 keys_version, world.clock);
  parts.rotation = std::make_unique<CredentialRotation>(CredentialRotation::Parts{.database = *parts.database,
                                                                                  .directory = *parts.directory,
                                                                                  .credentials = *parts.credentials,
                                                                                  .signing_keys = parts.keys->signing,
                                                                                  .clock = world.clock,
                                                                                  .random = world.random});
  parts.enrollment_tokens = std::make_unique<EnrollmentTokens>(*parts.database, world.clock, world.random);
  parts.agent_endpoint = std::make_unique<AgentEndpoint>(
      [&parts] { return views::agent_endpoint(parts.snapshot()->resolved().values, parts.config); });
  parts.agent_client = std::make_unique<AgentClient>(AgentClient::Parts{.endpoint = *parts.agent_endpoint,
                                                                        .signing_keys = parts.keys->signing,
                                                                        .http = parts.outbound.of("agent"),
                                                                        .clock = world.clock,
                                                                        .random = world.random});
  parts.agent_relay = std::make_unique<AgentRelay>(AgentRelay::Parts{.database = *parts.database,
                                                                     .live = *parts.live,
                                                                     .deployments = *parts.reports,
                                                                     .client = *parts.agent_client,
                                                                     .clock = world.clock});
  parts.console_access = std::make_unique<ConsoleAccess>(ConsoleAccess::Parts{.database = *parts.database,
                                                                              .deployments = *parts.reports,
                                                                              .endpoint = *parts.agent_endpoint,
                                                                              .signing_keys = parts.keys->signing,
                                                                              .clock = world.clock,
                                                                              .random = world.random,
                                                                              .public_url = parts.config.public_url});
  const AgentSettingsSource settings = [&parts] { return views::agents(parts.snapshot()->resolved().values); };
  const auto audit_failed = [&parts] { parts.counters->audit_failed(); };
  parts.refresh = std::make_unique<AttestationRefresh>(AttestationRefresh::Parts{
      .database = *parts.database,
      .verifier = *parts.verifier,
      .trust = *parts.trust,
      .challenges = *parts.challenges,
      .agents = *parts.agents,
      .directory = *parts.directory,
      .clock = world.clock,
      .random = world.random,
      .settings = settings,
      .observe = [&parts](std::optional<ErrorCode> reason, const AttestationAttempt& attempt,
                          Milliseconds took) { parts.counters->attestation(reason, attempt, took); },
      .audit_failed = audit_failed});
  parts.sweeper = std::make_unique<AttestationSweeper>(AttestationSweeper::Parts{.database = *parts.database,
                                                                                 .trust = *parts.trust,
                                                                                 .agents = *parts.agents,
                                                                                 .directory = *parts.directory,
                                                                                 .clock = world.clock,
                                                                                 .random = world.random,
                                                                                 .policy = parts.attestation_policy,
                                                                                 .settings = settings,
                                                                                 .audit_failed = audit_failed});
  add_agent_metrics(parts);
}

}  // namespace ee::cp
