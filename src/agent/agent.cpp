#include "agent/agent.h"

#include <fmt/format.h>

#include <atomic>
#include <optional>
#include <thread>

#include "agent/board.h"
#include "agent/cloudflared.h"
#include "agent/config_disk.h"
#include "agent/config_values.h"
#include "agent/console_token.h"
#include "agent/control_loop.h"
#include "agent/control_plane_client.h"
#include "agent/cp_trust.h"
#include "agent/duties.h"
#include "agent/evidence.h"
#include "agent/files.h"
#include "agent/host_stats.h"
#include "agent/local_api.h"
#include "agent/port_pipe.h"
#include "agent/quote_sources.h"
#include "agent/registrar.h"
#include "agent/state_file.h"
#include "agent/version.h"
#include "agent/workload_parts.h"
#include "attestation/verify/intel_ta_client.h"
#include "common/log.h"
#include "common/metrics.h"

namespace ee::agent {
namespace {

constexpr Milliseconds kStopWorkloads{35'000};  // of the 60 s that an end may take
constexpr const char* kHostOfVm = "10.0.2.2";   // on QEMU's user network

std::unexpected<StartFailure> cannot_start(ExitCode code, std::string reason) {
  return std::unexpected(StartFailure{.exit_code = code, .reason = std::move(reason)});
}

}  // namespace

/// Everything, in order of dependence; destroyed backwards.
struct Agent::Parts {
  Parts(AgentConfig agent_config, World agent_world)
      : config(std::move(agent_config)), world(std::move(agent_world)), board(world.clock) {}

  std::expected<void, StartFailure> prepare();
  std::expected<void, StartFailure> listen();
  void connect();
  void run_threads(const std::stop_token& stop, std::vector<std::jthread>& threads);

