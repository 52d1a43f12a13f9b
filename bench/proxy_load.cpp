// Loads of proxies that wrk cannot make, for bench/p7_proxy.sh, and the workload behind the proxies (`origin`). Each
// prints one line of numbers, and fails when anything but the right answer comes.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/load_client.h"
#include "bench/proxy_origin.h"

namespace ee::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// Services `w0`, `w1`, ... of the origin here, and `s0`, `s1`, ... of one that has files: each with limits of its own.
struct Target {
  LoadOptions options;
  int services = 32;
};

SteadyClock::duration seconds(double count) {
  return std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(count));
}

/// Request line and the fields that all have, for the n-th client: an address of its own, since proxies limit each.
std::string begin_request(const Target& target, std::string_view method, char kind, std::string_view path, int n) {
  return fmt::format("{} /proxy/{}{}/{} HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: 10.{}.{}.2\r\n", method, kind,
                     n % target.services, path, n / 256 % 256, n % 256);
}

class Client {
 public:
  explicit Client(const Target& target) : fd_(connect_to(target.options)) {
    // Whoever is silent that long has failed; nothing here waits for more.
    constexpr timeval kPatience{.tv_sec = 30, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Client& operator=(Client&&) = delete;
  ~Client() {
    if (fd_ >= 0) ::close(fd_);
  }

  int fd() const { return fd_; }
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  /// The head of an answer of that status, and what came after it.
  std::string read_head(int status) const {
    std::string in;
    std::array<char, 4096> bytes;
    while (in.find("\r\n\r\n") == std::string::npos) {
      const ssize_t count = ::recv(fd_, bytes.data(), bytes.size(), 0);
      if (count <= 0) throw std::runtime_error("closed or silent before an answer");
      in.append(bytes.data(), static_cast<std::size_t>(count));
    }
    if (parse_answer(in)->status != status) throw std::runtime_error("unexpected answer: " + in);
    return in;
  }

 private:
  int fd_;
};

/// Bytes of bodies that pass in the time, by threads that each send or fetch one after the other.
class Transfers {
 public:
  Transfers(const Target& target, bool up, std::uint64_t size) : target_(target), up_(up), size_(size) {}

  /// Bytes a second.
  double run() {
    for (int i = 0; i < target_.options.connections; ++i) clients_.emplace_back(target_);
    std::vector<std::jthread> threads;
    for (int i = 0; i < target_.options.connections; ++i) threads.emplace_back([this, i] { work(i); });
    const auto began = SteadyClock::now();
    std::this_thread::sleep_for(seconds(target_.options.seconds));
    const std::uint64_t bytes = bytes_;
    const double took = std::chrono::duration<double>(SteadyClock::now() - began).count();
    stopping_ = true;
    for (const Client& client : clients_) ::shutdown(client.fd(), SHUT_RDWR);
    threads.clear();
    if (failed_) throw std::runtime_error("a transfer failed");
    return static_cast<double>(bytes) / took;
  }

 private:
  void work(int n) {
    const Client& client = clients_[static_cast<std::size_t>(n)];
    try {
      while (!stopping_)
        if (!(up_ ? upload(client, n) : download(client, n))) break;
    } catch (const std::exception&) {
      failed_ = failed_ || !stopping_;
    }
    failed_ = failed_ || !stopping_;
  }
  bool upload(const Client& client, int n) {
    static const std::string block(256UL * 1024, 'x');
    const std::string head = begin_request(target_, "POST", 'w', "sink", n);
    if (!client.send(head + fmt::format("Content-Length: {}\r\n\r\n", size_))) return false;
    for (std::uint64_t left = size_; left > 0;) {
      const ssize_t sent = ::send(client.fd(), block.data(), std::min<std::uint64_t>(left, block.size()), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      left -= static_cast<std::uint64_t>(sent);
      bytes_ += static_cast<std::uint64_t>(sent);
    }
    return client.read_head(200).ends_with("\r\n\r\n" + std::to_string(size_));
  }
  bool download(const Client& client, int n) {
    std::array<char, 64UL * 1024> buffer;
    if (!client.send(begin_request(target_, "GET", 's', "large", n) + "\r\n")) return false;
    const std::string begun = client.read_head(200);
    const std::uint64_t here = begun.size() - parse_answer(begun)->head;
    if (parse_answer(begun)->total - parse_answer(begun)->head != size_) return false;
    bytes_ += here;
    for (std::uint64_t left = size_ - here; left > 0;) {
      // MSG_TRUNC: what arrives is dropped by the kernel, so that the client is cheap.
      const ssize_t got = ::recv(client.fd(), buffer.data(), std::min<std::uint64_t>(left, buffer.size()), MSG_TRUNC);
      if (got <= 0) return false;
      left -= static_cast<std::uint64_t>(got);
      bytes_ += static_cast<std::uint64_t>(got);
    }
    return true;
  }

  const Target& target_;
  const bool up_;
  const std::uint64_t size_;
  std::vector<Client> clients_;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> failed_ = false;
};

/// Waits for whichever of many clients has something to read, until the time is over.
template <class Readable>
void poll_clients(const std::vector<Client>& clients, double for_seconds, Readable&& readable) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  for (std::size_t i = 0; i < clients.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd(), &event);
  }
  std::array<epoll_event, 256> events{};
  const auto end = SteadyClock::now() + seconds(for_seconds);
  while (SteadyClock::now() < end) {
    const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 100);
    for (int i = 0; i < count; ++i) readable(static_cast<std::size_t>(events[static_cast<std::size_t>(i)].data.u64));
  }
  ::close(epoll);
}

