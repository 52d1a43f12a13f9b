#include "agent/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "agent/proc_text.h"

namespace ee::agent {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

ServiceManager::ServiceManager(std::string socket, std::string_view watchdog_usec) : socket_(std::move(socket)) {
  if (socket_.empty()) return;
  const auto usec = decimal(watchdog_usec);
  if (usec && *usec >= 2000) watchdog_period_ = Milliseconds(*usec / 2000);
}

ServiceManager ServiceManager::from_environment() {
  const std::string pid = variable("WATCHDOG_PID");
  const bool meant = pid.empty() || pid == std::to_string(::getpid());
  return ServiceManager(variable("NOTIFY_SOCKET"), meant ? variable("WATCHDOG_USEC") : "");
}

void ServiceManager::notify(std::string_view state) const {
  sockaddr_un address{};
  if (socket_.empty() || socket_.size() >= sizeof(address.sun_path) || (socket_[0] != '/' && socket_[0] != '@')) return;
  address.sun_family = AF_UNIX;
  std::ranges::copy(socket_, address.sun_path);
  if (socket_[0] == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  (void)::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&address), size);
  ::close(fd);
}

}  // namespace ee::agent
