#include "tests/support/real_postgres.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "db/postgres_connection.h"

namespace ee::testing {
namespace {

namespace fs = std::filesystem;
constexpr int kReadyMs = 40'000;
constexpr const char* kPrefix = "ee-postgres-";

/// Debian keeps the programs of each version in a folder of its own.
fs::path newest_binaries() {
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none))
    if (fs::exists(entry.path() / "bin/initdb")) found.push_back(entry.path() / "bin");
  if (found.empty()) return {};
  return *std::ranges::max_element(found);
}

std::uint16_t free_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool good = ::bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(descriptor);
  if (!good) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

/// As nobody when we are root; ends when this process does.
std::vector<std::string> as_server(std::vector<std::string> arguments) {
  std::vector<std::string> before = {"/usr/bin/setpriv", "--pdeathsig", "QUIT"};
  if (::geteuid() == 0) before.insert(before.end(), {"--reuid=nobody", "--regid=nogroup", "--clear-groups"});
  arguments.insert(arguments.begin(), before.begin(), before.end());
  return arguments;
}

/// What a killed test left.
void remove_leftovers() {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(fs::temp_directory_path(), ignored)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    std::ifstream pid_file(entry.path() / "data/postmaster.pid");
    pid_t pid = 0;
    // One without a pid may be starting.
    if (pid_file >> pid && pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace

RealPostgres::RealPostgres() = default;

RealPostgres& RealPostgres::shared() {
  static const std::unique_ptr<RealPostgres> server = [] {
    auto started = start();
    if (!started) throw std::runtime_error(started.error());
    return std::move(*started);
  }();
  return *server;
}

std::expected<std::unique_ptr<RealPostgres>, std::string> RealPostgres::start(bool durable) {
  const auto unusable = [](const std::string& why) { return std::unexpected("postgres_unusable: " + why); };
  const fs::path binaries = newest_binaries();
  if (binaries.empty() || ::access("/usr/bin/setpriv", X_OK) != 0) return unusable("needs postgresql and setpriv");
  remove_leftovers();
  std::unique_ptr<RealPostgres> server(new RealPostgres());
  std::string folder = (fs::temp_directory_path() / (std::string(kPrefix) + "XXXXXX")).string();
  if (::mkdtemp(folder.data()) == nullptr) return unusable("no folder");
  server->root_ = folder;
  server->durable_ = durable;
  if (::geteuid() == 0) {
    const passwd* nobody = ::getpwnam("nobody");  // NOLINT(concurrency-mt-unsafe): before any thread
    if (nobody == nullptr || ::chown(folder.c_str(), nobody->pw_uid, nobody->pw_gid) != 0) return unusable("no nobody");
  }
  ChildProcess initdb(as_server({(binaries / "initdb").string(), "-D", folder + "/data", "-U", "ee", "--auth=trust",
                                 "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"}),
                      {}, folder + ".log");
  const auto made = initdb.wait(kReadyMs);
  std::error_code ignored;
  fs::rename(folder + ".log", folder + "/initdb.log", ignored);
  if (made != 0) return unusable("initdb failed");
  server->port_ = free_port();
  server->launch();
  if (!server->wait_ready()) return unusable("the server did not start:\n" + server->server_->output());
  return server;
}

void RealPostgres::launch() {
  const std::string root = root_.string();
  std::vector<std::string> command = {(newest_binaries() / "postgres").string(),
                                      "-D",
                                      root + "/data",
                                      "-p",
                                      std::to_string(port_),
                                      "-c",
                                      "listen_addresses=127.0.0.1",
                                      "-c",
                                      "unix_socket_directories=" + root,
                                      "-c",
                                      "max_connections=200",
                                      "-c",
                                      "autovacuum=off"};
  if (!durable_)
    command.insert(command.end(), {"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"});
  server_ = std::make_unique<ChildProcess>(as_server(std::move(command)), std::map<std::string, std::string>{},
                                           root_ / "server.log");
  if (!wait_ready()) throw std::runtime_error("PostgreSQL does not answer: " + server_->output());
}

bool RealPostgres::wait_ready() const {
  return eventually([&] { return !server_->running() || PQping(url("postgres").c_str()) == PQPING_OK; }, kReadyMs) &&
         server_->running();
}

void RealPostgres::crash() {
  server_->signal(SIGKILL);
  server_->wait(kReadyMs);
  admin_.reset();
  launch();  // waits for the others of its processes, which notice
}

std::string RealPostgres::url(const std::string& database) const {
  return "postgres://ee@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

void RealPostgres::run(const std::string& sql) {
  const std::lock_guard lock(admin_mutex_);
  if (!admin_)
    admin_ = std::make_unique<db::PostgresConnection>(db::PostgresConnectionOptions{.url = Secret(url("postgres")),
                                                                                    .role = "test",
                                                                                    .verify_tls = false,
                                                                                    .statement_timeout = Seconds(60),
                                                                                    .lock_timeout = Seconds(60)});
  if (!admin_->connected())
    if (const auto made = admin_->connect(); !made) throw std::runtime_error(made.error().detail);
  if (const auto done = admin_->script(sql); !done) throw std::runtime_error(done.error().detail);
}

std::string RealPostgres::create_database(const std::string& from) {
  const std::string name = "t" + std::to_string(++databases_);
  run("CREATE DATABASE " + name + " TEMPLATE " + from);
  return name;
}

void RealPostgres::drop_database(const std::string& name) { run("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); }

RealPostgres::~RealPostgres() {
  admin_.reset();
  if (server_) {
    server_->signal(SIGQUIT);
    server_->wait(kReadyMs);
  }
  std::error_code ignored;
  if (!root_.empty()) fs::remove_all(root_, ignored);
}

}  // namespace ee::testing
