#include "agent/port_pipe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/log.h"

namespace ee::agent {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

std::optional<sockaddr_in> address_of(const Endpoint& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  if (::inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr) != 1) return std::nullopt;
  return address;
}

const sockaddr* generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

Descriptor new_socket() { return Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

/// A caller that went away before it was taken; the next one is.
bool is_callers_fault(int error) { return error == ECONNABORTED || error == EPROTO || error == EPERM; }

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

/// Bytes on their way from one socket to the other.
struct Direction {
  std::string bytes = {};
  bool ended = false;  ///< no more will be read
  bool shut = false;   ///< the reader was told so

  bool wants_input() const { return !ended && bytes.size() < PortPipe::kBuffer; }
  bool wants_output() const { return !bytes.empty() || (ended && !shut); }

  /// False: the connection is broken.
  bool read_from(int socket) {
    char piece[16UL * 1024];
    const std::size_t room = std::min(sizeof piece, PortPipe::kBuffer - bytes.size());
    const ssize_t count = ::recv(socket, piece, room, 0);
    if (count < 0) return would_block();
    if (count == 0) ended = true;
    bytes.append(piece, static_cast<std::size_t>(count));
    return true;
  }
  bool write_to(int socket) {
    if (!bytes.empty()) {
      const ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0) return would_block();
      bytes.erase(0, static_cast<std::size_t>(count));
    }
    if (bytes.empty() && ended && !std::exchange(shut, true)) ::shutdown(socket, SHUT_WR);
    return true;
  }
};

struct Connection {
  Descriptor near;
  Descriptor far;
  bool connected = false;
  Direction out = {};   // near to far
  Direction back = {};  // far to near
  short near_events = 0;
  short far_events = 0;
  SteadyTime active_at = {};  ///< when something last happened on it

  void set_events() {
    near_events = static_cast<short>((out.wants_input() ? POLLIN : 0) | (back.wants_output() ? POLLOUT : 0));
    far_events = static_cast<short>((connected && back.wants_input() ? POLLIN : 0) |
                                    (!connected || out.wants_output() ? POLLOUT : 0));
  }
  /// False: it is over.
  bool step(short near_ready, short far_ready) {
    if (!connected && far_ready != 0) {
      int error = 0;
      socklen_t size = sizeof error;
      if (::getsockopt(far.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return false;
      connected = true;
    }
    if ((near_ready & POLLERR) != 0 || (far_ready & POLLERR) != 0) return false;
    const auto readable = [](short ready) { return (ready & (POLLIN | POLLHUP)) != 0; };
    if (readable(near_ready) && out.wants_input() && !out.read_from(near.get())) return false;
    if (connected && readable(far_ready) && back.wants_input() && !back.read_from(far.get())) return false;
    if (connected && out.wants_output() && !out.write_to(far.get())) return false;
    if (back.wants_output() && !back.write_to(near.get())) return false;
    return !(out.shut && back.shut);
  }
};

}  // namespace

struct PortPipe::Parts {
  Descriptor listener;
  Descriptor waker;
  sockaddr_in target{};
  std::uint16_t port = 0;
  Milliseconds idle_timeout{0};
  std::vector<Connection> connections;
  SteadyTime accepts_again_at = {};
  std::atomic<std::uint64_t> failed_accepts = 0;
  SystemClock clock;  // sockets know no other time

  void accept_one(SteadyTime now) {
    // First what may be lacking: a caller that was taken and cannot be served would be dropped.
    Descriptor far = new_socket();
    if (!far) return pause(now);
    Descriptor near(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!near) {
      // The listener stays readable: without a pause the next poll would end at once, for ever.
      if (!would_block() && !is_callers_fault(errno)) pause(now);
      return;
    }
    if (::connect(far.get(), generic(target), sizeof target) != 0 && errno != EINPROGRESS) return;
    connections.push_back({.near = std::move(near), .far = std::move(far), .active_at = now});
  }
  void pause(SteadyTime now) {
    accepts_again_at = now + kAcceptPause;
    if (failed_accepts++ == 0) log::warn("port_pipe", "a connection cannot be taken: descriptors or memory ran out");
  }
  bool accepts(SteadyTime now) const { return connections.size() < kMaxConnections && now >= accepts_again_at; }

