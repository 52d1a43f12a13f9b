#include "bench/proxy_origin.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ee::bench {
namespace {

constexpr int kTurns = 10;  ///< of one millisecond each
constexpr std::size_t kBuffer = 256UL * 1024;

struct Peer {
  enum class Does { reading_head, sinking, echoing, sending_events };
  Does does = Does::reading_head;
  std::string head;
  std::uint64_t left = 0;  ///< of a body
  std::uint64_t size = 0;
};

std::uint64_t content_length(std::string_view head) {
  constexpr std::string_view kName = "\r\nContent-Length: ";
  const std::size_t at = head.find(kName);
  std::uint64_t length = 0;
  if (at != std::string_view::npos) std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), length);
  return length;
}

class Origin {
 public:
  explicit Origin(std::uint16_t port)
      : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
        timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, 4096) != 0)
      throw std::runtime_error("cannot listen on port " + std::to_string(port));
    const itimerspec each{.it_interval = {.tv_sec = 0, .tv_nsec = 1'000'000},
                          .it_value = {.tv_sec = 0, .tv_nsec = 1'000'000}};
    ::timerfd_settime(timer_, 0, &each, nullptr);
    watch(listener_);
    watch(timer_);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events{};
    while (true) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == listener_)
          accept_all();
        else if (fd == timer_)
          tick();
        else if (!serve(fd))
          drop(fd);
      }
    }
  }

 private:
  void watch(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all() {
    while (true) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd < 0) return;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      peers_.emplace(fd, Peer{});
      watch(fd);
    }
  }

  void drop(int fd) {
    ::close(fd);
    peers_.erase(fd);
    for (std::vector<int>& turn : turns_) std::erase(turn, fd);
  }

  /// False when the connection is over: also when the other side takes less than a small answer at once.
  bool serve(int fd) {
    const ssize_t got = ::recv(fd, buffer_.data(), buffer_.size(), 0);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    Peer& peer = peers_.at(fd);
    std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
    switch (peer.does) {
      case Peer::Does::reading_head: return read_head(fd, peer, bytes);
      case Peer::Does::sinking: return sink(fd, peer, bytes.size());
      case Peer::Does::echoing: return send_all(fd, bytes);
      case Peer::Does::sending_events: return true;
    }
    return false;
  }

  bool read_head(int fd, Peer& peer, std::string_view bytes) {
    peer.head += bytes;
    const std::size_t end = peer.head.find("\r\n\r\n");
    if (end == std::string::npos) return true;
    const std::string head = peer.head.substr(0, end);
    const std::size_t rest = peer.head.size() - end - 4;
    peer.head.clear();
    if (head.starts_with("POST /sink ")) {
      peer.does = Peer::Does::sinking;
      peer.left = peer.size = content_length(head);
      return sink(fd, peer, rest);
    }
    if (head.starts_with("GET /ws ")) {
      peer.does = Peer::Does::echoing;
      return send_all(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    }
    if (head.starts_with("GET /events ")) {
      peer.does = Peer::Does::sending_events;
      turns_[next_turn_++ % kTurns].push_back(fd);
      return send_all(fd,
                      "HTTP/1.1 200 OK\r\nX-EE-Agent: bench\r\nContent-Type: text/event-stream\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n");
    }
    return send_all(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  }

  bool sink(int fd, Peer& peer, std::size_t bytes) {
    if (bytes > peer.left) return false;
    peer.left -= bytes;
    if (peer.left > 0) return true;
    peer.does = Peer::Does::reading_head;
    const std::string body = std::to_string(peer.size);
    return send_all(fd, fmt::format("HTTP/1.1 200 OK\r\nX-EE-Agent: bench\r\nContent-Type: text/plain\r\n"
                                    "Content-Length: {}\r\n\r\n{}",
                                    body.size(), body));
  }

  void tick() {
    std::uint64_t expired = 0;
    if (::read(timer_, &expired, sizeof expired) != sizeof expired) return;
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(expired, kTurns); ++i) {
      const std::vector<int> turn = turns_[now_turn_++ % kTurns];
      for (const int fd : turn)
        if (!send_event(fd)) drop(fd);
    }
  }

  static bool send_event(int fd) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    const std::string event = fmt::format("data: {:0{}}\n\n", std::chrono::nanoseconds(now).count(), kStampDigits);
    return send_all(fd, fmt::format("{:x}\r\n{}\r\n", event.size(), event));
  }

  static bool send_all(int fd, std::string_view bytes) {
    return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  const int epoll_;
  const int listener_;
  const int timer_;
  std::string buffer_ = std::string(kBuffer, '\0');
  std::unordered_map<int, Peer> peers_;
  std::array<std::vector<int>, kTurns> turns_;
  std::size_t next_turn_ = 0;
  std::size_t now_turn_ = 0;
};

}  // namespace

void serve_origin(std::uint16_t port) { Origin(port).run(); }

}  // namespace ee::bench
