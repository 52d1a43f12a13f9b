#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attestation/tsm/quote_source.h"
#include "attestation/verify/collateral_cache.h"
#include "attestation/verify/dcap_verifier.h"
#include "attestation/verify/pcs_client.h"
#include "common/credential_cache.h"
#include "common/metrics.h"
#include "cp/app.h"
#include "cp/app_catalogue.h"
#include "cp/domain/cursor.h"
#include "cp/http/account_routes.h"
#include "cp/http/admin_routes.h"
#include "cp/http/agent_protocol_routes.h"
#include "cp/http/agent_relay_routes.h"
#include "cp/http/agent_routes.h"
#include "cp/http/api.h"
#include "cp/http/attestation_admin_routes.h"
#include "cp/http/attestation_routes.h"
#include "cp/http/billing_routes.h"
#include "cp/http/cleanup_routes.h"
#include "cp/http/cloudflare_routes.h"
#include "cp/http/deployment_routes.h"
#include "cp/http/deposit_routes.h"
#include "cp/http/export_pump.h"
#include "cp/http/github_routes.h"
#include "cp/http/ledger_routes.h"
#include "cp/http/log_routes.h"
#include "cp/http/maintenance_routes.h"
#include "cp/http/ops_routes.h"
#include "cp/http/proxy.h"
#include "cp/http/proxy_routes.h"
#include "cp/http/session_routes.h"
#include "cp/http/trust_routes.h"
#include "cp/identity_keys.h"
#include "cp/integration/cloudflare/cloudflare_client.h"
#include "cp/integration/intel_ta/intel_ta.h"
#include "cp/integration/stripe/stripe_client.h"
#include "cp/jobs/job_runner.h"
#include "cp/jobs/job_waker.h"
#include "cp/outbound_http.h"
#include "cp/process_metrics.h"
#include "cp/service/account_identities.h"
#include "cp/service/account_money.h"
#include "cp/service/accounts.h"
#include "cp/service/admin_sessions.h"
#include "cp/service/agent_channel.h"
#include "cp/service/agent_client.h"
#include "cp/service/agent_endpoint.h"
#include "cp/service/agent_relay.h"
#include "cp/service/agent_service.h"
#include "cp/service/api_keys.h"
#include "cp/service/attestation_refresh.h"
#include "cp/service/attestation_sweeper.h"
#include "cp/service/authenticator.h"
#include "cp/service/billing.h"
#include "cp/service/billing_clock.h"
#include "cp/service/console_access.h"
#include "cp/service/control_plane_attestation.h"
#include "cp/service/credential_rotation.h"
#include "cp/service/dependency_errors.h"
#include "cp/service/deployment_assignments.h"
#include "cp/service/deployment_channel.h"
#include "cp/service/deployment_jobs.h"
#include "cp/service/deployment_money.h"
#include "cp/service/deployment_reconciler.h"
#include "cp/service/deposit_ledger.h"
#include "cp/service/deposits.h"
#include "cp/service/directory.h"
#include "cp/service/enrollment_tokens.h"
#include "cp/service/funds.h"
#include "cp/service/github_login.h"
#include "cp/service/github_oidc.h"
#include "cp/service/health.h"
#include "cp/service/heartbeat.h"
#include "cp/service/ledger.h"
#include "cp/service/ledger_admin.h"
#include "cp/service/ledger_check.h"
#include "cp/service/live_flusher.h"
#include "cp/service/live_map.h"
#include "cp/service/refusal_audit.h"
#include "cp/service/registration.h"
#include "cp/service/restore_hold.h"
#include "cp/service/services.h"
#include "cp/service/session_list.h"
#include "cp/service/settings.h"
#include "cp/service/stripe_admin.h"
#include "cp/service/stripe_webhook.h"
#include "cp/service/target_audit.h"
#include "cp/service/trust_service.h"
#include "cp/service/tunnel_service.h"
#include "cp/service/verification.h"
#include "cp/shared_clock.h"
#include "cp/store/collateral_store.h"
#include "db/served_database.h"
#include "db/sqlite_database.h"
#include "net/server.h"

namespace ee::cp {

/// Looks at the settings when it is made, and whenever they change while it lives; before a change is answered.
class SettingsWatch {
 public:
  using Line = std::shared_ptr<std::atomic<SettingsWatch*>>;
  /// Before the settings are loaded: then nothing is watched yet.
  static Line listen(SettingsService& settings);
  SettingsWatch(Line heard_by, SettingsService& settings, std::function<void()> look);
  SettingsWatch(const SettingsWatch&) = delete;
  SettingsWatch& operator=(const SettingsWatch&) = delete;
  ~SettingsWatch();

 private:
  Line heard_by_;
  SettingsService& settings_;
  std::function<void()> look_;
};

/// Everything the control plane is made of, in order of dependence; destroyed backwards.
struct App::Parts {
  Parts(Config config_, AppWorld world_) : config(std::move(config_)), world(std::move(world_)) {}

  const Config config;
  AppWorld world;
  std::string boot_id;