std::int64_t resident_kib(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
  throw std::runtime_error("no such process");
}

std::uint32_t percentile(std::vector<std::uint32_t>& sample, double fraction) {
  if (sample.empty()) throw std::runtime_error("nothing came");
  const auto at = static_cast<std::ptrdiff_t>(fraction * static_cast<double>(sample.size() - 1));
  std::nth_element(sample.begin(), sample.begin() + at, sample.end());
  return sample[static_cast<std::size_t>(at)];
}

std::vector<Client> open_websockets(const Target& target, int first, int count) {
  std::vector<Client> opened;
  for (int i = 0; i < count; ++i) {
    Client& client = opened.emplace_back(target);
    client.send(begin_request(target, "GET", 'w', "ws", first + i) +
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    client.read_head(101);
  }
  return opened;
}

/// Echoes a second, p50 and p99 of one in microseconds, KiB of `pid` for each idle WebSocket.
void websockets(const Target& target, int idle, int pid) {
  // Each active one has one frame on its way: binary, final, 64 bytes with a mask of zeros (RFC 6455 section 5.2).
  const std::string frame = std::string("\x82\xc0\0\0\0\0", 6) + std::string(64, 'e');
  const std::vector<Client> first = open_websockets(target, 0, 1);  // what one alone needs is not what each needs
  const std::int64_t before = resident_kib(pid);
  const std::vector<Client> idle_ones = open_websockets(target, 1, idle);
  const std::vector<Client> active = open_websockets(target, idle + 1, target.options.connections);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double each = static_cast<double>(resident_kib(pid) - before) / (idle + target.options.connections);

  std::vector<SteadyClock::time_point> sent(active.size());
  std::vector<std::size_t> arrived(active.size(), 0);
  std::vector<std::uint32_t> took;
  const auto send_one = [&](std::size_t i) {
    sent[i] = SteadyClock::now();
    if (!active[i].send(frame)) throw std::runtime_error("an active WebSocket was closed");
  };
  for (std::size_t i = 0; i < active.size(); ++i) send_one(i);
  poll_clients(active, target.options.seconds, [&](std::size_t i) {
    std::array<char, 256> bytes;
    const ssize_t got = ::recv(active[i].fd(), bytes.data(), frame.size() - arrived[i], 0);
    if (got <= 0) throw std::runtime_error("an active WebSocket was closed");
    arrived[i] += static_cast<std::size_t>(got);
    if (arrived[i] < frame.size()) return;
    arrived[i] = 0;
    const auto latency = std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - sent[i]);
    took.push_back(static_cast<std::uint32_t>(latency.count()));
    send_one(i);
  });
  for (const Client& client : idle_ones) {
    char byte = 0;
    if (::recv(client.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) != -1 || errno != EAGAIN)
      throw std::runtime_error("an idle WebSocket was closed");
  }
  const double rate = static_cast<double>(took.size()) / target.options.seconds;
  fmt::print("{:.0f} {} {} {:.1f}\n", rate, percentile(took, 0.5), percentile(took, 0.99), each);
}

