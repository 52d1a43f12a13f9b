#include "agent/bootstrap/control_plane_host.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <thread>

#include "agent/board.h"
#include "agent/bootstrap/boot_evidence.h"
#include "agent/bootstrap/cp_environment.h"
#include "agent/bootstrap/cp_supervisor.h"
#include "agent/cloudflared.h"
#include "agent/config_disk.h"
#include "agent/files.h"
#include "agent/local_api.h"
#include "agent/own_instance.h"
#include "agent/quote_sources.h"
#include "agent/runtime/container_launcher.h"
#include "agent/runtime/runtime_choice.h"
#include "common/log.h"

namespace ee::agent {
namespace {

constexpr std::uint64_t kFreeBytes = 512UL * 1024 * 1024;
constexpr const char* kConfigfs = "/sys/kernel/config";
/// For the programs that `ee-cp` calls, such as cosign.
constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::unexpected<StartFailure> cannot_start(ExitCode code, std::string reason) {
  return std::unexpected(StartFailure{.exit_code = code, .reason = std::move(reason)});
}

/// Why the control plane cannot keep its data there; nothing when it can.
std::optional<std::string> unusable(const std::string& directory) {
  if (auto made = make_directories(directory); !made) return made.error().detail;
  const std::string probe = directory + "/.writable";
  if (auto written = write_file_atomically(probe, ""); !written) return written.error().detail;
  ::unlink(probe.c_str());
  struct statvfs info{};
  if (::statvfs(directory.c_str(), &info) != 0) return directory + ": its size cannot be read";
  if (static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize < kFreeBytes)
    return directory + ": less than 512 MiB are free";
  return std::nullopt;
}

}  // namespace

/// Everything, in order of dependence; destroyed backwards.
struct ControlPlaneHost::Parts {
  Parts(AgentConfig agent_config, World agent_world)
      : config(std::move(agent_config)), world(std::move(agent_world)), board(world.clock) {}

  std::expected<void, StartFailure> prepare();
  std::expected<void, StartFailure> prove();
  std::expected<void, StartFailure> find_program();
  std::expected<void, StartFailure> listen();
  void connect();