  metrics::Registry metrics;
  OutboundHttp outbound{world.http, world.clock, metrics};
  std::unique_ptr<ProcessMetrics> counters;
  std::unique_ptr<db::ServedDatabase> database;
  db::SqliteDatabase* sqlite = nullptr;  ///< the same, when it is one
  /// For leases and whatever else replicas compare: the time of the clock that they share.
  std::unique_ptr<SharedClock> shared_clock;
  std::unique_ptr<SettingsService> settings;
  std::unique_ptr<db::Subscription> settings_announced;  ///< PostgreSQL; null: no other process changes them
  SettingsWatch::Line settings_heard_by_password;
  SettingsWatch::Line settings_heard_by_github;
  JobWaker::Line wake_line = JobWaker::line();
  std::optional<IdentityKeys> keys;
  std::atomic<std::int64_t> signing_keys_version = 0;
  std::optional<UtcTime> restored_at;
  std::optional<UtcTime> database_began_at;
  std::atomic<std::int64_t> trust_version_seen = -1;  ///< as last read; -1: not yet
  std::unique_ptr<RestoreHold> restore_hold;
  std::unique_ptr<Maintenance> maintenance;
  std::unique_ptr<CursorCodec> cursors;

  // who asks
  std::unique_ptr<CredentialCache> credentials;
  std::unique_ptr<Authenticator> authenticator;
  std::unique_ptr<AdminSessions> sessions;
  std::unique_ptr<SettingsWatch> password_change;
  std::unique_ptr<SessionList> session_list;
  DeploymentHolds account_holds;
  std::unique_ptr<Accounts> accounts;
  std::unique_ptr<ApiKeys> api_keys;
  std::unique_ptr<AccountIdentities> identities;
  std::unique_ptr<RefusalAudit> refusals;

  // who asks, through GitHub
  std::unique_ptr<JwksCache> github_keys;
  std::unique_ptr<GithubOidc> github_oidc;
  std::unique_ptr<github::Client> github;
  std::unique_ptr<GithubLogin> github_login;
  std::unique_ptr<SettingsWatch> github_removal;
  // money
  std::unique_ptr<LedgerAlarm> ledger_alarm;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<LedgerCheck> ledger_check;
  std::unique_ptr<LedgerAdmin> ledger_admin;
  std::unique_ptr<AccountMoney> money;

  // evidence
  std::unique_ptr<attestation::QuoteSource> quotes;
  std::unique_ptr<ControlPlaneAttestation> own_attestation;
  std::unique_ptr<TrustService> trust;
  std::unique_ptr<attestation::PcsClient> pcs;
  std::unique_ptr<DatabaseCollateralStore> collateral_rows;
  std::shared_ptr<attestation::CollateralCache> collateral_cache;
  std::shared_ptr<attestation::CollateralSource> collateral;
  attestation::DcapVerifier dcap;
  std::unique_ptr<IntelTa> intel_ta;
  std::unique_ptr<ChallengeService> challenges;
  DependencyErrors dependency_errors{world.clock};
  DeploymentAssignments assignments;
  PolicySource attestation_policy;
  std::unique_ptr<EvidenceVerifier> verifier;

  // prices, charging, funds
  std::unique_ptr<Catalogue> catalogue;
  DeploymentMoney billable_deployments;
  std::unique_ptr<BillingClock> billing_clock;
  std::unique_ptr<BillingMetrics> billing_metrics;
  std::unique_ptr<RateCards> rate_cards;
  std::unique_ptr<Billing> billing;
  std::unique_ptr<Charging> charging;
  std::unique_ptr<FundsWatch> funds;
  std::unique_ptr<BillingAdmin> billing_admin;
  // agents and deployments
  std::unique_ptr<SecretBox> secret_box;
  std::unique_ptr<DeploymentCounters> deployment_counters;
  std::unique_ptr<AgentSlots> agent_slots;
  std::unique_ptr<Placer> placer;
  std::unique_ptr<Revisions> revisions;
  std::unique_ptr<DeploymentMachine> machine;
  std::unique_ptr<DeploymentDocuments> documents;
  std::unique_ptr<Directory> directory;
  std::unique_ptr<LiveMap> live;
  std::unique_ptr<DeploymentReports> reports;
  std::unique_ptr<DeploymentChannel> deployment_channel;
  std::unique_ptr<Deployments> deployments;
  std::unique_ptr<LiveFlusher> flusher;
  std::unique_ptr<HeartbeatService> heartbeats;
  std::unique_ptr<cloudflare::CloudflareClient> cloudflare;
  std::unique_ptr<TunnelService> tunnels;
  std::unique_ptr<CloudflareAdmin> cloudflare_admin;
  std::unique_ptr<RegistrationService> registration;
  std::unique_ptr<AgentChannel> channel;
  std::unique_ptr<CredentialRotation> rotation;
  std::unique_ptr<AgentService> agents;
  std::unique_ptr<Cleanup> cleanup;
  std::unique_ptr<EnrollmentTokens> enrollment_tokens;
  std::unique_ptr<AgentEndpoint> agent_endpoint;
  std::unique_ptr<AgentClient> agent_client;
  std::unique_ptr<AgentRelay> agent_relay;
  std::unique_ptr<ConsoleAccess> console_access;
  std::unique_ptr<AttestationRefresh> refresh;
  std::unique_ptr<AttestationSweeper> sweeper;
  std::unique_ptr<AttestationAdmin> attestation_admin;

