#pragma once
// Inside of net: TCP sockets that are read once for each message.
#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "net/asio.h"

namespace ee::net {

class PolledSocket;

/// Whom a polled socket tells, on its loop's thread and never inside a call of the socket. Results are those of Asio's
/// `async_read_some` and `async_write_some`.
class PolledUser {
 public:
  virtual void on_read(const boost::system::error_code& error, std::size_t bytes) = 0;
  virtual void on_written(const boost::system::error_code& error, std::size_t bytes) = 0;

 protected:
  ~PolledUser() = default;
};

/// A second epoll set of one loop, edge-triggered and itself watched by the loop. Asio asks each socket again after
/// each read, for the answer that there is nothing, and handles each event as an operation of its own; where messages
/// are small that is a large part of all work. Belongs to its loop's thread.
class SocketPoller {
 public:
  /// Nothing when the system has no descriptor or memory for it.
  static std::unique_ptr<SocketPoller> make(const Executor& executor);

 private:
  friend class PolledSocket;
  static constexpr std::size_t kBatch = 128;  ///< then the loop's other work has its turn

  explicit SocketPoller(const Executor& executor) : executor_(executor), epoll_(executor) {}
  bool add(int fd, PolledSocket& socket);
  /// No event comes any more, not even one that is here already.
  void remove(int fd, const PolledSocket& socket);
  void wait();
  void on_ready();

  const Executor executor_;
  Descriptor epoll_;
  std::array<epoll_event, kBatch> events_{};
  std::span<epoll_event> left_;  ///< of them, those that nobody was told of yet
};

/// A connected TCP socket of a poller: at most one read and one write under way, as with Asio. `close` must be called:
/// until then the socket and its user keep each other.
class PolledSocket final : public std::enable_shared_from_this<PolledSocket> {
 public:
  /// Takes the socket out of Asio's hands, which ends what is under way there with `operation_aborted`. Nothing when
  /// that cannot be done, or without a poller: then `socket` is as it was.
  static std::shared_ptr<PolledSocket> take(SocketPoller* poller, Socket& socket, std::shared_ptr<PolledUser> user);

  /// `room` and `bytes` stay where they are until the result comes.
  void read_later(std::span<char> room);
  void write_later(std::string_view bytes);
  /// At once, as much as the socket takes; `would_block` when that is nothing.
  std::size_t write_some(std::string_view bytes, boost::system::error_code& error);
  /// The peer sees the end of file.
  void shut_down_output();
  /// Results that have not come will not come.
  void close();
  int fd() const { return fd_; }

 private:
  friend class SocketPoller;
  PolledSocket(SocketPoller& poller, std::shared_ptr<PolledUser> user) : poller_(poller), user_(std::move(user)) {}
  void on_events(std::uint32_t events);
  void go_on();
  void go_on_soon();
  std::size_t read_some(std::span<char> room, boost::system::error_code& error);

  SocketPoller& poller_;
  std::shared_ptr<PolledUser> user_;  ///< none: closed
  int fd_ = -1;
  // Edges are told once, so what is known of the socket is kept. At first: that it must be asked.
  bool can_read_ = true;
  bool can_write_ = true;
  bool ask_again_ = false;  ///< a short read does not mean that nothing is left: an end or an error waits behind it
  bool posted_ = false;
  std::span<char> room_;     ///< of the read under way
  std::string_view output_;  ///< of the write under way
};

}  // namespace ee::net
