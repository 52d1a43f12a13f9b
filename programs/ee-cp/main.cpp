// ee-cp: the control plane. Exit codes: 0 ok, 1 run-time failure, 2 usage, 3 configuration, 4 database, 5 cannot bind,
// 6 a guardrail refused.
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <string>

#include "common/argon2.h"
#include "common/log.h"
#include "cp/admin_tools.h"
#include "cp/app.h"
#include "cp/database_tools.h"
#include "cp/domain/guardrails.h"
#include "cp/ingress_tool.h"
#include "cp/process_memory.h"
#include "cp/program_version.h"
#include "cp/service/log_buffer.h"
#include "net/curl_http_client.h"

namespace {

using ee::cp::Config;

int fail_lines(const std::vector<std::string>& lines, int exit_code) {
  for (const std::string& line : lines) fmt::print(stderr, "{}\n", line);
  return exit_code;
}

/// Signals are taken one at a time by the main thread; every other thread has them blocked.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return set;
}

int serve(const Config& config) {
  ::umask(077);
  ee::cp::bound_allocator();
  const sigset_t signals = block_signals();
  ee::SystemClock clock;
  ee::SystemRandom random;
  ee::net::CurlHttpClient http;
  const auto kept = std::make_shared<ee::cp::LogBuffer>(static_cast<std::size_t>(config.log_buffer_lines));
  ee::log::Logger logger({.level = config.log_level, .format = config.log_format},
                         {std::shared_ptr<ee::log::Sink>(ee::log::standard_output(config.log_format)), kept}, clock);
  ee::log::install(&logger);
  struct Uninstall {
    ~Uninstall() { ee::log::install(nullptr); }
  } const uninstall;
  auto app = ee::cp::App::start(config, {.clock = clock, .random = random, .http = http, .logs = kept});
  if (!app) {
    logger.flush();
    return fail_lines(app.error().lines, app.error().exit_code);
  }
  ee::cp::release_free_memory();
  ee::log::info("process", "ready", {{"url", (*app)->url()}, {"version", ee::cp::kProgramVersion}});
  for (int number = 0;;) {
    sigwait(&signals, &number);
    if (number != SIGHUP) break;
    (*app)->reload();
  }
  ee::log::info("process", "stopping");
  (*app)->begin_drain();
  // Balancers see /ready fail before the listener goes away; a second signal ends everything at once.
  timespec patience{config.stage == ee::cp::Stage::dev ? 0 : 2, 0};
  if (sigtimedwait(&signals, nullptr, &patience) > 0) return 1;
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  for (const int number : {SIGINT, SIGTERM}) ::signal(number, [](int) { ::_exit(1); });
  const bool clean = (*app)->stop(config.shutdown_grace);
  app->reset();
  ee::log::info("process", clean ? "stopped" : "stopped past the grace");
  logger.flush();
  return clean ? 0 : 1;
}

int check_config(const Config& config) {
  std::vector<std::string> lines;
  for (const auto& violation : ee::cp::config_violations(config))
    lines.push_back(std::string(violation.slug) + ": " + violation.detail);
  ee::cp::SettingValues values(config.settings_context());
  for (const auto& [id, value] : config.settings) values.set(id, value);
  for (const auto& violation : ee::cp::setting_violations(values, config.settings_context()))
    lines.push_back(std::string(violation.slug) + ": " + violation.detail);
  if (!lines.empty()) return fail_lines(lines, 6);
  fmt::print("configuration is valid ({})\n", ee::cp::to_string(config.stage));
  return 0;
}