  // deposits
  std::unique_ptr<stripe::StripeClient> stripe;
  std::unique_ptr<DepositLedger> deposit_ledger;
  std::unique_ptr<Deposits> deposits;
  std::unique_ptr<StripeWebhook> stripe_webhook;
  std::unique_ptr<StripeAdmin> stripe_admin;

  std::unique_ptr<DeploymentReconciler> reconciler;
  std::unique_ptr<DeploymentJobs> deployment_jobs;

  std::unique_ptr<JobRunner> jobs;
  std::unique_ptr<JobWaker> waker;
  std::unique_ptr<JobAdmin> job_admin;
  std::unique_ptr<AuditListing> audit_listing;
  std::unique_ptr<Health> health;

  // logs; what serves their followers ends behind the server
  std::shared_ptr<LogBuffer> logs;
  std::unique_ptr<HttpStreams> agent_streams;
  std::unique_ptr<ContainerLogs> container_logs;
  std::unique_ptr<LogExport> log_export;
  std::unique_ptr<EventStreams> log_streams;
  std::unique_ptr<EventStreams> container_streams;
  std::unique_ptr<ExportStreams> export_streams;
  std::unique_ptr<ExportStreams> tenant_exports;

  // the way to workloads
  std::unique_ptr<RouteSnapshots> routes;
  std::unique_ptr<ProxyAccess> proxy_access;
  std::unique_ptr<ProxyAssertions> proxy_assertions;
  std::unique_ptr<BackendAddresses> backend_addresses;
  std::unique_ptr<Services> services;
  std::unique_ptr<ServiceEvidence> service_evidence;
  std::unique_ptr<TargetAudit> target_audit;
  std::unique_ptr<Proxy> proxy;

  // HTTP
  std::unique_ptr<ExportPump> exports;
  std::unique_ptr<RateLimits> limits;
  std::unique_ptr<OpsRoutes> ops_routes;
  std::unique_ptr<SessionRoutes> session_routes;
  std::unique_ptr<AccountRoutes> account_routes;
  std::unique_ptr<GithubRoutes> github_routes;
  std::unique_ptr<AttestationRoutes> attestation_routes;
  std::unique_ptr<AgentProtocolRoutes> protocol_routes;
  std::unique_ptr<AgentRoutes> agent_routes;
  std::unique_ptr<DeploymentRoutes> deployment_routes;
  std::unique_ptr<AgentRelayRoutes> agent_relay_routes;
  std::unique_ptr<TrustRoutes> trust_routes;
  std::unique_ptr<AttestationAdminRoutes> attestation_admin_routes;
  std::unique_ptr<AdminRoutes> admin_routes;
  std::unique_ptr<LogRoutes> log_routes;
  std::unique_ptr<LedgerRoutes> ledger_routes;
  std::unique_ptr<BillingRoutes> billing_routes;
  std::unique_ptr<DepositRoutes> deposit_routes;
  std::unique_ptr<ProxyRoutes> proxy_routes;
  std::unique_ptr<MaintenanceRoutes> maintenance_routes;
  std::unique_ptr<CloudflareRoutes> cloudflare_routes;
  std::unique_ptr<CleanupRoutes> cleanup_routes;
  std::unique_ptr<Api> api;
  std::unique_ptr<Api> metrics_api;
  std::atomic<std::int64_t> shedding_since_ms = 0;
  std::unique_ptr<net::Server> server;
  std::unique_ptr<net::Server> metrics_server;

  /// The settings in force; never waits for the database.
  SettingsPtr snapshot() const { return settings->snapshot(); }
  /// How long load has been shed without a break; asked by health.
  Milliseconds shedding_for();
};

/// The parts below HTTP and jobs. Errors: lines for the operator, and the exit code.
std::expected<void, StartFailure> build_foundation(App::Parts& parts);
void build_accounts(App::Parts& parts);
void build_github(App::Parts& parts);
void build_ledger(App::Parts& parts);
Result<void> warn_of_platform_account(App::Parts& parts);
void build_evidence(App::Parts& parts);
void build_attestation_admin(App::Parts& parts);
void build_billing(App::Parts& parts);
void build_deployment_core(App::Parts& parts);
void build_agents(App::Parts& parts);
void add_agent_metrics(App::Parts& parts);
void build_deployment_work(App::Parts& parts);
std::expected<void, StartFailure> build_stripe(App::Parts& parts);
std::vector<JobDefinition> job_definitions(App::Parts& parts);
std::expected<void, StartFailure> build_proxy(App::Parts& parts);
void build_logs(App::Parts& parts);
void build_http(App::Parts& parts);

}  // namespace ee::cp