  AgentConfig config;
  World world;
  std::optional<DirectoryLock> lock;
  std::unique_ptr<StateFile> state;
  std::string vm_name;
  std::string boot_id;
  agent_api::Capacity capacity;
  std::optional<InstanceKeys> keys;
  std::unique_ptr<attestation::QuoteSource> quotes;
  Board board;
  std::unique_ptr<PortPipe> registry_pipe;  // in development
  std::unique_ptr<WorkloadParts> workloads;
  std::optional<HostStatsSampler> stats;
  std::optional<ControlPlaneClient> client;
  std::optional<CpQuoteJudge> judge;
  std::optional<ControlPlaneTrust> trust;
  metrics::Registry metrics;  // nobody reads it; what is shared with the control plane counts
  std::optional<attestation::IntelTaClient> intel_ta;
  std::optional<EvidenceMaker> evidence;
  std::optional<Registrar> registrar;
  std::optional<CloudflaredSupervisor> cloudflared;
  std::optional<Duties> duties;
  std::optional<ControlLoop> loop;
  std::atomic<bool> connected = false;  // what is above is there
  std::optional<ConsoleTokens> console_tokens;
  std::optional<LocalApi> api;
  std::unique_ptr<net::Server> server;  // last: its handlers use all of the above
};

std::expected<void, StartFailure> Agent::Parts::prepare() {
  for (const std::string& directory : {config.data_dir, config.run_dir})
    if (auto made = make_directories(directory); !made)
      return cannot_start(ExitCode::bad_configuration, made.error().detail);
  if (!is_in_memory(config.run_dir)) {
    if (config.env != Environment::dev)
      return cannot_start(ExitCode::bad_configuration, fmt::format("run_dir {} must be tmpfs", config.run_dir));
    log::warn("agent", "run_dir is not tmpfs", {{"run_dir", config.run_dir}});
  }
  auto taken = DirectoryLock::take(config.data_dir);
  if (!taken) return cannot_start(ExitCode::bad_configuration, taken.error().detail);
  lock.emplace(std::move(*taken));
  auto opened = StateFile::open(config.data_dir, world.clock);
  if (!opened) return cannot_start(ExitCode::internal, opened.error().detail);
  state = std::move(*opened);
  if (const auto& damaged = state->damaged())
    log::error("agent", "the state file was damaged; starting as new", {{"kept_as", *damaged}});

  auto name = resolve_vm_name(config, config.gce_name, world.host, *state, world.random);
  if (!name) return cannot_start(ExitCode::internal, name.error().detail);
  vm_name = std::move(*name);
  auto boot = world.host.boot_id();
  if (!boot) return cannot_start(ExitCode::internal, boot.error().detail);
  boot_id = std::move(*boot);
  auto measured =
      config.capacity ? Result<agent_api::Capacity>(*config.capacity) : world.host.capacity(config.data_dir);
  if (!measured) return cannot_start(ExitCode::internal, measured.error().detail);
  capacity = *measured;

  auto made_keys = InstanceKeys::generate(world.random);
  if (!made_keys) return cannot_start(ExitCode::internal, made_keys.error().detail);
  keys.emplace(std::move(*made_keys));
  auto source = make_quote_source(config, world.clock, world.random);
  if (!source)
    return cannot_start(ExitCode::no_tdx, fmt::format("{}: {}", slug(source.error().code), source.error().detail));
  quotes = std::move(*source);
  if (auto digest = check_config_digest(*quotes, config.config_disk, world.random); !digest) {
    const bool other = digest.error().code == ErrorCode::config_digest_mismatch;
    return cannot_start(other ? ExitCode::bad_configuration : ExitCode::no_tdx,
                        fmt::format("{}: {}", slug(digest.error().code), digest.error().detail));
  }
  if (config.config_disk)
    if (auto kept = keep_config_payload(config.run_dir, *config.config_disk); !kept)
      return cannot_start(ExitCode::internal, kept.error().detail);
  if (const auto& registry = config.dev_insecure_registry) {
    auto pipe = PortPipe::start(*registry, {.host = kHostOfVm, .port = registry->port});
    if (!pipe) return cannot_start(ExitCode::bad_configuration, pipe.error().detail);
    registry_pipe = std::move(*pipe);
  }
  auto made = WorkloadParts::make({.config = config,
                                   .world = world,
                                   .state = *state,
                                   .board = board,
                                   .keys = *keys,
                                   .quotes = *quotes,
                                   .vm_name = vm_name,
                                   .boot_id = boot_id,
                                   .capacity = capacity});
  if (!made) return std::unexpected(std::move(made.error()));
  workloads = std::move(*made);
  return {};
}

/// The local API, before anything that needs to know its port (which may be 0 in development: any free one). Until
/// `connected` it has nobody to ask.
std::expected<void, StartFailure> Agent::Parts::listen() {
  LocalApi::Hooks hooks;
  console_tokens.emplace(board, world.clock, config.control_plane_url);
  hooks.sync = [this] {
    if (connected) loop->sync();
  };
  hooks.reattest = [this] { return connected && duties->refresh_now(); };
  hooks.tunnel = [this] { return connected ? cloudflared->report() : agent_api::TunnelReport{}; };
  hooks.console = [this](std::string_view authorization, std::string_view scope) -> Result<ConsoleAccess> {
    auto grant = console_tokens->check(authorization, scope);
    if (!grant) return fail(std::move(grant.error()));
    return ConsoleAccess{.only_deployment = std::move(grant->deployment_id)};
  };
  workloads->fill(hooks);
  api.emplace(config, vm_name, board, std::move(hooks), world.clock);
  auto started = net::Server::start(LocalApi::server_config(config.listen), *api, world.clock, world.random);
  if (!started)
    return cannot_start(ExitCode::internal,
                        fmt::format("cannot listen on {}: {}", config.listen.str(), started.error()));
  server = std::move(*started);
  if (config.listen.port == 0) {
    config.listen.port = server->port();
    if (!config.direct_url && is_loopback_address(config.listen.host)) config.direct_url = server->url();
  }
  return {};
}

void Agent::Parts::connect() {
  stats.emplace(world.host, world.clock, config.data_dir);
  client.emplace(
      ControlPlaneClient::Options{.origin = config.control_plane_url, .ca_file = config.ca_file.value_or("")},
      world.http);
  judge.emplace(config.trusted_cp_mrtds, emulation_of(config),
                make_collateral_source(config, world.http, world.clock, world.random));
  trust.emplace(config, *client, *judge, world.clock, world.random);
  intel_ta.emplace(world.http, world.clock, world.random, metrics);
  evidence.emplace(config, vm_name, *keys, *quotes, world.host, workloads->log_entries(),
                   [this](Bytes quote, Bytes preimage, const std::stop_token& stop) {
                     return intel_ta->attest(
                         {.api_url = config.ita_api_url, .api_key = config.ita_api_key.value_or(Secret())}, quote,
                         preimage, boot_id, stop);
                   });
  registrar.emplace(config,
                    Registrar::Identity{
                        .vm_name = vm_name, .boot_id = boot_id, .capacity = capacity, .direct_url = config.direct_url},
                    *keys, *client, *trust, *evidence, *state, world.random);
  cloudflared.emplace(
      CloudflaredSupervisor::Options{
          .program = config.cloudflared_path,
          .metrics = config.cloudflared_metrics(),
          .fresh_token = [this] { return duties->fetch_tunnel_token(); },
          .on_line = [](std::string_view line) { log::info("cloudflared", "output", {{"line", line}}); }},
      world.subprocesses, world.http, world.clock, world.random);
  duties.emplace(board, *client, *keys, *evidence, *state,
                 Duties::Hooks{.set_tunnel_token =
                                   [this](std::optional<Secret> token) { cloudflared->set_token(std::move(token)); },
                               .keys_untrusted = [this] { loop->register_again(); }},
                 world.clock, world.random);
  loop.emplace(config, boot_id, *registrar, *client, board, *state, workloads->workloads(),
               ControlLoop::Hooks{
                   .registered = [this](const Registration& registration) { duties->registered(registration); },
                   .unregistered = [this] { duties->unregistered(); },
                   .answered = [this](const Session& session,
                                      const agent_api::HeartbeatAnswer& answer) { duties->answered(session, answer); },
                   .tunnel = [this] { return cloudflared->report(); },
                   .stats = [this] { return stats->sample(); }},
               world.clock, world.random);
  workloads->connect(*client, [this] { loop->sync(); }, [this] { return stats->sample(); });
  connected = true;
}

void Agent::Parts::run_threads(const std::stop_token& stop, std::vector<std::jthread>& threads) {
  threads.emplace_back([this, stop] { cloudflared->run(stop); });
  threads.emplace_back([this, stop] { duties->fetcher().run(stop); });
  threads.emplace_back([this, stop] { duties->refresher().run(stop); });
  workloads->run_threads(stop, threads);
  if (registry_pipe) threads.emplace_back([this, stop] { registry_pipe->run(stop); });
  if (const auto period = world.manager.watchdog_period())
    threads.emplace_back([this, stop, period = *period] {
      while (world.clock.sleep_for(period, stop)) world.manager.notify("WATCHDOG=1");
    });
}

Agent::Agent(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Agent::~Agent() = default;

std::expected<std::unique_ptr<Agent>, StartFailure> Agent::start(AgentConfig config, World world) {
  auto parts = std::make_unique<Parts>(std::move(config), std::move(world));
  if (auto prepared = parts->prepare(); !prepared) return std::unexpected(std::move(prepared.error()));
  if (auto listening = parts->listen(); !listening) return std::unexpected(std::move(listening.error()));
  parts->connect();
  return std::unique_ptr<Agent>(new Agent(std::move(parts)));
}

std::string Agent::local_url() const { return parts_->server->url(); }

ExitCode Agent::run(const std::stop_token& stop) {
  Parts& parts = *parts_;
  log::info("agent", "started",
            {{"vm_name", parts.vm_name},
             {"version", kAgentVersion},
             {"env", to_string(parts.config.env)},
             {"listen", parts.server->url()},
             {"control_plane", parts.config.control_plane_url}});
  std::stop_source ending;
  std::vector<std::jthread> threads;
  parts.run_threads(ending.get_token(), threads);
  parts.world.manager.notify("READY=1");

  const LoopEnd end = parts.loop->run(stop);

  parts.world.manager.notify("STOPPING=1");
  parts.board.set_phase(AgentPhase::terminating);
  parts.server->drain();
  if (end == LoopEnd::stopped) parts.loop->send_last_heartbeat();
  const bool going_down = end == LoopEnd::stopped && parts.config.shutdown_workloads == ShutdownWorkloads::stop &&
                          parts.world.system_stopping();
  if (going_down) parts.workloads->workloads().stop_all();
  if (going_down || end == LoopEnd::deleted) parts.workloads->await_stopped(kStopWorkloads);
  ending.request_stop();
  threads.clear();  // joins; cloudflared has 15 s
  parts.server->wait_drained(std::chrono::steady_clock::now() + std::chrono::seconds(5));
  log::info("agent", "stopped");
  if (end == LoopEnd::stopped) return ExitCode::ok;
  const bool deleted = end == LoopEnd::deleted;
  if (!deleted || parts.config.poweroff_on_delete) parts.world.power_off();
  return deleted ? ExitCode::deleted : ExitCode::ok;
}

}  // namespace ee::agent
