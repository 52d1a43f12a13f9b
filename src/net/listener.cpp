#include "net/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace ee::net {
namespace {

constexpr int kBacklog = 4096;

std::string failure(const std::string& bind, const char* step) {
  return "cannot listen on " + bind + ": " + step + ": " + std::strerror(errno);
}

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

std::expected<HostPort, std::string> split(const std::string& bind) {
  const std::size_t colon = bind.rfind(':');
  const std::string problem = "cannot listen on " + bind + ": want address:port, [v6]:port or unix:/path";
  if (colon == std::string::npos || colon == 0) return std::unexpected(problem);
  HostPort out{.host = bind.substr(0, colon)};
  const char* const end = bind.data() + bind.size();
  const auto [at, error] = std::from_chars(bind.data() + colon + 1, end, out.port);
  if (error != std::errc() || at != end) return std::unexpected(problem);
  if (out.host.front() == '[') {
    if (out.host.size() < 3 || out.host.back() != ']') return std::unexpected(problem);
    out.host = out.host.substr(1, out.host.size() - 2);
  } else if (out.host.find(':') != std::string::npos) {
    return std::unexpected(problem);
  }
  return out;
}

bool is_live(const sockaddr_un& address) {
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool live = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(probe);
  return live;
}

}  // namespace

std::expected<Listener, std::string> Listener::open(const std::string& bind) {
  Listener listener;
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string unix_path;
  if (bind.starts_with("unix:")) {
    unix_path = bind.substr(5);
    auto& address = reinterpret_cast<sockaddr_un&>(storage);
    if (unix_path.empty() || unix_path.size() >= sizeof address.sun_path)
      return std::unexpected("cannot listen on " + bind + ": path empty or too long");
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, unix_path.c_str(), unix_path.size() + 1);
    size = sizeof address;
    if (is_live(address)) return std::unexpected("cannot listen on " + bind + ": another process serves it");
    struct stat status{};
    if (::lstat(unix_path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(unix_path.c_str());
  } else {
    const auto where = split(bind);
    if (!where) return std::unexpected(where.error());
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    if (::inet_pton(AF_INET, where->host.c_str(), &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      v4.sin_port = htons(where->port);
      size = sizeof v4;
    } else if (::inet_pton(AF_INET6, where->host.c_str(), &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(where->port);
      size = sizeof v6;
    } else {
      return std::unexpected("cannot listen on " + bind + ": not an IP address");
    }
  }

  listener.descriptor_ = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener.descriptor_ < 0) return std::unexpected(failure(bind, "socket"));
  const int on = 1;
  ::setsockopt(listener.descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener.descriptor_, reinterpret_cast<const sockaddr*>(&storage), size) != 0)
    return std::unexpected(failure(bind, "bind"));
  listener.unix_path_ = unix_path;
  constexpr mode_t kUnixMode = 0660;
  if (!unix_path.empty() && ::chmod(unix_path.c_str(), kUnixMode) != 0) return std::unexpected(failure(bind, "chmod"));
  if (::listen(listener.descriptor_, kBacklog) != 0) return std::unexpected(failure(bind, "listen"));

  listener.address_ = unix_path;
  if (unix_path.empty()) {
    size = sizeof storage;
    if (::getsockname(listener.descriptor_, reinterpret_cast<sockaddr*>(&storage), &size) != 0)
      return std::unexpected(failure(bind, "getsockname"));
    listener.port_ = ntohs(storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(storage).sin_port
                                                        : reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
    listener.address_ = bind.substr(0, bind.rfind(':') + 1) + std::to_string(listener.port_);
  }
  return listener;
}

Listener::Listener(Listener&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      port_(other.port_),
      address_(std::move(other.address_)),
      unix_path_(std::exchange(other.unix_path_, {})) {}

Listener::~Listener() { close(); }

void Listener::close() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  descriptor_ = -1;
  if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
}

}  // namespace ee::net