  /// For poll: until the first connection is idle for too long, or callers are taken again. -1: no end.
  int wait_ms(SteadyTime now) const {
    std::optional<SteadyTime> end;
    if (now < accepts_again_at) end = accepts_again_at;
    for (const Connection& connection : connections)
      end = std::min(end.value_or(SteadyTime::max()), connection.active_at + idle_timeout);
    if (!end) return -1;
    const auto wait = std::chrono::ceil<Milliseconds>(*end - now).count();
    return static_cast<int>(std::clamp<std::int64_t>(wait, 0, 3'600'000));
  }
};

PortPipe::PortPipe(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
PortPipe::~PortPipe() = default;

Result<std::unique_ptr<PortPipe>> PortPipe::start(const Endpoint& listen, const Endpoint& target,
                                                  Milliseconds idle_timeout) {
  const auto here = address_of(listen);
  const auto there = address_of(target);
  if (!here || !there) return fail(ErrorCode::invalid_request, "not an IPv4 address");
  auto parts = std::make_unique<Parts>();
  parts->target = *there;
  parts->idle_timeout = idle_timeout;
  parts->listener = new_socket();
  parts->waker = Descriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const int on = 1;
  sockaddr_in bound = *here;
  socklen_t size = sizeof bound;
  if (!parts->listener || !parts->waker ||
      ::setsockopt(parts->listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(parts->listener.get(), generic(*here), sizeof *here) != 0 || ::listen(parts->listener.get(), 64) != 0 ||
      ::getsockname(parts->listener.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return fail(ErrorCode::internal_error, "cannot listen on " + listen.str());
  parts->port = ntohs(bound.sin_port);
  return std::unique_ptr<PortPipe>(new PortPipe(std::move(parts)));
}

std::uint16_t PortPipe::port() const { return parts_->port; }
std::uint64_t PortPipe::failed_accepts() const { return parts_->failed_accepts; }

void PortPipe::run(const std::stop_token& stop) {
  Parts& parts = *parts_;
  const std::stop_callback wake(stop, [&parts] {
    const std::uint64_t one = 1;
    (void)!::write(parts.waker.get(), &one, sizeof one);
  });
  std::vector<pollfd> polled;
  while (!stop.stop_requested()) {
    // A connection that is full in both directions waits for one side alone, which `events` of 0 leaves to POLLHUP.
    SteadyTime now = parts.clock.steady_now();
    const int listener = parts.accepts(now) ? parts.listener.get() : -1;
    polled.assign(
        {{.fd = parts.waker.get(), .events = POLLIN, .revents = 0}, {.fd = listener, .events = POLLIN, .revents = 0}});
    for (Connection& connection : parts.connections) {
      connection.set_events();
      // A side that nothing is wanted of is left out: its end would be told again and again.
      const int near = connection.near_events == 0 ? -1 : connection.near.get();
      const int far = connection.far_events == 0 ? -1 : connection.far.get();
      polled.push_back({.fd = near, .events = connection.near_events, .revents = 0});
      polled.push_back({.fd = far, .events = connection.far_events, .revents = 0});
    }
    if (::poll(polled.data(), polled.size(), parts.wait_ms(now)) < 0) {
      if (errno == EINTR) continue;
      log::error("port_pipe", "poll failed");
      break;
    }
    now = parts.clock.steady_now();
    std::size_t at = 2;
    std::erase_if(parts.connections, [&](Connection& connection) {
      const short near = polled[at].revents;
      const short far = polled[at + 1].revents;
      at += 2;
      if (near == 0 && far == 0) return now - connection.active_at >= parts.idle_timeout;
      connection.active_at = now;
      return !connection.step(near, far);
    });
    if (polled[1].revents != 0) parts.accept_one(now);
  }
  parts.connections.clear();
}

}  // namespace ee::agent
