#include "cp/app.h"

#include <sys/resource.h>

#include <algorithm>

#include "common/id.h"
#include "common/log.h"
#include "cp/admin_tools.h"
#include "cp/app_parts.h"
#include "cp/database_tools.h"
#include "cp/domain/guardrails.h"
#include "cp/program_version.h"
#include "cp/settings_views.h"
#include "cp/store/meta_store.h"
#include "cp/store/schema.h"
#include "cp/store/settings_store.h"
#include "net/client_address.h"

namespace ee::cp {
namespace {

constexpr int kExitRuntime = 1;
constexpr int kExitConfiguration = 3;
constexpr int kExitDatabase = 4;
constexpr int kExitBind = 5;
constexpr int kExitGuardrail = 6;

std::unexpected<StartFailure> refuse(int exit_code, std::string line) {
  return std::unexpected(StartFailure{.exit_code = exit_code, .lines = {std::move(line)}});
}

std::unexpected<StartFailure> refuse(const std::vector<GuardrailViolation>& violations) {
  StartFailure failure{.exit_code = kExitGuardrail, .lines = {}};
  for (const GuardrailViolation& violation : violations)
    failure.lines.push_back(std::string(violation.slug) + ": " + violation.detail);
  return std::unexpected(std::move(failure));
}

/// Where a development installation keeps the keys that it makes for itself: beside the database file, or what stands
/// for it on PostgreSQL.
std::filesystem::path database_directory(const Config& config) {
  const std::filesystem::path path(config.database.is_postgres() ? config.emulated_tdx_dir
                                                                 : config.database.sqlite_path);
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

std::expected<void, StartFailure> prepare_database(App::Parts& parts) {
  const Config& config = parts.config;
  auto database = open_database(config, parts.world.clock, parts.counters.get());
  if (!database) return refuse(database.error().exit_code, database.error().code + ": " + database.error().detail);
  parts.database = std::move(*database);
  parts.sqlite = dynamic_cast<db::SqliteDatabase*>(parts.database.get());
  parts.shared_clock = std::make_unique<SharedClock>(parts.world.clock, *parts.database);
  const auto schema = prepare_schema(*parts.database, database_identity(config), parts.world.clock, parts.world.random);
  if (!schema) return refuse(schema.error().exit_code, schema.error().code + ": " + schema.error().detail);
  for (const std::string& guard : schema->restored_guards)
    log::error("database", "a guard of an append-only table had been removed and was set again", {{"guard", guard}});
  if (auto audited =
          audit_restored_guards(*parts.database, schema->restored_guards, parts.world.clock, parts.world.random);
      !audited)
    return refuse(kExitDatabase, "a restored guard cannot be audited: " + audited.error().detail);
  if (schema->migration.from != schema->migration.to)
    log::info("database", "schema brought up to date",
              {{"from", schema->migration.from}, {"to", schema->migration.to}});
  return {};
}

/// The version that agents know the published signing keys by: raised by the first replica that starts with another
/// set.
Result<std::int64_t> settle_keys_version(db::Database& database, const std::string& set_hash) {
  return database.write<std::int64_t>([&](db::Transaction& tx) -> Result<std::int64_t> {
    const MetaStore meta;
    const auto known = meta.get(tx, "signing_keys_hash");
    if (!known) return std::unexpected(known.error());
    if (*known && **known == set_hash) return meta.number(tx, "signing_keys_version");
    if (auto done = meta.set(tx, "signing_keys_hash", set_hash); !done) return std::unexpected(done.error());
    return meta.raise(tx, "signing_keys_version");
  });
}

Milliseconds since(const App::Parts& parts, std::optional<SteadyTime> then) {
  if (!then) return Milliseconds(0);
  return std::chrono::duration_cast<Milliseconds>(parts.world.clock.steady_now() - *then);
}

HealthSources health_sources(App::Parts& parts) {
  return {.writer_alive = [&parts] { return parts.database->health().alive; },
          .since_write_probe = [&parts] { return since(parts, parts.database->health().last_commit_at); },
          .settings_stale_for = [&parts] { return parts.settings->stale_for(); },
          .jobs_ok = [&parts] { return !parts.jobs || parts.jobs->healthy(); },
          .ledger_ok = [&parts] { return !parts.ledger_alarm->raised(); },
          .billing_in_time = [&parts] { return parts.billing_metrics->in_time(); },
          .sweep_held = [&parts] { return parts.sweeper->held() > 0; },
          .policy_valid =
              [&parts] {
                const auto settings = views::policy(parts.snapshot()->resolved().values, parts.config);
                return attestation::freeze_policy(settings).has_value();
              },
          .clock_agrees = [&parts] { return parts.outbound.clock_agrees(); },
          .attestation_on = [&parts] { return parts.own_attestation->available(); },
          .attestation_fresh =
              [&parts] {
                const auto made = parts.own_attestation->cached_at();
                const Seconds refresh = parts.snapshot()->seconds(Setting::attestation_cp_refresh_seconds);
                return made && parts.world.clock.now() - *made <= 3 * refresh;
              },
          .loop_lag = [&parts] { return parts.server ? parts.server->stats().loop_lag : Milliseconds(0); },
          .shedding_for = [&parts] { return parts.shedding_for(); },
          .disk_free_bytes = [&parts] { return parts.database->free_bytes(); },
          .attestation_required = parts.config.stage != Stage::dev};
}

net::ServerConfig server_config(const Config& config, const BindAddress& bind) {
  net::ServerConfig out;
  out.bind = bind.is_unix()                             ? "unix:" + bind.unix_path
             : bind.host.find(':') != std::string::npos ? "[" + bind.host + "]:" + std::to_string(bind.port)
                                                        : bind.host + ":" + std::to_string(bind.port);
  out.io_threads = static_cast<std::size_t>(config.http_threads);
  out.worker_threads = static_cast<std::size_t>(config.worker_threads);
  out.max_connections = static_cast<std::size_t>(config.http.max_connections);
  out.max_connections_per_ip = static_cast<std::size_t>(config.http.max_connections_per_ip);
  out.max_in_flight = static_cast<std::size_t>(config.http.max_in_flight);
  out.head.max_bytes = static_cast<std::size_t>(config.http.max_header_bytes);
  out.hsts = config.public_url.starts_with("https://");
  for (const std::string& range : config.trusted_proxies)
    if (const auto network = net::parse_network(range)) out.trusted_proxies.push_back(*network);
  out.tls_certificate_file = config.tls_cert_file.value_or("");
  out.tls_key_file = config.tls_key_file.value_or("");
  return out;
}

std::expected<void, StartFailure> listen(App::Parts& parts) {
  auto server = net::Server::start(server_config(parts.config, parts.config.bind), *parts.api, parts.world.clock,
                                   parts.world.random);
  if (!server) return refuse(kExitBind, server.error());
  parts.server = std::move(*server);
  if (parts.config.metrics_bind) {
    net::ServerConfig config = server_config(parts.config, *parts.config.metrics_bind);
    config.io_threads = 1;
    config.worker_threads = 4;
    config.tls_certificate_file.clear();
    config.tls_key_file.clear();
    auto metrics = net::Server::start(config, *parts.metrics_api, parts.world.clock, parts.world.random);
    if (!metrics) return refuse(kExitBind, metrics.error());
    parts.metrics_server = std::move(*metrics);
  }
  log::info("http", "listening", {{"url", parts.server->url()}});
  return {};
}

/// A bare listener that others can reach needs TLS of its own or a proxy in front (05 section 13.4).
bool is_exposed(const Config& config) {
  return config.stage != Stage::dev && !config.has_tls() && config.trusted_proxies.empty() && !config.bind.is_unix() &&
         !config.bind.is_loopback();
}

}  // namespace

Milliseconds App::Parts::shedding_for() {
  const bool shedding = server && server->stats().shedding;
  const std::int64_t now =
      std::chrono::duration_cast<Milliseconds>(world.clock.steady_now().time_since_epoch()).count();
  if (!shedding) {
    shedding_since_ms = 0;
    return Milliseconds(0);
  }
  std::int64_t begun = 0;
  if (shedding_since_ms.compare_exchange_strong(begun, now)) begun = now;
  return Milliseconds(now - begun);
}

std::expected<void, StartFailure> build_foundation(App::Parts& parts) {
  AppWorld& world = parts.world;
  const Config& config = parts.config;
  if (const auto violations = config_violations(config); !violations.empty()) return refuse(violations);
  if (is_exposed(config))
    return refuse(kExitGuardrail,
                  "plain_listener_exposed: EE_BIND is not loopback, without EE_TLS_CERT or EE_TRUSTED_PROXIES");
  const auto boot_id = new_uuid_v7(world.clock.now(), world.random);
  if (!boot_id) return refuse(kExitRuntime, "the system's random source failed");
  parts.boot_id = *boot_id;
  parts.counters = std::make_unique<ProcessMetrics>(parts.metrics, std::string(kProgramVersion), std::string(kGitSha));
  if (auto opened = prepare_database(parts); !opened) return opened;

  parts.settings = std::make_unique<SettingsService>(config, *parts.database, world.clock, world.random, parts.metrics);
  parts.settings_heard_by_password = SettingsWatch::listen(*parts.settings);
  parts.settings_heard_by_github = SettingsWatch::listen(*parts.settings);
  parts.settings->on_change(
      [line = parts.wake_line](const SettingsSnapshot&) { JobWaker::wake(line, "attestation_sweeper"); });
  if (auto loaded = parts.settings->load(); !loaded)
    return refuse(kExitDatabase, "settings cannot be read: " + loaded.error().detail);
  parts.settings_announced = parts.database->listen(kSettingsTopic, [&parts] { parts.settings->refresh(); });
  if (const auto violations = parts.settings->start_violations(); !violations.empty()) return refuse(violations);
  if (auto audited = parts.settings->audit_relaxed_policies({.name = "system:start"}); !audited)
    return refuse(kExitDatabase, "a relaxed policy cannot be audited: " + audited.error().detail);

  auto keys = load_identity_keys(config, database_directory(config),
                                 parts.snapshot()->seconds(Setting::attestation_nonce_ttl_seconds), world.clock.now(),
                                 world.random);
  if (!keys) return refuse(kExitConfiguration, keys.error());
  parts.keys.emplace(std::move(*keys));
  const auto version = settle_keys_version(*parts.database, parts.keys->signing.set_hash());
  if (!version) return refuse(kExitDatabase, "the signing keys' version cannot be stored: " + version.error().detail);
  parts.signing_keys_version = *version;
  const auto restored =
      parts.database->read<std::optional<UtcTime>>([](db::Transaction& tx) { return MetaStore().restored_at(tx); });
  if (!restored) return refuse(kExitDatabase, restored.error().detail);
  parts.restored_at = *restored;
  const auto began =
      parts.database->read<std::optional<UtcTime>>([](db::Transaction& tx) { return MetaStore().began_at(tx); });
  if (!began) return refuse(kExitDatabase, began.error().detail);
  parts.database_began_at = *began;
  parts.restore_hold = std::make_unique<RestoreHold>(*parts.database, world.clock, world.random);
  if (auto loaded = parts.restore_hold->load(); !loaded) return refuse(kExitDatabase, loaded.error().detail);
  parts.maintenance = std::make_unique<Maintenance>(*parts.database, world.clock, world.random);
  if (auto loaded = parts.maintenance->load(); !loaded) return refuse(kExitDatabase, loaded.error().detail);
  parts.cursors = std::make_unique<CursorCodec>(parts.keys->cursor);

  const auto snapshot = parts.snapshot();
  parts.credentials =
      CredentialCache::create(static_cast<std::size_t>(snapshot->integer(Setting::auth_cache_max)),
                              Milliseconds(snapshot->integer(Setting::auth_cache_ttl_ms)), world.random);
  if (!parts.credentials) return refuse(kExitRuntime, "the system's random source failed");
  const AuthSettingsSource auth = [&parts] { return views::auth(parts.snapshot()->resolved().values, parts.config); };
  parts.authenticator =
      std::make_unique<Authenticator>(*parts.database, *parts.credentials, world.clock, auth, parts.metrics);
  parts.sessions = std::make_unique<AdminSessions>(AdminSessions::Parts{.database = *parts.database,
                                                                        .authenticator = *parts.authenticator,
                                                                        .clock = world.clock,
                                                                        .random = world.random,
                                                                        .settings = auth,
                                                                        .metrics = parts.metrics});
  parts.refusals = std::make_unique<RefusalAudit>(*parts.database, world.clock, world.random, parts.metrics);
  return {};
}

std::expected<std::unique_ptr<App>, StartFailure> App::start(const Config& config, AppWorld world) {
  auto parts = std::make_unique<Parts>(config, std::move(world));
  if (config.stage != Stage::dev) {
    const rlimit none{0, 0};  // no core dumps: they hold keys
    ::setrlimit(RLIMIT_CORE, &none);
  }
  if (auto built = build_foundation(*parts); !built) return std::unexpected(built.error());
  build_accounts(*parts);
  build_github(*parts);
  build_ledger(*parts);
  if (auto loaded = parts->ledger_check->load(); !loaded) return refuse(kExitDatabase, loaded.error().detail);
  if (auto looked = warn_of_platform_account(*parts); !looked) return refuse(kExitDatabase, looked.error().detail);
  build_evidence(*parts);
  parts->catalogue = std::make_unique<Catalogue>(*parts);
  build_billing(*parts);
  build_agents(*parts);
  build_attestation_admin(*parts);
  build_deployment_work(*parts);
  if (auto built = build_stripe(*parts); !built) return std::unexpected(built.error());
  if (auto reloaded = parts->directory->reload(); !reloaded) return refuse(kExitDatabase, reloaded.error().detail);
  if (auto loaded = parts->live->load(); !loaded) return refuse(kExitDatabase, loaded.error().detail);
  // Staging and production do not start without evidence of their own; dev says that it has none.
  if (auto quoted = parts->own_attestation->refresh(parts->signing_keys_version); !quoted) {
    if (config.stage != Stage::dev) return refuse(kExitRuntime, "own attestation failed: " + quoted.error().detail);
    log::warn("attestation", "this control plane has no evidence of its own", {{"error", quoted.error().detail}});
  }
  parts->jobs = std::make_unique<JobRunner>(JobRunner::Parts{.database = *parts->database,
                                                             .clock = *parts->shared_clock,
                                                             .random = parts->world.random,
                                                             .replica = parts->boot_id,
                                                             .threads = static_cast<std::size_t>(config.job_threads),
                                                             .metrics = parts->metrics},
                                            job_definitions(*parts));
  parts->waker = std::make_unique<JobWaker>(parts->wake_line, *parts->jobs);
  parts->job_admin = std::make_unique<JobAdmin>(*parts->jobs, *parts->database, *parts->cursors, *parts->shared_clock,
                                                parts->world.random);
  parts->audit_listing = std::make_unique<AuditListing>(*parts->database, *parts->cursors);
  parts->health = std::make_unique<Health>(ProgramIdentity{.version = std::string(kProgramVersion),
                                                           .git_sha = std::string(kGitSha),
                                                           .env = std::string(to_string(config.stage)),
                                                           .boot_id = parts->boot_id},
                                           health_sources(*parts), parts->world.clock);
  if (auto built = build_proxy(*parts); !built) return std::unexpected(std::move(built.error()));
  build_logs(*parts);
  build_http(*parts);
  if (auto loaded = parts->cleanup->load(); !loaded) return refuse(kExitDatabase, loaded.error().detail);
  parts->metrics.add_process_metrics();
  if (auto listening = listen(*parts); !listening) return std::unexpected(listening.error());
  if (auto prepared = parts->world.run_jobs ? parts->jobs->start() : parts->jobs->prepare(); !prepared)
    return refuse(kExitDatabase, "jobs cannot be prepared: " + prepared.error().detail);
  parts->health->set_started();
  return std::unique_ptr<App>(new App(std::move(parts)));
}

App::App(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

App::~App() = default;

std::uint16_t App::port() const { return parts_->server->port(); }
std::string App::url() const { return parts_->server->url(); }
db::ServedDatabase& App::database() { return *parts_->database; }

void App::begin_drain() { parts_->health->drain(); }

bool App::stop(Seconds grace) {
  parts_->health->drain();
  const auto deadline = std::chrono::steady_clock::now() + grace;
  const auto left = [&] {
    return std::max(Milliseconds(0),
                    std::chrono::duration_cast<Milliseconds>(deadline - std::chrono::steady_clock::now()));
  };
  parts_->server->drain();
  if (parts_->metrics_server) parts_->metrics_server->drain();
  parts_->cleanup->stop();
  const bool jobs_ended = parts_->jobs->stop(left());
  if (const auto freed = parts_->reconciler->release(); !freed)
    log::warn("deployments", "leases stay until they end", {{"error", freed.error().detail}});
  const bool requests_ended = parts_->server->wait_drained(deadline);
  if (parts_->metrics_server) parts_->metrics_server->wait_drained(deadline);
  parts_->server.reset();
  parts_->routes->stop();
  parts_->metrics_server.reset();
  parts_->registration->settle_refusals();
  // What agents said since the last flush; at most a moment's worth.
  if (const auto flushed = parts_->flusher->flush({}); !flushed)
    log::error("agents", "the last heartbeats could not be stored", {{"error", flushed.error().detail}});
  if (const auto flushed = parts_->authenticator->flush_last_uses({}); !flushed)
    log::warn("auth", "the last uses of API keys could not be stored", {{"error", flushed.error().detail}});
  if (parts_->sqlite != nullptr)
    if (const auto moved = parts_->sqlite->checkpoint(db::CheckpointMode::truncate); !moved)
      log::warn("database", "the write-ahead log stays for the next start", {{"error", moved.error().detail}});
  return jobs_ended && requests_ended;
}

void App::reload() {
  if (!parts_->config.has_tls()) return;
  if (const auto reloaded = parts_->server->reload_tls(); !reloaded)
    log::error("http", "the new TLS files are not used", {{"error", reloaded.error()}});
  else
    log::info("http", "TLS files read again");
}

const std::vector<Route>& App::routes() const { return parts_->api->routes(); }

net::Response App::call(net::Request request) {
  net::RequestHead head{.method = request.method,
                        .path = request.path,
                        .query = request.query,
                        .fields = {},
                        .content_length = request.body.size(),
                        .peer_address = request.peer_address,
                        .client_address = request.client_address,
                        .request_id = request.request_id};
  net::Admission admission = parts_->api->admit(head);
  if (admission.answer) return std::move(*admission.answer);
  request.route = admission.route_index;
  request.params = std::move(admission.params);
  if (admission.route->fast)
    if (auto fast = parts_->api->try_fast(request)) {
      parts_->registration->settle_refusals();  // tests look into the database next
      return std::move(*fast);
    }
  return parts_->api->handle(std::move(request));
}

Result<JobSummary> App::run_job(const std::string& name) {
  for (const JobDefinition& job : job_definitions(*parts_))
    if (job.name == name)
      return job.run(JobContext{.stop = {}, .deadline = parts_->world.clock.steady_now() + job.timeout, .lease = {}});
  return fail(ErrorCode::job_unknown);
}

}  // namespace ee::cp
