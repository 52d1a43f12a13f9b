// `ee-agent`: command line, signals and the real world around agent/agent.h. Everything else is in src/agent.
#include <fcntl.h>
#include <pthread.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <thread>

#include "agent/agent.h"
#include "agent/bootstrap/control_plane_host.h"
#include "agent/config.h"
#include "agent/config_disk.h"
#include "agent/gce_metadata.h"
#include "agent/measure.h"
#include "agent/quote_sources.h"
#include "agent/runtime/log_ring.h"
#include "agent/version.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/posix_subprocess.h"
#include "common/random.h"
#include "net/curl_http_client.h"

namespace {

using ee::agent::ExitCode;

int exit_with(ExitCode code) { return static_cast<int>(code); }

/// One line a record, to standard error.
class StandardError final : public ee::log::Sink {
 public:
  void write(const ee::log::Record&, std::string_view line) override {
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fputc('\n', stderr);
  }
  void flush() override { std::fflush(stderr); }
};

/// Keeps the newest lines in memory, for the control plane to ask for.
class KeptLog final : public ee::log::Sink {
 public:
  explicit KeptLog(ee::Clock& clock) : ring_(clock, {.source_bytes = 1024UL * 1024, .total_bytes = 1024UL * 1024}) {}
  void write(const ee::log::Record& record, std::string_view line) override {
    ring_.append({.deployment_id = "", .service = "_agent"},
                 {.stream = ee::agent::LogStream::err, .at = ee::unix_ms(record.at) * 1'000'000, .text = line});
  }
  ee::agent::LogRing& ring() { return ring_; }

 private:
  ee::agent::LogRing ring_;
};

struct Arguments {
  std::optional<std::string> config_file;
  std::map<std::string, std::string> flags;
  std::string nonce;
};

std::expected<ee::agent::LoadedConfig, ExitCode> load(const Arguments& arguments) {
  auto inputs = ee::agent::gather_inputs(arguments.config_file, arguments.flags);
  const ee::agent::Host host;
  if (inputs)
    if (auto added = ee::agent::add_config_disk(*inputs, host); !added)
      inputs = std::unexpected(std::move(added.error()));
  if (inputs) {
    ee::net::CurlHttpClient http;
    ee::SystemClock clock;
    if (auto added = ee::agent::add_gce_metadata(*inputs, host, http, clock); !added)
      inputs = std::unexpected(std::move(added.error()));
  }
  auto loaded = inputs ? ee::agent::load_config(*inputs) : std::unexpected(inputs.error());
  if (loaded) return std::move(*loaded);
  for (const std::string& problem : loaded.error().problems)
    std::fprintf(stderr, "ee-agent: %s: %s\n", loaded.error().slug.c_str(), problem.c_str());
  return std::unexpected(loaded.error().exit_code);
}

ee::log::Level level_of(const std::string& name) {
  for (const auto level : {ee::log::Level::trace, ee::log::Level::debug, ee::log::Level::info, ee::log::Level::warn})
    if (ee::log::to_string(level) == name) return level;
  return ee::log::Level::error;
}

/// Blocks the ending signals everywhere and waits for them on a thread of its own. The first asks for a clean stop, the
/// second ends the process at once.
class Signals {
 public:
  Signals() {
    sigset_t set = ending();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    std::thread([source = stop_]() mutable {
      sigset_t waited = ending();
      int signal = 0;
      ::sigwait(&waited, &signal);
      source.request_stop();
      ::sigwait(&waited, &signal);
      ::_exit(128 + signal);
    }).detach();
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  static sigset_t ending() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
  }
  std::stop_source stop_;
};

void power_off() {
  ee::PosixSubprocessLauncher launcher;
  ee::SystemClock clock;
  if (auto child = launcher.start({.argv = {"systemctl", "poweroff"}})) {
    for (int i = 0; i < 300 && !(*child)->poll(); ++i) clock.sleep_for(std::chrono::milliseconds(100), {});
    if (const auto ended = (*child)->poll(); ended && ended->code == 0) return;
  }
  ::sync();
  ::reboot(RB_POWER_OFF);
}

/// Asked of systemd; any other answer, or none within 5 s, is no.
bool system_stopping() {
  ee::PosixSubprocessLauncher launcher;
  ee::SystemClock clock;
  std::atomic<bool> stopping = false;
  auto child = launcher.start({.argv = {"systemctl", "is-system-running"}, .on_line = [&](std::string_view line) {
                                 if (line == "stopping") stopping = true;
                               }});
  if (!child) return false;
  for (int i = 0; i < 50 && !(*child)->poll(); ++i) clock.sleep_for(std::chrono::milliseconds(100), {});
  child->reset();  // no line comes any more
  return stopping;
}

void print_to_console(const std::string& line) {
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
  const int console = ::open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (console < 0) return;
  [[maybe_unused]] const auto ignored = ::write(console, line.data(), line.size());
  ::close(console);
}

/// The real clock, randomness, network and kernel, with the logger installed as long as it lives.
struct RealWorld {
  explicit RealWorld(const ee::agent::AgentConfig& config)
      : logger({.level = level_of(config.log_level),
                .format = config.log_format == "text" ? ee::log::Format::text : ee::log::Format::json},
               {std::make_shared<StandardError>(), kept}, clock) {
    ee::log::install(&logger);
  }
  RealWorld(const RealWorld&) = delete;
  RealWorld& operator=(const RealWorld&) = delete;
  ~RealWorld() { ee::log::install(nullptr); }

