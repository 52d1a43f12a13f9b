#include "tests/standins/engine/engine.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace ee::standins {
namespace {

constexpr int kPollMs = 20;
constexpr std::string_view kPrefix = "/v1.41";

/// Reads a head and, by Content-Length, a body. Empty method: the peer went away.
Engine::Request read_request(int descriptor, const std::atomic<bool>& ending) {
  std::string bytes;
  std::array<char, 16384> buffer{};
  std::size_t wanted = 0;
  while (!ending) {
    const std::size_t end = bytes.find("\r\n\r\n");
    if (end != std::string::npos) {
      const std::size_t field = bytes.find("Content-Length: ");
      wanted = end + 4 + (field < end ? std::stoul(bytes.substr(field + 16)) : 0);
      if (bytes.size() >= wanted) {
        const std::size_t blank = bytes.find(' ');
        return {.method = bytes.substr(0, blank),
                .target = bytes.substr(blank + 1, bytes.find(' ', blank + 1) - blank - 1),
                .head = bytes.substr(0, end),
                .body = bytes.substr(end + 4)};
      }
    }
    pollfd ready{.fd = descriptor, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPollMs) == 0) continue;
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got <= 0) break;
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace

bool Engine::Peer::send(std::string_view bytes) const {
  while (!bytes.empty() && !ending_) {
    pollfd ready{.fd = descriptor_, .events = POLLOUT, .revents = 0};
    if (::poll(&ready, 1, kPollMs) == 0) continue;
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return !ending_;
}

void Engine::Peer::answer(int status, std::string_view body) const {
  (void)send(fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\n", status));
  if (status != 204 && status != 304) (void)send(fmt::format("Content-Length: {}\r\n", body.size()));
  (void)send("\r\n");
  if (status != 204 && status != 304) (void)send(body);
}

void Engine::Peer::open_stream() const { (void)send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); }
bool Engine::Peer::chunk(std::string_view bytes) const {
  return send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes));
}
void Engine::Peer::end_stream() const { (void)send("0\r\n\r\n"); }

void Engine::Peer::hang() const {
  while (!ending_) {
    pollfd ready{.fd = descriptor_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPollMs) > 0) return;  // the caller has closed
  }
}

Engine::Handler Engine::json(int status, std::string body) {
  return [status, body = std::move(body)](const Request&, const Peer& peer) { peer.answer(status, body); };
}
Engine::Handler Engine::hangs() {
  return [](const Request&, const Peer& peer) { peer.hang(); };
}
Engine::Handler Engine::closes() {
  return [](const Request&, const Peer&) {};
}

Engine::Engine() {
  on("GET /_ping", json(200, "OK"));
  on("GET /version",
     json(200,
          R"({"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Components":[{"Name":"Engine"}]})"));
  on("GET /info", json(200, R"({"CgroupVersion":"2","Runtimes":{"runc":{}},"DockerRootDir":"/"})"));
  on("GET /containers/json", json(200, "[]"));
  start();
}

Engine::~Engine() { stop(); }

void Engine::start() {
  ending_ = false;
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket();
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("socket path too long");
  path.copy(address.sun_path, path.size());
  ::unlink(path.c_str());
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener_, 64) != 0)
    throw std::runtime_error("cannot listen");
  acceptor_ = std::thread([this, listener = listener_] { accept_loop(listener); });
}

void Engine::stop() {
  ending_ = true;
  if (acceptor_.joinable()) acceptor_.join();
  if (listener_ >= 0) ::close(listener_);
  listener_ = -1;
  ::unlink(socket().c_str());
  std::vector<std::thread> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(connections_);
  }
  for (std::thread& each : all) each.join();
}

void Engine::accept_loop(int listener) {
  while (!ending_) {
    pollfd ready{.fd = listener, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPollMs) <= 0) continue;
    const int descriptor = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0) continue;
    const std::lock_guard lock(mutex_);
    connections_.emplace_back([this, descriptor] { serve(descriptor); });
  }
}

void Engine::serve(int descriptor) {
  const Request request = read_request(descriptor, ending_);
  if (!request.method.empty()) {
    const Handler handler = handler_of(request);
    handler(request, Peer(descriptor, ending_));
  }
  ::close(descriptor);
}

Engine::Handler Engine::handler_of(const Request& request) {
  std::string target = request.target;
  if (target.starts_with(kPrefix)) target.erase(0, kPrefix.size());
  const std::string key = request.method + " " + target;
  const std::lock_guard lock(mutex_);
  Request seen = request;
  seen.target = target;
  requests_.push_back(std::move(seen));
  std::vector<Handler>* best = nullptr;
  std::size_t length = 0;
  for (auto& [prefix, handlers] : handlers_) {
    if (!key.starts_with(prefix) || prefix.size() < length) continue;
    best = &handlers;
    length = prefix.size();
  }
  if (!best) return json(404, R"({"message":"page not found"})");
  const Handler handler = best->front();
  if (best->size() > 1) best->erase(best->begin());
  return handler;
}

void Engine::on(const std::string& method_and_path, Handler handler) { on_each(method_and_path, {std::move(handler)}); }

void Engine::on_each(const std::string& method_and_path, std::vector<Handler> handlers) {
  const std::lock_guard lock(mutex_);
  handlers_[method_and_path] = std::move(handlers);
}

std::vector<Engine::Request> Engine::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t Engine::count(const std::string& method_and_path) const {
  std::size_t found = 0;
  for (const Request& each : requests())
    if ((each.method + " " + each.target).starts_with(method_and_path)) ++found;
  return found;
}

}  // namespace ee::standins
