#include "net/polled_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ee::net {
namespace {

boost::system::error_code last_error() {
  if (errno == EAGAIN || errno == EWOULDBLOCK) return asio::error::would_block;
  return {errno, boost::system::system_category()};
}

}  // namespace

std::unique_ptr<SocketPoller> SocketPoller::make(const Executor& executor) {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return nullptr;
  std::unique_ptr<SocketPoller> made(new SocketPoller(executor));
  boost::system::error_code error;
  made->epoll_.assign(fd, error);
  if (error) {
    ::close(fd);
    return nullptr;
  }
  made->wait();
  return made;
}

bool SocketPoller::add(int fd, PolledSocket& socket) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &socket;
  return ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void SocketPoller::remove(int fd, const PolledSocket& socket) {
  epoll_event ignored{};
  ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, fd, &ignored);
  for (epoll_event& event : left_)
    if (event.data.ptr == &socket) event.data.ptr = nullptr;
}

/// Starting to wait looks at the set anew, so nothing is missed that came since it was last read.
void SocketPoller::wait() {
  epoll_.async_wait(Descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (!error) on_ready();
  });
}

void SocketPoller::on_ready() {
  const int count = ::epoll_wait(epoll_.native_handle(), events_.data(), static_cast<int>(events_.size()), 0);
  left_ = std::span(events_).first(static_cast<std::size_t>(std::max(count, 0)));
  while (!left_.empty()) {
    const epoll_event event = left_.front();
    left_ = left_.subspan(1);
    if (event.data.ptr != nullptr) static_cast<PolledSocket*>(event.data.ptr)->on_events(event.events);
  }
  wait();
}

std::shared_ptr<PolledSocket> PolledSocket::take(SocketPoller* poller, Socket& socket,
                                                 std::shared_ptr<PolledUser> user) {
  if (poller == nullptr) return nullptr;
  std::shared_ptr<PolledSocket> taken(new PolledSocket(*poller, std::move(user)));
  const int fd = socket.native_handle();
  if (!poller->add(fd, *taken)) return nullptr;
  boost::system::error_code error;
  socket.release(error);
  if (error) {
    poller->remove(fd, *taken);
    return nullptr;
  }
  taken->fd_ = fd;
  return taken;
}

void PolledSocket::read_later(std::span<char> room) {
  room_ = room;
  if (can_read_) go_on_soon();
}

void PolledSocket::write_later(std::string_view bytes) {
  output_ = bytes;
  if (can_write_) go_on_soon();
}

void PolledSocket::go_on_soon() {
  if (!user_ || std::exchange(posted_, true)) return;
  asio::post(poller_.executor_, [self = shared_from_this()] {
    self->posted_ = false;
    self->go_on();
  });
}

void PolledSocket::on_events(std::uint32_t events) {
  constexpr std::uint32_t kBroken = EPOLLHUP | EPOLLERR;
  constexpr std::uint32_t kAskAgain = EPOLLRDHUP | EPOLLPRI | kBroken;
  if ((events & kAskAgain) != 0) ask_again_ = true;
  if ((events & (EPOLLIN | kAskAgain)) != 0) can_read_ = true;
  if ((events & (EPOLLOUT | kBroken)) != 0) can_write_ = true;
  go_on();
}

void PolledSocket::go_on() {
  const std::shared_ptr<PolledSocket> self = shared_from_this();
  const std::shared_ptr<PolledUser> user = user_;  // a result may make it close us
  if (user_ && can_write_ && !output_.empty()) {
    const std::string_view bytes = std::exchange(output_, {});
    boost::system::error_code error;
    const std::size_t written = write_some(bytes, error);
    if (error == asio::error::would_block)
      output_ = bytes;
    else
      user->on_written(error, written);
  }
  if (user_ && can_read_ && !room_.empty()) {
    const std::span<char> room = std::exchange(room_, {});
    boost::system::error_code error;
    const std::size_t got = read_some(room, error);
    if (error == asio::error::would_block)
      room_ = room;
    else
      user->on_read(error, got);
  }
}

std::size_t PolledSocket::read_some(std::span<char> room, boost::system::error_code& error) {
  ssize_t count = 0;
  do {
    count = ::recv(fd_, room.data(), room.size(), 0);
  } while (count < 0 && errno == EINTR);
  if (count > 0) {
    const auto got = static_cast<std::size_t>(count);
    // epoll(7): less than was asked for means that nothing is left, and the next byte is an edge.
    if (got < room.size() && !ask_again_) can_read_ = false;
    return got;
  }
  if (count == 0)
    error = asio::error::eof;
  else
    error = last_error();
  if (error == asio::error::would_block) can_read_ = false;
  return 0;
}

std::size_t PolledSocket::write_some(std::string_view bytes, boost::system::error_code& error) {
  if (bytes.empty()) return 0;
  ssize_t count = 0;
  do {
    count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  if (count < 0) error = last_error();
  const auto written = static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  if (written < bytes.size()) can_write_ = false;
  return written;
}

void PolledSocket::shut_down_output() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_WR);
}

void PolledSocket::close() {
  if (fd_ < 0) return;
  poller_.remove(fd_, *this);
  ::close(std::exchange(fd_, -1));
  room_ = {};
  output_ = {};
  user_.reset();  // last: it may be all that keeps us
}

}  // namespace ee::net