  ee::SystemClock clock;
  ee::SystemRandom random;
  ee::agent::Host host;
  std::shared_ptr<KeptLog> kept = std::make_shared<KeptLog>(clock);
  ee::log::Logger logger;
};

int measure(const ee::agent::AgentConfig& config, RealWorld& world) {
  auto quotes = ee::agent::make_quote_source(config, world.clock, world.random);
  auto measured = quotes ? ee::agent::measure(**quotes, world.host, world.random)
                         : ee::Result<std::string>(std::unexpected(quotes.error()));
  if (!measured) {
    print_to_console(ee::agent::measure_error_line(measured.error().code));
    return exit_with(ExitCode::no_tdx);
  }
  print_to_console(ee::agent::measurements_line(*measured));
  if (!(*quotes)->emulated()) power_off();  // only a TD has real quotes: this is the VM to be measured
  return exit_with(ExitCode::ok);
}

/// Runs an Agent or a ControlPlaneHost until a signal comes.
template <class Service>
int serve(const ee::agent::LoadedConfig& loaded, RealWorld& world, const Signals& signals) {
  ee::net::CurlHttpClient http;
  ee::PosixSubprocessLauncher subprocesses;
  const auto manager = ee::agent::ServiceManager::from_environment();
  auto service = Service::start(loaded.config, {.clock = world.clock,
                                                .random = world.random,
                                                .http = http,
                                                .subprocesses = subprocesses,
                                                .host = world.host,
                                                .manager = manager,
                                                .power_off = power_off,
                                                .system_stopping = system_stopping,
                                                .agent_log = &world.kept->ring()});
  if (!service) {
    ee::log::error("agent", "cannot start", {{"reason", service.error().reason}});
    return exit_with(service.error().exit_code);
  }
  return exit_with((*service)->run(signals.token()));
}

int run(const Arguments& arguments) {
  const auto loaded = load(arguments);
  if (!loaded) return exit_with(loaded.error());
  const Signals signals;
  RealWorld world(loaded->config);
  for (const std::string& warning : loaded->warnings) ee::log::warn("config", "warning", {{"detail", warning}});
  switch (loaded->config.mode) {
    case ee::agent::Mode::measure: return measure(loaded->config, world);
    case ee::agent::Mode::cp_bootstrap: return serve<ee::agent::ControlPlaneHost>(*loaded, world, signals);
    case ee::agent::Mode::agent: return serve<ee::agent::Agent>(*loaded, world, signals);
  }
  return exit_with(ExitCode::internal);
}

int check_config(const Arguments& arguments) {
  const auto loaded = load(arguments);
  if (!loaded) return exit_with(loaded.error());
  std::fputs(ee::agent::describe(*loaded).c_str(), stdout);
  return exit_with(ExitCode::ok);
}

int quote(Arguments arguments) {
  arguments.flags["mode"] = "measure";  // needs no control plane
  const auto loaded = load(arguments);
  if (!loaded) return exit_with(loaded.error());
  RealWorld world(loaded->config);
  auto quotes = ee::agent::make_quote_source(loaded->config, world.clock, world.random);
  auto made = quotes ? ee::agent::quote_for_nonce(**quotes, arguments.nonce)
                     : ee::Result<std::string>(std::unexpected(quotes.error()));
  if (!made) {
    std::fprintf(stderr, "ee-agent: %s: %s\n", std::string(ee::slug(made.error().code)).c_str(),
                 made.error().detail.c_str());
    return exit_with(made.error().code == ee::ErrorCode::invalid_request ? ExitCode::bad_configuration
                                                                         : ExitCode::no_tdx);
  }
  std::printf("%s\n", made->c_str());
  return exit_with(ExitCode::ok);
}

int command_line(int argc, char** argv) {
  CLI::App app{"easyenclave agent: runs inside a TDX virtual machine"};
  app.require_subcommand(1);
  Arguments arguments;
  std::string mode;
  const auto add_sources = [&](CLI::App* command) {
    command->add_option("--config", arguments.config_file, "configuration file (JSON)");
    command->add_option("--mode", mode, "agent, cp-bootstrap or measure");
  };
  auto* run_command = app.add_subcommand("run", "run the agent");
  auto* check_command = app.add_subcommand("check-config", "print the effective configuration with its sources");
  auto* quote_command = app.add_subcommand("quote", "print a quote over a nonce");
  auto* version_command = app.add_subcommand("version", "print the version");
  add_sources(run_command);
  add_sources(check_command);
  quote_command->add_option("--config", arguments.config_file, "configuration file (JSON)");
  quote_command->add_option("--nonce", arguments.nonce, "2 to 128 hexadecimal digits")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_with(ExitCode::ok) : exit_with(ExitCode::bad_configuration);
  }
  if (!mode.empty()) arguments.flags["mode"] = mode;
  if (*version_command) {
    std::printf("ee-agent %s\n", std::string(ee::agent::kAgentVersion).c_str());
    return exit_with(ExitCode::ok);
  }
  if (*check_command) return check_config(arguments);
  if (*quote_command) return quote(arguments);
  return run(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return command_line(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ee-agent: %s\n", error.what());
    return exit_with(ExitCode::internal);
  }
}
