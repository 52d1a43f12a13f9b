#include "bench/load_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace ee::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

}  // namespace

int connect_to(const LoadOptions& options) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (fd < 0 || ::inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1 ||
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (fd >= 0) ::close(fd);
    throw std::runtime_error("cannot connect to " + options.host + ":" + std::to_string(options.port));
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

std::optional<ParsedAnswer> parse_answer(std::string_view in) {
  const std::size_t end = in.find("\r\n\r\n");
  if (end == std::string_view::npos || in.size() < 12) return std::nullopt;
  int status = 0;
  std::from_chars(in.data() + 9, in.data() + 12, status);
  std::size_t length = 0;
  for (std::size_t at = in.find("\r\n"); at < end; at = in.find("\r\n", at + 2)) {
    const std::string_view line = in.substr(at + 2, 15);
    if (line.size() == 15 && ::strncasecmp(line.data(), "content-length:", line.size()) == 0) {
      std::size_t from = at + 17;
      while (in[from] == ' ') ++from;
      std::from_chars(in.data() + from, in.data() + end, length);
      break;
    }
  }
  return ParsedAnswer{status, end + 4, end + 4 + length};
}

namespace {

struct Connection {
  int fd = -1;
  std::string out;
  std::size_t sent = 0;
  std::string in;
  SteadyClock::time_point started;
};

class Loop {
 public:
  Loop(const LoadOptions& options, int want_status, const std::function<bool(int, std::string&)>& next,
       const std::function<void(int, int, std::string_view)>& answered)
      : options_(options), want_status_(want_status), next_(next), answered_(answered), epoll_(::epoll_create1(0)) {
    result_.latencies_us.reserve(1000000);
  }
  ~Loop() {
    for (const auto& connection : connections_)
      if (connection->fd >= 0) ::close(connection->fd);
    ::close(epoll_);
  }

  LoadResult run() {
    const auto began = SteadyClock::now();
    end_ = began + std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(options_.seconds));
    for (int i = 0; i < options_.connections; ++i) open(i);
    std::vector<epoll_event> events(256);
    while (live_ > 0) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 1000);
      for (int i = 0; i < count; ++i) step(static_cast<int>(events[static_cast<std::size_t>(i)].data.u32));
      if (SteadyClock::now() >= end_ + std::chrono::seconds(5)) break;
    }
    result_.seconds = std::chrono::duration<double>(last_ - began).count();
    return std::move(result_);
  }

 private:
  void open(int index) {
    auto connection = std::make_unique<Connection>();
    connection->fd = connect_to(options_);
    ::fcntl(connection->fd, F_SETFL, ::fcntl(connection->fd, F_GETFL) | O_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<std::uint32_t>(index);
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->fd, &event);
    connections_.push_back(std::move(connection));
    ++live_;
    start(index);
  }
  void finish(int index) {
    Connection& connection = *connections_[static_cast<std::size_t>(index)];
    if (connection.fd < 0) return;
    ::close(connection.fd);
    connection.fd = -1;
    --live_;
  }
  void start(int index) {
    Connection& connection = *connections_[static_cast<std::size_t>(index)];
    connection.out.clear();
    connection.sent = 0;
    connection.started = SteadyClock::now();
    const bool full = options_.max_requests != 0 && started_ >= options_.max_requests;
    if (full || connection.started >= end_ || !next_(index, connection.out)) return finish(index);
    connection.started = SteadyClock::now();  // making the request is the client's time
    ++started_;
    flush(index);
  }
  void flush(int index) {
    Connection& connection = *connections_[static_cast<std::size_t>(index)];
    while (connection.sent < connection.out.size()) {
      const ssize_t wrote = ::send(connection.fd, connection.out.data() + connection.sent,
                                   connection.out.size() - connection.sent, MSG_NOSIGNAL);
      if (wrote < 0) {
        if (errno == EAGAIN) return;  // requests are small; the next readable event tries again
        ++result_.errors;
        return finish(index);
      }
      connection.sent += static_cast<std::size_t>(wrote);
    }
  }
  void step(int index) {
    Connection& connection = *connections_[static_cast<std::size_t>(index)];
    if (connection.fd < 0) return;
    char buffer[16384];
    const ssize_t got = ::recv(connection.fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
      if (got < 0 && errno == EAGAIN) return;
      ++result_.errors;
      finish(index);
      return reopen(index);
    }
    connection.in.append(buffer, static_cast<std::size_t>(got));
    const auto parsed = parse_answer(connection.in);
    if (!parsed || connection.in.size() < parsed->total) return;
    last_ = SteadyClock::now();
    ++result_.answers;
    if (parsed->status == want_status_) ++result_.expected_status;
    if (result_.latencies_us.size() < result_.latencies_us.capacity())
      result_.latencies_us.push_back(static_cast<std::uint32_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(last_ - connection.started).count()));
    const bool closing = connection.in.find("Connection: close") < parsed->head;
    if (answered_)
      answered_(index, parsed->status,
                std::string_view(connection.in).substr(parsed->head, parsed->total - parsed->head));
    connection.in.erase(0, parsed->total);
    if (closing) {
      finish(index);
      return reopen(index);
    }
    start(index);
  }
  void reopen(int index) {
    if (SteadyClock::now() >= end_) return;
    Connection& connection = *connections_[static_cast<std::size_t>(index)];
    connection.in.clear();
    connection.fd = connect_to(options_);
    ::fcntl(connection.fd, F_SETFL, ::fcntl(connection.fd, F_GETFL) | O_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<std::uint32_t>(index);
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
    ++live_;
    start(index);
  }

  const LoadOptions& options_;
  int want_status_;
  const std::function<bool(int, std::string&)>& next_;
  const std::function<void(int, int, std::string_view)>& answered_;
  int epoll_;
  int live_ = 0;
  std::uint64_t started_ = 0;
  SteadyClock::time_point end_;
  SteadyClock::time_point last_ = SteadyClock::now();
  std::vector<std::unique_ptr<Connection>> connections_;
  LoadResult result_;
};

}  // namespace

std::uint32_t LoadResult::percentile_us(double fraction) const {
  if (latencies_us.empty()) return 0;
  std::vector<std::uint32_t> sorted = latencies_us;
  const auto at = static_cast<std::ptrdiff_t>(fraction * static_cast<double>(sorted.size() - 1));
  std::nth_element(sorted.begin(), sorted.begin() + at, sorted.end());
  return sorted[static_cast<std::size_t>(at)];
}

LoadResult run_load(const LoadOptions& options, int want_status, const std::function<bool(int, std::string&)>& next,
                    const std::function<void(int, int, std::string_view)>& answered) {
  return Loop(options, want_status, next, answered).run();
}

SimpleAnswer call(const LoadOptions& options, const std::string& request) {
  const int fd = connect_to(options);
  std::size_t sent = 0;
  while (sent < request.size()) {
    const ssize_t wrote = ::send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (wrote <= 0) break;
    sent += static_cast<std::size_t>(wrote);
  }
  std::string in;
  char buffer[16384];
  std::optional<ParsedAnswer> parsed;
  while (!parsed || in.size() < parsed->total) {
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) break;
    in.append(buffer, static_cast<std::size_t>(got));
    parsed = parse_answer(in);
  }
  ::close(fd);
  if (!parsed) throw std::runtime_error("no answer");
  return {parsed->status, in.substr(0, parsed->head), in.substr(parsed->head)};
}

}  // namespace ee::bench
