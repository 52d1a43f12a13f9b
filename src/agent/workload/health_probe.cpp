#include "agent/workload/health_probe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kTimeout = 5s;
constexpr std::size_t kMaxAnswer = 256UL * 1024;

}  // namespace

bool NetworkHealthProbe::http(const std::string& address, std::uint16_t port, const std::string& path,
                              const std::stop_token& stop) {
  const auto answer = http_.send({.method = "GET",
                                  .url = fmt::format("http://{}:{}{}", address, port, path),
                                  .headers = {{"User-Agent", "ee-agent-health"}},
                                  .connect_timeout = kTimeout,
                                  .total_timeout = kTimeout,
                                  .max_response_bytes = kMaxAnswer,
                                  .stop = stop});
  return answer && answer->status >= 200 && answer->status < 400;
}

bool NetworkHealthProbe::tcp(const std::string& address, std::uint16_t port, const std::stop_token& stop) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) return false;
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  if (!connected && errno == EINPROGRESS) {
    pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
    // On loopback the answer comes at once; the slices are for a stop in between.
    for (auto waited = 0ms; waited < kTimeout && !stop.stop_requested(); waited += 100ms) {
      if (::poll(&ready, 1, 100) <= 0) continue;
      int error = 0;
      socklen_t size = sizeof error;
      connected = ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
      break;
    }
  }
  ::close(fd);
  return connected;
}

}  // namespace ee::agent
