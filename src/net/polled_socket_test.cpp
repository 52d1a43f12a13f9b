#include "net/polled_socket.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ee::net {
namespace {

/// Both ends of a TCP connection of this machine; the near one does not block.
struct Pair {
  Pair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    far = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 1) != 0 || ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        ::connect(far, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("no connection");
    near = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ::close(listener);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  ~Pair() { close_far(); }

  void send(std::string_view bytes) const {
    ASSERT_EQ(::send(far, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  std::size_t receive() const {
    std::array<char, 65536> buffer{};
    return static_cast<std::size_t>(std::max<ssize_t>(::recv(far, buffer.data(), buffer.size(), 0), 0));
  }
  void close_far() {
    if (far >= 0) ::close(far);
    far = -1;
  }

  int near = -1;  ///< whoever takes it closes it
  int far = -1;
};

/// Keeps what it is told, and reads on unless told to wait.
struct Reader final : PolledUser, std::enable_shared_from_this<Reader> {
  explicit Reader(std::size_t room) : bytes(room, '\0') {}
  void on_read(const boost::system::error_code& error, std::size_t count) override {
    ++reads;
    last_error = error;
    received.append(bytes, 0, count);
    if (then) then();
    if (!error && reads_on) read();
  }
  void on_written(const boost::system::error_code& error, std::size_t count) override {
    last_error = error;
    written += count;
  }
  void read() { socket->read_later({bytes.data(), bytes.size()}); }

  std::shared_ptr<PolledSocket> socket;
  std::string bytes;
  bool reads_on = true;
  std::function<void()> then;
  int reads = 0;
  std::string received;
  std::size_t written = 0;
  boost::system::error_code last_error;
};

class PolledSocketTest : public ::testing::Test {
 protected:
  ~PolledSocketTest() override {
    for (const auto& reader : readers_) reader->socket->close();
  }

  Socket asio_socket(const Pair& pair) {
    Socket socket(context_.get_executor());
    socket.assign(asio::generic::stream_protocol(AF_INET, 0), pair.near);
    socket.non_blocking(true);
    return socket;
  }
  std::shared_ptr<Reader> take(Socket& socket, std::size_t room) {
    auto reader = std::make_shared<Reader>(room);
    reader->socket = PolledSocket::take(poller_.get(), socket, reader);
    if (!reader->socket) throw std::runtime_error("not taken");
    readers_.push_back(reader);
    return reader;
  }
  std::shared_ptr<Reader> take(const Pair& pair, std::size_t room = 4096) {
    Socket socket = asio_socket(pair);
    return take(socket, room);
  }
  bool run_until(const std::function<bool()>& done) {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!done() && std::chrono::steady_clock::now() < patience) context_.run_one_for(std::chrono::milliseconds(20));
    return done();
  }
  /// Has everything that is here already handled.
  void run_all() {
    while (context_.run_one_for(std::chrono::milliseconds(20)) > 0) {
    }
  }

  asio::io_context context_{1};
  std::unique_ptr<SocketPoller> poller_ = SocketPoller::make(context_.get_executor());
  std::vector<std::shared_ptr<Reader>> readers_;
};

TEST_F(PolledSocketTest, ReadsWhatComesAndTheEndBehindIt) {
  Pair pair;
  const auto reader = take(pair);
  reader->read();
  run_all();
  EXPECT_EQ(reader->reads, 0);
  pair.send("one");
  ASSERT_TRUE(run_until([&] { return reader->received == "one"; }));
  pair.send("two");  // with the end, in one event
  pair.close_far();
  ASSERT_TRUE(run_until([&] { return reader->last_error == asio::error::eof; }));
  EXPECT_EQ(reader->received, "onetwo");
}

TEST_F(PolledSocketTest, ServesAReadThatIsAskedForAfterTheEvent) {
  Pair pair;
  const auto reader = take(pair);
  reader->reads_on = false;
  pair.send("early");
  run_all();
  EXPECT_EQ(reader->reads, 0);
  reader->read();
  EXPECT_EQ(reader->reads, 0) << "never inside the call";
  ASSERT_TRUE(run_until([&] { return reader->received == "early"; }));
  pair.send("late");
  pair.close_far();
  run_all();
  EXPECT_EQ(reader->received, "early");
  reader->reads_on = true;
  reader->read();
  ASSERT_TRUE(run_until([&] { return reader->last_error == asio::error::eof; }));
  EXPECT_EQ(reader->received, "earlylate");
}

TEST_F(PolledSocketTest, ReadsMoreThanThereIsRoomForPieceByPiece) {
  Pair pair;
  const auto reader = take(pair, 1000);
  const std::string sent = [] {
    std::string text;
    for (int i = 0; i < 10'000; ++i) text += std::to_string(i);
    return text;
  }();
  pair.send(sent);
  reader->read();
  ASSERT_TRUE(run_until([&] { return reader->received.size() >= sent.size(); }));
  EXPECT_EQ(reader->received, sent);
  EXPECT_GE(reader->reads, static_cast<int>(sent.size() / 1000));
}

TEST_F(PolledSocketTest, WritesOnWhenTheSocketTakesMore) {
  Pair pair;
  const auto reader = take(pair);
  const std::string block(65536, 'w');
  std::size_t sent = 0;
  boost::system::error_code error;
  while (!error) sent += reader->socket->write_some(block, error);
  EXPECT_EQ(error, asio::error::would_block);
  reader->socket->write_later(block);
  std::size_t received = 0;
  while (reader->written == 0 && received < sent) {
    received += pair.receive();
    run_all();
  }
  EXPECT_GT(reader->written, 0U);
  EXPECT_FALSE(reader->last_error);
  while (received < sent + reader->written) {
    const std::size_t more = pair.receive();
    ASSERT_GT(more, 0U);
    received += more;
  }
  EXPECT_EQ(received, sent + reader->written);
  reader->socket->shut_down_output();
  EXPECT_EQ(pair.receive(), 0U);
}

TEST_F(PolledSocketTest, WritesThatNothingHoldsUpNeedNoEvent) {
  Pair pair;
  const auto reader = take(pair);
  run_all();
  reader->socket->write_later("now");
  EXPECT_EQ(reader->written, 0U) << "never inside the call";
  ASSERT_TRUE(run_until([&] { return reader->written == 3; }));
  EXPECT_EQ(pair.receive(), 3U);
}

TEST_F(PolledSocketTest, OneThatIsClosedHearsOfNothingThatWasOnItsWay) {
  Pair first;
  Pair second;
  const auto a = take(first);
  const auto b = take(second);
  a->then = [&] { b->socket->close(); };
  b->then = [&] { a->socket->close(); };
  a->reads_on = b->reads_on = false;
  a->read();
  b->read();
  run_all();
  first.send("x");  // both are told of in one batch
  second.send("x");
  run_all();
  EXPECT_EQ(a->reads + b->reads, 1);
  EXPECT_EQ(a->socket->fd() < 0 ? first.receive() : second.receive(), 0U) << "the other one is closed";
}

TEST_F(PolledSocketTest, ClosesInsideItsOwnResult) {
  Pair pair;
  const auto reader = take(pair);
  reader->then = [&] { reader->socket->close(); };
  reader->read();
  pair.send("x");
  ASSERT_TRUE(run_until([&] { return reader->reads == 1; }));
  EXPECT_EQ(pair.receive(), 0U);
  run_all();
  EXPECT_EQ(reader->reads, 1);
}

TEST_F(PolledSocketTest, TellsOfAReset) {
  Pair pair;
  const auto reader = take(pair);
  reader->read();
  const linger none{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(pair.far, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  pair.close_far();
  ASSERT_TRUE(run_until([&] { return reader->reads == 1; }));
  EXPECT_EQ(reader->last_error, asio::error::connection_reset);
}

TEST_F(PolledSocketTest, EndsWhatAsioHadUnderWayAndLosesNothing) {
  Pair pair;
  Socket socket = asio_socket(pair);
  std::array<char, 16> unused{};
  boost::system::error_code result;
  socket.async_read_some(asio::buffer(unused),
                         [&](const boost::system::error_code& error, std::size_t) { result = error; });
  const auto reader = take(socket, 4096);
  EXPECT_FALSE(socket.is_open());
  pair.send("for the new one");
  reader->read();
  ASSERT_TRUE(run_until([&] { return reader->received == "for the new one"; }));
  EXPECT_EQ(result, asio::error::operation_aborted);
}

TEST_F(PolledSocketTest, LeavesTheSocketToAsioWhenThereIsNoPoller) {
  Pair pair;
  Socket socket = asio_socket(pair);
  EXPECT_EQ(PolledSocket::take(nullptr, socket, std::make_shared<Reader>(1)), nullptr);
  EXPECT_TRUE(socket.is_open());
}

}  // namespace
}  // namespace ee::net
