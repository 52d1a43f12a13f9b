#include "tests/support/real_engine.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "common/json.h"
#include "common/url.h"
#include "net/unix_http_client.h"

namespace ee::testing {
namespace {

namespace fs = std::filesystem;
constexpr const char* kLockFile = "/tmp/ee-real-engine.lock";
constexpr int kReadyMs = 40'000;

/// RFC 6455 by shell: one connection on standard input and output. After its first frame the bytes are only echoed.
constexpr const char* kWebSocketScript = R"script(#!/bin/sh
end=$(printf '\r')
while read -r line; do
  line=${line%"$end"}
  case $line in
    [Ss]ec-[Ww]eb[Ss]ocket-[Kk]ey:*) key=${line#*: } ;;
    '') break ;;
  esac
done
accept=$(printf '%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11' "$key" | sha1sum | cut -c 1-40 | xxd -r -p | base64)
printf 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
printf 'Sec-WebSocket-Accept: %s\r\n\r\n\201\005hello' "$accept"
exec cat
)script";

std::string find_executable(const std::string& name) {
  for (const char* folder : {"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"})
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  return {};
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
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

/// One member of a POSIX tar archive.
void add_member(std::string& tar, const std::string& name, char type, const std::string& content,
                const std::string& link = {}) {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, const std::string& text) { header.replace(at, text.size(), text); };
  const auto octal = [](std::size_t value, int digits) {
    std::string text(static_cast<std::size_t>(digits), '0');
    for (auto at = text.rbegin(); at != text.rend(); ++at, value /= 8) *at = static_cast<char>('0' + value % 8);
    return text;
  };
  put(0, name);
  put(100, "0000755");
  put(108, "0000000");
  put(116, "0000000");
  put(124, octal(content.size(), 11));
  put(136, "00000000000");
  put(148, "        ");
  header[156] = type;
  put(157, link);
  put(257, std::string("ustar\00000", 8));
  std::size_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, octal(sum, 6) + std::string("\0 ", 2));
  tar += header + content;
  tar.append((512 - content.size() % 512) % 512, '\0');
}

std::string busybox_root(const std::string& busybox) {
  std::string tar;
  for (const char* folder : {"bin/", "etc/", "tmp/", "proc/", "sys/", "dev/", "www/"}) add_member(tar, folder, '5', {});
  add_member(tar, "bin/busybox", '0', read_file(busybox));
  for (const char* tool : {"sh",   "sleep", "echo",   "cat",   "ls", "nc",       "wget",     "httpd", "true",  "false",
                           "head", "yes",   "printf", "tr",    "id", "hostname", "nslookup", "ping",  "ip",    "kill",
                           "env",  "touch", "test",   "mkdir", "rm", "cut",      "sha1sum",  "xxd",   "base64"})
    add_member(tar, std::string("bin/") + tool, '2', {}, "busybox");
  add_member(tar, "etc/passwd", '0', "root:x:0:0:root:/:/bin/sh\n");
  add_member(tar, "bin/websocket", '0', kWebSocketScript);
  add_member(tar, "www/index.html", '0', "hello from the workload\n");
  tar.append(1024, '\0');
  return tar;
}

/// Of the stream of a push: `{"aux":{"Tag":..,"Digest":"sha256:.."}}`.
std::string pushed_digest(const std::string& stream) {
  std::istringstream lines(stream);
  for (std::string line; std::getline(lines, line);) {
    const auto value = json::parse(line);
    if (!value || !value->is_object()) continue;
    if (const auto* const aux = value->as_object().if_contains("aux"); aux && aux->is_object())
      if (const auto* const digest = aux->as_object().if_contains("Digest"); digest && digest->is_string())
        return std::string(digest->as_string());
  }
  return {};
}

/// The program ends when this process does, however that comes.
std::vector<std::string> with_us(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {find_executable("setpriv"), "--pdeathsig", "TERM"});
  return arguments;
}

void remove_folder(const fs::path& folder) {
  std::istringstream mounts(read_file("/proc/self/mounts"));
  std::vector<std::string> ours;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device;
    std::string point;
    words >> device >> point;
    if (point.starts_with(folder.string() + "/")) ours.push_back(point);
  }
  for (auto point = ours.rbegin(); point != ours.rend(); ++point) ::umount2(point->c_str(), MNT_DETACH);
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

/// What a killed test left. The lock says that nobody uses it.
void remove_leftovers() {
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator("/tmp"))
    if (entry.path().filename().string().starts_with("ee-engine-")) old.push_back(entry.path());
  for (const fs::path& folder : old) remove_folder(folder);
}

}  // namespace