  AgentConfig config;
  World world;
  Board board;
  std::optional<DirectoryLock> lock;
  std::unique_ptr<attestation::QuoteSource> quotes;
  CpEnvironment environment;
  std::stop_source stopping;
  SecretMask mask;  // the values of cp_env
  ChosenRuntime chosen;
  std::optional<ContainerLauncher> containers;
  std::optional<CpSupervisor> supervisor;
  std::optional<CloudflaredSupervisor> cloudflared;
  std::optional<LocalApi> api;
  std::unique_ptr<net::Server> server;
};

std::expected<void, StartFailure> ControlPlaneHost::Parts::prepare() {
  for (const std::string& directory : {config.data_dir, config.run_dir})
    if (auto made = make_directories(directory); !made)
      return cannot_start(ExitCode::bad_configuration, made.error().detail);
  const bool dev = config.env == Environment::dev;
  if (!is_in_memory(config.run_dir) && !dev)
    return cannot_start(ExitCode::bad_configuration, fmt::format("run_dir {} must be tmpfs", config.run_dir));
  auto taken = DirectoryLock::take(config.data_dir);
  if (!taken) return cannot_start(ExitCode::bad_configuration, taken.error().detail);
  lock.emplace(std::move(*taken));
  if (const auto problem = unusable(config.cp.data_dir)) return cannot_start(ExitCode::bad_configuration, *problem);
  auto made = cp_environment(config);
  if (!made) return cannot_start(ExitCode::bad_configuration, made.error());
  environment = std::move(*made);
  for (const std::string& file : environment.files)
    if (!is_in_memory(file) && !dev)
      return cannot_start(ExitCode::bad_configuration, fmt::format("{}: secrets must stay on tmpfs", file));
  return {};
}

/// The self-check: a quote over what is about to be started.
std::expected<void, StartFailure> ControlPlaneHost::Parts::prove() {
  const auto failed = [](const Error& error) {
    const bool other = error.code == ErrorCode::config_digest_mismatch;
    return cannot_start(other ? ExitCode::bad_configuration : ExitCode::no_tdx,
                        fmt::format("{}: {}", slug(error.code), error.detail));
  };
  auto source = make_quote_source(config, world.clock, world.random);
  if (!source) return failed(source.error());
  quotes = std::move(*source);
  if (auto digest = check_config_digest(*quotes, config.config_disk, world.random); !digest)
    return failed(digest.error());
  if (config.config_disk)
    if (auto kept = keep_config_payload(config.run_dir, *config.config_disk); !kept)
      return cannot_start(ExitCode::internal, kept.error().detail);
  const std::string program = config.cp.image.value_or(fmt::format("{}", fmt::join(config.cp.command, " ")));
  const auto evidence = boot_evidence(*quotes, program, world.clock, world.random);
  if (!evidence) return failed(evidence.error());
  const std::string path = config.run_dir + "/cp-boot-evidence.json";
  if (auto written = write_file_atomically(path, *evidence); !written)
    return cannot_start(ExitCode::internal, written.error().detail);
  if (::chmod(path.c_str(), 0644) != 0) return cannot_start(ExitCode::internal, path + ": its mode cannot be set");
  return {};
}

std::expected<void, StartFailure> ControlPlaneHost::Parts::find_program() {
  if (!config.cp.image) {
    if (::access(config.cp.command.front().c_str(), X_OK) != 0)
      return cannot_start(ExitCode::bad_configuration, config.cp.command.front() + ": no such program");
    environment.variables.emplace_back("PATH", Secret(kPath));
    return {};
  }
  const auto instance = own_instance(config.data_dir, world.random);
  if (!instance) return cannot_start(ExitCode::internal, instance.error().detail);
  for (const auto& [name, value] : config.cp.env) mask.add(value);
  auto found = choose_runtime(config, *instance, world.clock, world.random, {}, {}, {}, &mask);
  if (!found) return cannot_start(ExitCode::container_engine, found.error());
  if (!found->runtime) return cannot_start(ExitCode::container_engine, "cp_image needs a container engine");
  chosen = std::move(*found);
  ContainerLauncher::Options options{.image = *config.cp.image,
                                     .instance = *instance,
                                     .writable = {config.cp.data_dir},
                                     .read_only = environment.files,
                                     .stop = stopping.get_token()};
  if (std::filesystem::exists(kConfigfs)) options.writable.emplace_back(kConfigfs);
  containers.emplace(std::move(options), *chosen.runtime);
  return {};
}

std::expected<void, StartFailure> ControlPlaneHost::Parts::listen() {
  api.emplace(config, config.vm_name.value_or(""), board, LocalApi::Hooks{}, world.clock);
  auto started = net::Server::start(LocalApi::server_config(config.listen), *api, world.clock, world.random);
  if (!started)
    return cannot_start(ExitCode::internal,
                        fmt::format("cannot listen on {}: {}", config.listen.str(), started.error()));
  server = std::move(*started);
  return {};
}

void ControlPlaneHost::Parts::connect() {
  CpSupervisor::Options options{.serve = {"ee-cp", "serve"},
                                .ingress = {"ee-cp-ingress", "ingress", "ensure", "--json"},
                                .environment = environment,
                                .set_tunnel_token = [this](Secret token) { cloudflared->set_token(std::move(token)); }};
  if (!config.cp.image) {
    options.serve = config.cp.command;
    options.ingress = config.cp.command;
    options.ingress.pop_back();
    for (const char* argument : {"ingress", "ensure", "--json"}) options.ingress.emplace_back(argument);
  }
  SubprocessLauncher& launcher = containers ? static_cast<SubprocessLauncher&>(*containers) : world.subprocesses;
  supervisor.emplace(std::move(options), launcher, world.http, world.clock, world.random, board);
  cloudflared.emplace(
      CloudflaredSupervisor::Options{
          .program = config.cloudflared_path,
          .metrics = config.cloudflared_metrics(),
          .fresh_token =
              [this] {
                supervisor->ensure_ingress();
                return std::optional<Secret>();  // it comes by itself
              },
          .on_line = [](std::string_view line) { log::info("cloudflared", "output", {{"line", line}}); }},
      world.subprocesses, world.http, world.clock, world.random);
}

ControlPlaneHost::ControlPlaneHost(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ControlPlaneHost::~ControlPlaneHost() = default;

std::expected<std::unique_ptr<ControlPlaneHost>, StartFailure> ControlPlaneHost::start(AgentConfig config,
                                                                                       World world) {
  auto parts = std::make_unique<Parts>(std::move(config), std::move(world));
  for (const auto step : {&Parts::prepare, &Parts::prove, &Parts::find_program, &Parts::listen})
    if (auto done = (parts.get()->*step)(); !done) return std::unexpected(std::move(done.error()));
  parts->connect();
  return std::unique_ptr<ControlPlaneHost>(new ControlPlaneHost(std::move(parts)));
}

std::string ControlPlaneHost::local_url() const { return parts_->server->url(); }

ExitCode ControlPlaneHost::run(const std::stop_token& stop) {
  Parts& parts = *parts_;
  log::info("bootstrap", "started",
            {{"env", to_string(parts.config.env)},
             {"program", parts.config.cp.image.value_or(parts.config.cp.command.front())},
             {"listen", parts.server->url()}});
  std::stop_source ending;
  std::jthread tunnel([&, token = ending.get_token()] { parts.cloudflared->run(token); });
  std::jthread watchdog;
  if (const auto period = parts.world.manager.watchdog_period())
    watchdog = std::jthread([&, token = ending.get_token(), period = *period] {
      while (parts.world.clock.sleep_for(period, token)) parts.world.manager.notify("WATCHDOG=1");
    });
  parts.world.manager.notify("READY=1");
  const std::stop_callback forward(stop, [&] { parts.stopping.request_stop(); });

  parts.supervisor->run(stop);

  parts.world.manager.notify("STOPPING=1");
  parts.board.set_phase(AgentPhase::terminating);
  ending.request_stop();
  tunnel.join();  // no new requests
  parts.supervisor->stop_child();
  parts.server->drain();
  parts.server->wait_drained(std::chrono::steady_clock::now() + std::chrono::seconds(5));
  log::info("bootstrap", "stopped");
  return ExitCode::ok;
}

}  // namespace ee::agent
