#include "agent/port_pipe.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace ee::agent {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// A blocking socket that gives up after some seconds, so that a broken pipe fails the test and does not hang it.
class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { ::close(descriptor_); }

  static int connected(std::uint16_t port) {
    const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    EXPECT_EQ(::connect(made, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return made;
  }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  void end() const { ::shutdown(descriptor_, SHUT_WR); }
  void connect(std::uint16_t port) const {
    const sockaddr_in address = loopback(port);
    EXPECT_EQ(::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  void expect_nothing_for(Milliseconds time) const {
    pollfd polled{.fd = descriptor_, .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&polled, 1, static_cast<int>(time.count())), 0);
  }
  /// What comes until the other side ends; a reset ends it too.
  std::string read_all() const {
    std::string out;
    char piece[65536];
    for (ssize_t count = 1; count > 0;) {
      count = ::recv(descriptor_, piece, sizeof piece, 0);
      if (count > 0) out.append(piece, static_cast<std::size_t>(count));
    }
    return out;
  }

 private:
  int descriptor_;
};

/// Answers each connection, when it has said all, with what it said, twice.
class Echo {
 public:
  Echo() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
    thread_ = std::jthread([this] { serve(); });
  }
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;
  ~Echo() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::uint16_t port = 0;

 private:
  void serve() const {
    std::vector<std::jthread> served;
    for (int one = ::accept(listener_, nullptr, nullptr); one >= 0; one = ::accept(listener_, nullptr, nullptr))
      served.emplace_back([one] {
        const Socket socket(one);
        const std::string said = socket.read_all();
        socket.send(said + said);
        socket.end();
      });
  }
  int listener_;
  std::jthread thread_;
};

struct Piped {
  explicit Piped(std::uint16_t target, Milliseconds idle_timeout = PortPipe::kIdleTimeout)
      : pipe(std::move(PortPipe::start({"127.0.0.1", 0}, {"127.0.0.1", target}, idle_timeout).value())),
        thread([this](const std::stop_token& stop) { pipe->run(stop); }) {}
  std::unique_ptr<PortPipe> pipe;
  std::jthread thread;
};

TEST(PortPipe, PassesBytesBothWaysAndEachEnd) {
  const Echo echo;
  const Piped piped(echo.port);
  const std::string much(3'000'000, 'x');  // more than sockets and buffers hold
  for (const std::string& said : {std::string("hello"), std::string(), much}) {
    const Socket client(Socket::connected(piped.pipe->port()));
    client.send(said);
    client.end();
    EXPECT_EQ(client.read_all(), said + said);
  }
}

TEST(PortPipe, ServesMoreThanItHoldsAtOnce) {
  const Echo echo;
  const Piped piped(echo.port);
  std::vector<std::unique_ptr<Socket>> clients;
  for (std::size_t i = 0; i < PortPipe::kMaxConnections + 8; ++i) {
    clients.push_back(std::make_unique<Socket>(Socket::connected(piped.pipe->port())));
    clients.back()->send(std::to_string(i));
  }
  for (std::size_t i = 0; i < clients.size(); ++i) {
    clients[i]->end();
    EXPECT_EQ(clients[i]->read_all(), std::to_string(i) + std::to_string(i));
  }
}

TEST(PortPipe, NobodyThereEndsTheConnection) {
  std::uint16_t nobody = 0;
  {
    const Echo echo;
    nobody = echo.port;
  }
  const Piped piped(nobody);
  const Socket client(Socket::connected(piped.pipe->port()));
  EXPECT_EQ(client.read_all(), "");
}

TEST(PortPipe, AnIdleConnectionIsDroppedAndMakesRoom) {
  const Echo echo;
  const Piped piped(echo.port, Milliseconds(100));
  std::vector<std::unique_ptr<Socket>> silent;
  for (std::size_t i = 0; i < PortPipe::kMaxConnections; ++i)
    silent.push_back(std::make_unique<Socket>(Socket::connected(piped.pipe->port())));
  const Socket client(Socket::connected(piped.pipe->port()));  // waits until one of them is gone
  client.send("hello");
  client.end();
  EXPECT_EQ(client.read_all(), "hellohello");
  for (const auto& one : silent) EXPECT_EQ(one->read_all(), "") << "dropped before the patience of the test is over";
}

std::ptrdiff_t open_descriptors() { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); }

TEST(PortPipe, WaitsWhenDescriptorsRanOut) {
  const Echo echo;
  const Piped piped(echo.port);
  const std::ptrdiff_t idle = open_descriptors();
  {
    // Once through before the limit: the sanitizers want descriptors of their own for what they have not seen yet.
    const Socket first(Socket::connected(piped.pipe->port()));
    first.send("x");
    first.end();
    ASSERT_EQ(first.read_all(), "xx");
  }
  for (int turn = 0; open_descriptors() > idle; ++turn) {
    ASSERT_LT(turn, 10'000) << "the pipe kept a descriptor";
    std::this_thread::yield();
  }
  const Socket client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // The lowest free descriptor is the first that is not allowed: all below it are taken, and stay so.
  const int free = ::dup(2);
  ASSERT_GT(free, 2);
  ::close(free);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(free);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  client.connect(piped.pipe->port());
  client.send("x");
  client.end();
  client.expect_nothing_for(Milliseconds(700));
  const std::uint64_t failed = piped.pipe->failed_accepts();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_GE(failed, 1U);
  EXPECT_LE(failed, 5U) << "one in half a second, not as fast as it can";
  EXPECT_EQ(client.read_all(), "xx") << "it waited in the kernel's queue";
}

TEST(PortPipe, AStopDropsWhatIsOpen) {
  const Echo echo;
  Piped piped(echo.port);
  const Socket client(Socket::connected(piped.pipe->port()));
  client.send("x");
  piped.thread.request_stop();
  piped.thread.join();
  piped.pipe.reset();
  EXPECT_EQ(client.read_all(), "");
}

TEST(PortPipe, APortThatIsTakenOrNoAddressIsAnError) {
  const Echo echo;
  EXPECT_FALSE(PortPipe::start({"127.0.0.1", echo.port}, {"127.0.0.1", 1}));
  EXPECT_FALSE(PortPipe::start({"registry", 5000}, {"127.0.0.1", 1}));
  EXPECT_FALSE(PortPipe::start({"127.0.0.1", 0}, {"host", 5000}));
}

}  // namespace
}  // namespace ee::agent
