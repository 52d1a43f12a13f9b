#include "net/proxy/upstream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>

namespace ee::net {
namespace {

constexpr std::size_t kRead = 32UL * 1024;
constexpr std::size_t kSmallRead = 4UL * 1024;
constexpr std::size_t kTlsRead = 17UL * 1024;  ///< a record and its frame
constexpr std::size_t kKeptBytes = 4096;

asio::generic::stream_protocol::endpoint endpoint_of(const IpAddress& address, std::uint16_t port) {
  if (address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes.data() + 12, sizeof v4.sin_addr);
    return {&v4, sizeof v4};
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes.data(), sizeof v6.sin6_addr);
  return {&v6, sizeof v6};
}

}  // namespace

Upstream::Upstream(IoLoop& loop, const ForwardTarget& target)
    : loop_(loop), socket_(loop.executor()), target_(target) {}

void Upstream::connect() {
  const auto endpoint = endpoint_of(target_.address, target_.port);
  boost::system::error_code error;
  socket_.open(endpoint.protocol(), error);
  if (!error) socket_.non_blocking(true, error);
  if (error) {
    loop_.post([self = shared_from_this()] { self->end(false); });
    return;
  }
  const int on = 1;
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  socket_.async_connect(endpoint, [self = shared_from_this()](const boost::system::error_code& result) {
    self->on_tcp_connected(result);
  });
}

void Upstream::on_tcp_connected(const boost::system::error_code& error) {
  if (closed_) return;
  if (error) return end(false);
  tcp_connected_ = true;
  polled_ = PolledSocket::take(loop_.poller(), socket_, shared_from_this());
  if (!target_.tls) {
    ready_ = true;
    if (user_) user_->on_connected();
    return;
  }
  tls_ = target_.tls->new_session(target_.server_name);
  std::string nothing;
  if (!tls_ || !tls_->receive({}, nothing, wire_)) return end(false);
  flush();
  read();
}

std::size_t Upstream::write_some(std::string_view bytes, boost::system::error_code& error) {
  return polled_ ? polled_->write_some(bytes, error) : socket_.write_some(asio::buffer(bytes), error);
}

std::size_t Upstream::send(std::string_view bytes) {
  if (closed_ || broken_) return 0;
  if (!tls_ && !writing_ && out_.empty()) {
    boost::system::error_code error;
    const std::size_t written = write_some(bytes, error);
    if (error && error != asio::error::would_block) {
      broken_ = true;  // an answer may have arrived before; reading tells
      return 0;
    }
    if (!error) {
      bytes.remove_prefix(written);
      taken_ += written;
    }
    if (bytes.empty()) return 0;
  }
  out_ += bytes;
  flush();
  return unsent();
}

void Upstream::flush() {
  if (writing_ || closed_ || broken_) return;
  if (tls_) {
    if (!out_.empty() && !tls_->send(out_, wire_)) {
      broken_ = true;
      return;
    }
    out_.clear();
    if (half_closing_) tls_->close(wire_);
  }
  std::string& ready = tls_ ? wire_ : out_;
  if (ready.empty()) {
    boost::system::error_code ignored;
    if (half_closing_ && polled_)
      polled_->shut_down_output();
    else if (half_closing_)
      socket_.shutdown(Socket::shutdown_send, ignored);
    return;
  }
  sending_.swap(ready);
  ready.clear();
  sent_ = 0;
  writing_ = true;
  write_rest();
}

void Upstream::write_rest() {
  const std::string_view rest = std::string_view(sending_).substr(sent_);
  if (polled_) return polled_->write_later(rest);
  socket_.async_write_some(asio::buffer(rest),
                           [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
                             self->on_written(error, bytes);
                           });
}

void Upstream::on_written(const boost::system::error_code& error, std::size_t bytes) {
  if (closed_) return;
  sent_ += bytes;
  taken_ += bytes;
  if (!error && sent_ < sending_.size()) return write_rest();
  writing_ = false;
  sent_ = 0;
  sending_.clear();
  if (sending_.capacity() > kKeptBytes) sending_ = {};
  if (error) {
    broken_ = true;
    out_.clear();
  }
  flush();
  if (!writing_ && ready_ && user_) user_->on_sent();
}

void Upstream::want(bool wanted, bool small) {
  wanted_ = wanted;
  small_ = small;
  read();
}

void Upstream::read() {
  if (reading_ || ended_ || closed_ || (ready_ && !wanted_)) return;
  reading_ = true;
  const std::span<char> room = tls_ ? tls_in_.prepare(kTlsRead) : in_.prepare(small_ || !much_ ? kSmallRead : kRead);
  if (polled_) return polled_->read_later(room);
  socket_.async_read_some(asio::buffer(room.data(), room.size()),
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
                            self->on_read(error, bytes);
                          });
}

void Upstream::on_read(const boost::system::error_code& error, std::size_t bytes) {
  reading_ = false;
  if (closed_) return;
  // Over TLS only the closing alert is a clean end: anybody on the way could forge the other one.
  if (error) return end(error == asio::error::eof && !tls_);
  much_ = much_ || bytes >= kSmallRead;
  if (!take_in(bytes)) return end(false);
  if (!in_.empty() && user_) user_->on_received();
  if (closed_) return;
  if (tls_ && tls_->peer_closed()) return end(true);
  read();
}

/// False when TLS failed.
bool Upstream::take_in(std::size_t bytes) {
  if (!tls_) {
    in_.commit(bytes);
    return true;
  }
  tls_in_.commit(bytes);
  std::string plain;
  const bool fine = tls_->receive(tls_in_.view(), plain, wire_);
  tls_in_.clear();
  in_.append(plain);
  flush();
  if (fine && !ready_ && tls_->established()) {
    ready_ = true;
    if (user_) user_->on_connected();
  }
  return fine;
}

void Upstream::half_close() {
  half_closing_ = true;
  flush();
}

void Upstream::end(bool clean) {
  if (ended_ || closed_) return;
  ended_ = true;
  if (user_) user_->on_ended(clean);
}

void Upstream::close() {
  user_ = nullptr;
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (polled_) polled_->close();
}

bool Upstream::is_idle_and_open() {
  if (closed_) return false;
  char byte = 0;
  const int fd = polled_ ? polled_->fd() : socket_.native_handle();
  const ssize_t count = ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return !ended_ && !broken_ && in_.empty() && count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void Upstream::prepare_for_pool() {
  user_ = nullptr;
  wanted_ = much_ = false;
  if (!reading_) in_.shrink_if_empty(kSmallRead);
}

}  // namespace ee::net