/// How long one client's events were held: what came, taken apart.
void note_events(std::string& in, std::vector<std::uint32_t>& held) {
  constexpr std::string_view kBegin = "data: ";
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now().time_since_epoch()).count();
  std::size_t at = 0;
  while ((at = in.find(kBegin, at)) != std::string::npos && in.size() - at >= kBegin.size() + kStampDigits) {
    std::int64_t sent = 0;
    const char* const digits = in.data() + at + kBegin.size();
    const auto [end, error] = std::from_chars(digits, digits + kStampDigits, sent);
    if (error != std::errc() || end != digits + kStampDigits) throw std::runtime_error("not an event: " + in);
    held.push_back(static_cast<std::uint32_t>(std::max<std::int64_t>(now - sent, 0) / 1000));
    at += kBegin.size() + kStampDigits;
    in.erase(0, at);
    at = 0;
  }
}

/// Events a second, and how long they were held: p50, p99 and the longest in microseconds.
void events(const Target& target) {
  std::vector<Client> clients;
  for (int i = 0; i < target.options.connections; ++i) {
    const Client& client = clients.emplace_back(target);
    client.send(begin_request(target, "GET", 'w', "events", i) + "\r\n");
    client.read_head(200);
  }
  std::vector<std::string> in(clients.size());
  std::vector<std::uint32_t> held;
  const auto receive = [&](std::size_t i) {
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(clients[i].fd(), bytes.data(), bytes.size(), 0);
    if (got <= 0) throw std::runtime_error("a stream of events ended");
    in[i].append(bytes.data(), static_cast<std::size_t>(got));
    note_events(in[i], held);
  };
  constexpr double kSettle = 0.3;  // while the last clients come
  poll_clients(clients, kSettle, receive);
  held.clear();
  poll_clients(clients, target.options.seconds, receive);
  const double rate = static_cast<double>(held.size()) / target.options.seconds;
  const std::uint32_t longest = held.empty() ? 0 : *std::ranges::max_element(held);
  fmt::print("{:.0f} {} {} {}\n", rate, percentile(held, 0.5), percentile(held, 0.99), longest);
}

}  // namespace
}  // namespace ee::bench

int main(int argc, char** argv) {
  CLI::App app("loads of proxies");
  ee::bench::Target target;
  std::uint64_t size = 100UL * 1024 * 1024;
  int idle = 1000, pid = 0;
  app.add_option("--port", target.options.port)->required();
  app.add_option("--connections", target.options.connections);
  app.add_option("--seconds", target.options.seconds);
  app.add_option("--services", target.services);
  auto* origin = app.add_subcommand("origin", "serves on the port")->fallthrough();
  auto* up = app.add_subcommand("upload", "bytes a second")->fallthrough();
  auto* down = app.add_subcommand("download", "bytes a second")->fallthrough();
  for (auto* transfer : {up, down}) transfer->add_option("--bytes", size, "of one body");
  auto* sockets = app.add_subcommand("websockets", "echoes/s, p50 us, p99 us, KiB each")->fallthrough();
  sockets->add_option("--idle", idle);
  sockets->add_option("--pid", pid, "of the proxy")->required();
  auto* sse = app.add_subcommand("events", "events/s, held p50 us, p99 us, longest us")->fallthrough();
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  try {
    if (*origin) ee::bench::serve_origin(target.options.port);
    if (*up || *down) fmt::print("{:.0f}\n", ee::bench::Transfers(target, up->parsed(), size).run());
    if (*sockets) ee::bench::websockets(target, idle, pid);
    if (*sse) ee::bench::events(target);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
