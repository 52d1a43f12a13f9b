#include "net/server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <future>

#include "net/io_loop.h"
#include "net/listener.h"
#include "net/server_state.h"
#include "net/stream.h"

namespace ee::net {
namespace {

struct Peer {
  std::string address = "unix";
  std::optional<IpAddress> ip;
};

Peer peer_of(const sockaddr_storage& storage) {
  IpAddress ip;
  if (storage.ss_family == AF_INET) {
    ip = *parse_ip("0.0.0.0");
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    std::memcpy(ip.bytes.data() + 12, &v4.sin_addr, 4);
  } else if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    std::memcpy(ip.bytes.data(), &v6.sin6_addr, 16);
  } else {
    return {};
  }
  return {.address = to_string(ip), .ip = ip};
}

}  // namespace

std::optional<std::string_view> RequestHead::field(std::string_view name) const {
  for (const HeadField& field : fields)
    if (equal_ignoring_case(field.name, name)) return field.value;
  return std::nullopt;
}

std::shared_ptr<StreamHandler> Application::open_stream(const RequestHead&) { return nullptr; }
std::optional<Response> Application::try_fast(Request&) { return std::nullopt; }
void Application::observe(const AccessRecord&) {}
bool Application::allows_origin(std::string_view) { return false; }

struct Server::Core {
  Core(ServerConfig config, Application& application, Clock& clock, Random& random, Listener opened)
      : state(std::move(config), application, clock, random), listener(std::move(opened)) {
    for (std::size_t i = 0; i < std::max<std::size_t>(state.config.io_threads, 1); ++i)
      loops.push_back(std::make_unique<IoLoop>(state));
    acceptor.emplace(loops.front()->executor(), listener.descriptor());
  }

  // All below: on the first loop's thread.
  void want_accept();
  void accept_all();
  void accept_one(int descriptor, const sockaddr_storage& from);
  void stop_accepting();
  void on_tick();

  ServerState state;
  Listener listener;
  std::vector<std::unique_ptr<IoLoop>> loops;
  std::optional<Descriptor> acceptor;
  bool accept_waiting = false;
  std::atomic<bool> accept_paused = false;
  std::size_t next_loop = 0;
  std::atomic<std::uint64_t> refused_connections = 0;
  std::atomic<bool> overloaded = false;
  std::chrono::steady_clock::time_point pressed_since{};
  bool pressed = false;
};

void Server::Core::want_accept() {
  if (!acceptor || accept_waiting) return;
  accept_waiting = true;
  acceptor->async_wait(Descriptor::wait_read, [this](const boost::system::error_code& error) {
    accept_waiting = false;
    if (!error) accept_all();
  });
}