std::expected<std::unique_ptr<RealEngine>, std::string> RealEngine::start() {
  const auto unusable = [](const std::string& why) { return std::unexpected("docker_unusable: " + why); };
  if (::geteuid() != 0) return unusable("needs root");
  const std::string busybox = find_executable("busybox");
  if (busybox.empty() || find_executable("dockerd").empty() || find_executable("docker-registry").empty() ||
      find_executable("setpriv").empty())
    return unusable("needs dockerd, docker-registry, setpriv and a static busybox");
  std::unique_ptr<RealEngine> engine(new RealEngine());
  engine->lock_ = ::open(kLockFile, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (engine->lock_ < 0 || ::flock(engine->lock_, LOCK_EX) != 0) return unusable("no lock");
  remove_leftovers();
  std::string folder = "/tmp/ee-engine-XXXXXX";  // short: sockets below it have at most 107 bytes
  if (::mkdtemp(folder.data()) == nullptr) return unusable("no folder");
  engine->root_ = folder;
  engine->root_tar_ = busybox_root(busybox);
  engine->registry_port_ = free_port();
  std::ofstream(engine->root_ / "registry.yml")
      << "version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: " << folder << "/registry}}\n"
      << "http: {addr: '" << engine->registry() << "'}\n";
  engine->registry_ =
      std::make_unique<ChildProcess>(with_us({find_executable("docker-registry"), "serve", folder + "/registry.yml"}),
                                     std::map<std::string, std::string>{}, engine->root_ / "registry.log");
  engine->launch();
  if (!engine->wait_ready()) return unusable("dockerd did not start:\n" + engine->log());
  try {
    const std::string image = engine->push({.name = "probe", .keep_local = true});
    (void)engine->call("POST", "/v1.41/networks/create", R"({"Name":"ee-probe","CheckDuplicate":true})");
    const Answer made =
        engine->call("POST", "/v1.41/containers/create?name=ee-probe",
                     R"({"Image":")" + image + R"(","Cmd":["/bin/true"],"HostConfig":{"NetworkMode":"ee-probe"}})");
    const Answer started = engine->call("POST", "/v1.41/containers/ee-probe/start");
    if (started.status != 204) return unusable("a container does not start: " + made.body + started.body);
    (void)engine->call("DELETE", "/v1.41/containers/ee-probe?force=true");
    (void)engine->call("DELETE", "/v1.41/networks/ee-probe");
  } catch (const std::exception& error) {
    return unusable(error.what());
  }
  return engine;
}

void RealEngine::launch() {
  const std::string root = root_.string();
  daemon_ = std::make_unique<ChildProcess>(
      with_us({find_executable("dockerd"), "--host", "unix://" + socket(), "--data-root", root + "/data", "--exec-root",
               root + "/exec", "--pidfile", root + "/d.pid", "--bridge", "none", "--storage-driver", "vfs"}),
      std::map<std::string, std::string>{}, root_ / "dockerd.log");
}

bool RealEngine::wait_ready() const {
  return eventually([&] { return !daemon_->running() || call("GET", "/_ping").status == 200; }, kReadyMs) &&
         daemon_->running();
}

RealEngine::Answer RealEngine::call(const std::string& method, const std::string& target, const std::string& body,
                                    const std::string& content_type) const {
  Answer answer;
  net::UnixHttpRequest request{.socket = socket(),
                               .method = method,
                               .target = target,
                               .headers = {{"X-Registry-Auth", "e30="}},
                               .body = body,
                               .total_timeout = Seconds(60)};
  if (!body.empty()) request.headers.push_back({"Content-Type", content_type});
  const auto status = net::unix_http(request, {.on_status = {}, .on_body = [&](int, std::string_view bytes) {
                                                 answer.body += bytes;
                                                 return true;
                                               }});
  answer.status = status.value_or(0);
  return answer;
}

std::string RealEngine::push(const Image& image) {
  const std::string repository = registry() + "/" + image.name;
  std::string target = "/v1.41/images/create?fromSrc=-&tag=1&repo=" + percent_encode(repository);
  for (const std::string& change : image.changes) target += "&changes=" + percent_encode(change);
  const Answer made = call("POST", target, root_tar_, "application/x-tar");
  if (made.status != 200 || made.body.contains("\"error\"")) throw std::runtime_error("import: " + made.body);
  const Answer pushed = call("POST", "/v1.41/images/" + repository + "/push?tag=1");
  const std::string digest = pushed_digest(pushed.body);
  if (digest.empty()) throw std::runtime_error("push: " + pushed.body);
  if (!image.keep_local) (void)call("DELETE", "/v1.41/images/" + repository + ":1?force=true");
  return repository + "@" + digest;
}

void RealEngine::restart() {
  daemon_->signal(SIGTERM);
  (void)daemon_->wait(30'000);
  start_again();
}

void RealEngine::kill_hard() {
  daemon_->signal(SIGKILL);
  (void)daemon_->wait(10'000);
  // Its containerd ends with it, a little later. A new dockerd would wait in vain for one that it finds dying, or dead
  // and not yet reaped.
  const fs::path pid_file = root_ / "exec" / "containerd" / "containerd.pid";
  const std::string stat = "/proc/" + read_file(pid_file) + "/stat";
  (void)eventually([&] {
    const std::string text = read_file(stat);
    return text.empty() || text.contains(") Z ");
  });
  fs::remove(pid_file);
}

void RealEngine::start_again() {
  launch();
  if (!wait_ready()) throw std::runtime_error("dockerd did not start again:\n" + log());
}

int RealEngine::exec(const std::string& container, const std::vector<std::string>& arguments) const {
  const boost::json::object wanted{{"Cmd", boost::json::value_from(arguments)}, {"AttachStdout", true}};
  const auto made =
      json::parse(call("POST", "/v1.41/containers/" + container + "/exec", boost::json::serialize(wanted)).body);
  if (!made || !made->is_object() || !made->as_object().contains("Id")) return -1;
  const std::string target = "/v1.41/exec/" + std::string(made->at("Id").as_string());
  (void)call("POST", target + "/start", R"({"Detach":false})");  // ends with the program
  const auto state = json::parse(call("GET", target + "/json").body);
  if (!state || !state->is_object()) return -1;
  const auto* const code = state->as_object().if_contains("ExitCode");
  return code != nullptr && code->is_int64() ? static_cast<int>(code->as_int64()) : -1;
}

std::string RealEngine::log() const {
  const std::string text = read_file(root_ / "dockerd.log");
  return text.size() > 4000 ? text.substr(text.size() - 4000) : text;
}

void RealEngine::remove_everything() {
  const auto each = [this](const std::string& target, const char* member, const auto& act) {
    const auto list = json::parse(call("GET", target).body);
    if (!list || !list->is_array()) return;
    for (const auto& entry : list->as_array())
      if (entry.is_object())
        if (const auto* const value = entry.as_object().if_contains(member); value && value->is_string())
          act(std::string(value->as_string()));
  };
  each("/v1.41/containers/json?all=true", "Id",
       [this](const std::string& id) { (void)call("DELETE", "/v1.41/containers/" + id + "?force=true&v=true"); });
  each("/v1.41/networks", "Id", [this](const std::string& id) { (void)call("DELETE", "/v1.41/networks/" + id); });
}

RealEngine::~RealEngine() {
  if (daemon_ && daemon_->running()) {
    remove_everything();
    daemon_->signal(SIGTERM);
    (void)daemon_->wait(30'000);
  }
  daemon_.reset();
  registry_.reset();
  if (!root_.empty()) remove_folder(root_);
  if (lock_ >= 0) ::close(lock_);
}

std::expected<std::unique_ptr<RealPodman>, std::string> RealPodman::start(const RealEngine& engine) {
  const auto unusable = [](const std::string& why) { return std::unexpected("podman_unusable: " + why); };
  if (find_executable("podman").empty()) return unusable("no podman");
  std::unique_ptr<RealPodman> podman(new RealPodman());
  podman->root_ = engine.folder() / "podman";
  fs::create_directories(podman->root_);
  std::ofstream(podman->root_ / "registries.conf")
      << "[[registry]]\nlocation = \"" << engine.registry() << "\"\ninsecure = true\n";
  // Its default limits are above what a machine may allow.
  std::ofstream(podman->root_ / "containers.conf")
      << "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
  podman->service_ = std::make_unique<ChildProcess>(
      with_us(podman->command({"system", "service", "--time=0", "unix://" + podman->socket()})), podman->environment(),
      podman->root_ / "podman.log");
  const bool ready = eventually(
      [&] {
        const auto status = net::unix_http({.socket = podman->socket(), .target = "/_ping"}, {});
        return !podman->service_->running() || status == 200;
      },
      kReadyMs);
  if (!ready || !podman->service_->running()) return unusable("the service did not start:\n" + podman->log());
  return podman;
}

std::vector<std::string> RealPodman::command(const std::vector<std::string>& arguments) const {
  const std::string root = root_.string();
  std::vector<std::string> all{find_executable("podman"),
                               "--root",
                               root + "/root",
                               "--runroot",
                               root + "/run",
                               "--tmpdir",
                               root + "/tmp",
                               "--storage-driver",
                               "vfs",
                               "--cgroup-manager",
                               "cgroupfs",
                               "--events-backend",
                               "file",
                               "--network-config-dir",
                               root + "/networks"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

std::map<std::string, std::string> RealPodman::environment() const {
  return {{"CONTAINERS_REGISTRIES_CONF", (root_ / "registries.conf").string()},
          {"CONTAINERS_CONF", (root_ / "containers.conf").string()},
          {"HOME", root_.string()}};
}

int RealPodman::run(const std::vector<std::string>& arguments) const {
  ChildProcess child(command(arguments), environment(), root_ / "podman.log");
  return child.wait(60'000).value_or(-1);
}

std::string RealPodman::log() const { return read_file(root_ / "podman.log"); }

RealPodman::~RealPodman() {
  if (service_ && service_->running()) {
    (void)run({"rm", "--all", "--force", "--time", "0"});
    (void)run({"network", "prune", "--force"});
    service_->signal(SIGTERM);
    (void)service_->wait(10'000);
  }
}

}  // namespace ee::testing