/// The whole standard input, without the end of its last line.
std::string read_input() {
  std::string text((std::istreambuf_iterator<char>(std::cin)), {});
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

/// From a terminal: twice, without echo. Else one line or the whole input.
std::optional<std::string> read_password() {
  if (::isatty(STDIN_FILENO) == 0) return read_input();
  termios before{};
  ::tcgetattr(STDIN_FILENO, &before);
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  std::string first;
  std::string second;
  fmt::print(stderr, "password: ");
  std::getline(std::cin, first);
  fmt::print(stderr, "\nonce more: ");
  std::getline(std::cin, second);
  fmt::print(stderr, "\n");
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  if (first != second) return std::nullopt;
  return first;
}

int hash_password() {
  const auto password = read_password();
  if (!password) return fail_lines({"the two passwords differ"}, 2);
  if (password->size() < 12 || password->size() > 256) return fail_lines({"a password has 12 to 256 bytes"}, 2);
  const auto hash = ee::hash_password(ee::Secret(*password));
  if (!hash) return fail_lines({"hashing failed: " + hash.error().detail}, 1);
  fmt::print("{}\n", *hash);
  return 0;
}

int print(const ee::cp::ToolResult& result) {
  if (result.exit_code != 0) return fail_lines(result.lines, result.exit_code);
  for (const std::string& line : result.lines) fmt::print("{}\n", line);
  return 0;
}

/// What the command line says of settings; the value `-` is read from standard input.
struct SettingsArguments {
  CLI::App* command = nullptr;
  CLI::App* list = nullptr;
  CLI::App* get = nullptr;
  CLI::App* set = nullptr;
  CLI::App* reset = nullptr;
  std::string key;
  std::string value;

  void add_to(CLI::App& cli) {
    command = cli.add_subcommand("settings", "read and change settings while the control plane does not run");
    command->require_subcommand(1);
    list = command->add_subcommand("list", "print every setting, its value and where that comes from");
    get = command->add_subcommand("get", "print the value of a setting");
    set = command->add_subcommand("set", "store a value");
    reset = command->add_subcommand("reset", "forget the stored value");
    for (CLI::App* with_key : {get, set, reset}) with_key->add_option("key", key)->required();
    set->add_option("value", value, "the value, or - for standard input (secrets)")->required();
  }
  int run(const Config& config) {
    using Action = ee::cp::SettingsCommand::Action;
    ee::cp::SettingsCommand wanted{.action = *set     ? Action::set
                                             : *reset ? Action::reset
                                             : *get   ? Action::get
                                                      : Action::list,
                                   .key = key,
                                   .value = {}};
    if (*set) {
      const ee::cp::SettingSpec* spec = ee::cp::find_setting(key);
      if (spec != nullptr && spec->is_secret() && value != "-")
        return fail_lines(
            {"a secret on the command line can be seen by others: give - and the value on standard input"}, 2);
      wanted.value = ee::Secret(value == "-" ? read_input() : value);
    }
    ee::SystemClock clock;
    ee::SystemRandom random;
    return print(ee::cp::settings_tool(config, wanted, clock, random));
  }
};

int migrate(const Config& config, bool dry_run) {
  ee::SystemClock clock;
  ee::SystemRandom random;
  return print(ee::cp::migrate_tool(config, dry_run, clock, random));
}

int db_check(const Config& config) {
  ee::SystemClock clock;
  ee::SystemRandom random;
  return print(ee::cp::db_check_tool(config, clock, random));
}

int backup(const Config& config, const std::string& to) {
  ee::SystemClock clock;
  return print(ee::cp::backup_tool(config, to, clock));
}

int restore(const Config& config, const std::string& from, bool force) {
  ee::SystemClock clock;
  return print(ee::cp::restore_tool(config, from, force, clock));
}

int rebuild_balances(const Config& config) {
  const ee::SystemClock clock;
  ee::SystemRandom random;
  return print(ee::cp::rebuild_ledger_balances(config, clock, random));
}

int ensure_ingress(const Config& config, const ee::cp::IngressCommand& command) {
  ee::SystemClock clock;
  ee::SystemRandom random;
  ee::net::CurlHttpClient http;
  return print(ee::cp::ensure_ingress(config, command, http, clock, random));
}

int ask_health(const Config& config) {
  ee::net::CurlHttpClient http;
  const std::string host = config.bind.host == "0.0.0.0" || config.bind.host == "::" ? "127.0.0.1" : config.bind.host;
  ee::HttpClientRequest request{.url = (config.has_tls() ? "https://" : "http://") + host + ":" +
                                       std::to_string(config.bind.port) + "/health"};
  if (config.bind.is_unix()) {
    request.url = "http://localhost/health";
    request.unix_socket = config.bind.unix_path;
  }
  const auto answer = http.send(request);
  if (!answer) return fail_lines({"no answer: " + std::string(ee::to_string(answer.error()))}, 1);
  fmt::print("{}\n", answer->body);
  return answer->status == 200 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App cli("easyenclave control plane");
  cli.require_subcommand(1);
  auto* serve_command = cli.add_subcommand("serve", "run the control plane");
  auto* migrate_command = cli.add_subcommand("migrate", "bring the database's schema up to date");
  bool dry_run = false;
  migrate_command->add_flag("--dry-run", dry_run, "only say what would be done");
  auto* db_check_command = cli.add_subcommand("db-check", "look for damage in the database");
  auto* backup_command = cli.add_subcommand("backup", "copy the database, also while it is being served");
  std::string backup_to;
  backup_command->add_option("--to", backup_to, "the file to write")->required();
  auto* restore_command = cli.add_subcommand("restore", "put a backup in the database's place");
  std::string restore_from;
  bool force = false;
  restore_command->add_option("--from", restore_from, "the backup")->required();
  restore_command->add_flag("--force", force, "also when there is a database; it is kept under another name");
  SettingsArguments settings;
  settings.add_to(cli);
  auto* check_command =
      cli.add_subcommand("check-config", "say what is wrong with the configuration, without starting");
  auto* health_command = cli.add_subcommand("health", "ask the running control plane's /health");
  auto* hash_command = cli.add_subcommand("hash-password", "make the value of ADMIN_PASSWORD_HASH");
  auto* ledger_command = cli.add_subcommand("ledger", "repair the ledger's balances");
  ledger_command->require_subcommand(1);
  auto* rebuild_command = ledger_command->add_subcommand(
      "rebuild-balances", "recompute the balances from the ledger's lines; the server must be stopped");
  auto* ingress_command = cli.add_subcommand("ingress", "the control plane's own tunnel");
  ingress_command->require_subcommand(1);
  auto* ensure_command = ingress_command->add_subcommand("ensure", "make tunnel, ingress and DNS record, or find them");
  ee::cp::IngressCommand ingress;
  ensure_command->add_flag("--json", ingress.json, "print one JSON object, with the tunnel's token");
  ensure_command->add_flag("--takeover", ingress.takeover, "overwrite a DNS record of somebody else");
  auto* version_command = cli.add_subcommand("version", "print the version");
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = cli.exit(error);
    return code == 0 ? 0 : 2;
  }
  try {
    if (*version_command) {
      fmt::print("ee-cp {} ({})\n", ee::cp::kProgramVersion, ee::cp::kGitSha);
      return 0;
    }
    if (*hash_command) return hash_password();
    const auto config = ee::cp::load_config(ee::process_environment());
    if (!config) return fail_lines(config.error(), 3);
    if (*check_command) return check_config(*config);
    if (*migrate_command || *db_check_command || *rebuild_command || *settings.command || *backup_command ||
        *restore_command)
      ::umask(077);
    if (*backup_command) return backup(*config, backup_to);
    if (*restore_command) return restore(*config, restore_from, force);
    if (*migrate_command) return migrate(*config, dry_run);
    if (*db_check_command) return db_check(*config);
    if (*settings.command) return settings.run(*config);
    if (*rebuild_command) return rebuild_balances(*config);
    if (*ensure_command) return ensure_ingress(*config, ingress);
    if (*health_command) return ask_health(*config);
    if (*serve_command) return serve(*config);
  } catch (const std::exception& error) {
    return fail_lines({std::string("fatal: ") + error.what()}, 1);
  }
  return 2;
}