void Server::Core::accept_all() {
  constexpr int kBatch = 64;  // then the connections have their turn
  for (int i = 0; i < kBatch; ++i) {
    if (!acceptor) return;
    if (state.connections.load(std::memory_order_acquire) >= state.config.max_connections) {
      accept_paused = true;  // until a tick finds room; meanwhile they wait in the backlog
      return;
    }
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const int descriptor =
        ::accept4(listener.descriptor(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      accept_one(descriptor, from);
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    accept_paused = true;  // out of descriptors or memory: trying again at once would spin
    return;
  }
  want_accept();
}

void Server::Core::accept_one(int descriptor, const sockaddr_storage& from) {
  Peer peer = peer_of(from);
  const bool counted = peer.ip && !state.proxies.trusts(*peer.ip);
  std::string key = counted ? rate_limit_key(peer.address) : std::string();
  if (!state.add_connection(key)) {
    refused_connections.fetch_add(1, std::memory_order_relaxed);
    ::close(descriptor);
    return;
  }
  IoLoop& loop = *loops[next_loop++ % loops.size()];
  const int family = from.ss_family == AF_UNSPEC ? AF_UNIX : from.ss_family;
  if (&loop == loops.front().get()) return loop.adopt(descriptor, family, std::move(peer.address), std::move(key));
  loop.post([&loop, descriptor, family, address = std::move(peer.address), key = std::move(key)]() mutable {
    loop.adopt(descriptor, family, std::move(address), std::move(key));
  });
}

void Server::Core::stop_accepting() {
  if (!acceptor) return;
  acceptor->release();  // the listener owns the descriptor
  acceptor.reset();
  listener.close();
}

void Server::Core::on_tick() {
  if (accept_paused && state.connections.load(std::memory_order_acquire) < state.config.max_connections) {
    accept_paused = false;
    accept_all();
  }
  const auto now = std::chrono::steady_clock::now();
  Milliseconds lag{};
  for (const auto& loop : loops) lag = std::max(lag, loop->lag());
  const bool told = overloaded.load(std::memory_order_relaxed);
  const bool press = told || lag > state.config.shed_lag;
  if (press && !pressed) pressed_since = now;
  pressed = press;
  const auto lasted = press ? now - pressed_since : std::chrono::steady_clock::duration::zero();
  constexpr int kPatience = 5;  // how much longer the pressure must last before all but the last routes are shed
  int level = 0;
  if (told || (press && lasted >= state.config.shed_after)) level = 1;
  if (press && lasted >= state.config.shed_after * kPatience) level = 2;
  state.shed_level.store(level, std::memory_order_relaxed);
}

std::expected<std::unique_ptr<Server>, std::string> Server::start(ServerConfig config, Application& application,
                                                                  Clock& clock, Random& random) {
  const bool tls = !config.tls_certificate_file.empty() || !config.tls_key_file.empty();
  std::shared_ptr<const TlsContext> context;
  if (tls) {
    auto loaded = TlsContext::load(config.tls_certificate_file, config.tls_key_file);
    if (!loaded) return std::unexpected(loaded.error());
    context = std::move(*loaded);
  }
  auto listener = Listener::open(config.bind);
  if (!listener) return std::unexpected(listener.error());
  auto core = std::make_unique<Core>(std::move(config), application, clock, random, std::move(*listener));
  core->state.set_tls(std::move(context));
  Core& started = *core;
  started.loops.front()->on_tick = [&started] { started.on_tick(); };
  for (const auto& loop : started.loops) loop->start();
  started.loops.front()->post([&started] { started.want_accept(); });
  return std::unique_ptr<Server>(new Server(std::move(core)));
}

Server::Server(std::unique_ptr<Core> core) : core_(std::move(core)) {}

Server::~Server() {
  drain();
  for (const auto& loop : core_->loops) loop->post([&loop] { loop->reset_all(); });  // stop tokens fire
  core_->state.pool.stop();
  for (const auto& loop : core_->loops) loop->stop();
}

std::uint16_t Server::port() const { return core_->listener.port(); }

std::string Server::url() const {
  if (core_->listener.is_unix()) return "unix:" + core_->listener.address();
  return (core_->state.tls() ? "https://" : "http://") + core_->listener.address();
}

void Server::drain() {
  if (core_->state.draining.exchange(true)) return;
  core_->loops.front()->post([core = core_.get()] { core->stop_accepting(); });
  for (const auto& loop : core_->loops) loop->post([&loop] { loop->begin_drain(); });
}

bool Server::wait_drained(std::chrono::steady_clock::time_point deadline) {
  while (true) {
    std::atomic<std::size_t>& connections = core_->state.connections;
    if (connections.load(std::memory_order_acquire) == 0) return true;
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(Milliseconds(5));
  }
  for (const auto& loop : core_->loops) loop->post([&loop] { loop->reset_all(); });
  return false;
}

void Server::set_overloaded(bool overloaded) { core_->overloaded.store(overloaded, std::memory_order_relaxed); }

ServerStats Server::stats() const {
  const ServerState& state = core_->state;
  ServerStats stats{.connections = state.connections,
                    .in_flight = state.in_flight + state.reserved_in_flight,
                    .buffered_body_bytes = state.buffered_body_bytes,
                    .shedding = state.shed_level > 0,
                    .accept_paused = core_->accept_paused,
                    .refused_connections = core_->refused_connections,
                    .lost_records = state.lost_records};
  for (const auto& loop : core_->loops) {
    stats.loop_lag = std::max(stats.loop_lag, loop->lag());
    stats.bytes_received += loop->bytes_received();
  }
  return stats;
}

std::expected<void, std::string> Server::reload_tls() {
  const ServerConfig& config = core_->state.config;
  if (config.tls_certificate_file.empty()) return {};
  auto loaded = TlsContext::load(config.tls_certificate_file, config.tls_key_file);
  if (!loaded) return std::unexpected(loaded.error());
  core_->state.set_tls(std::move(*loaded));
  return {};
}

void Server::sweep() {
  for (const auto& loop : core_->loops) {
    std::promise<void> done;
    loop->post([&] {
      loop->sweep();
      done.set_value();
    });
    done.get_future().wait();
  }
}

}  // namespace ee::net
