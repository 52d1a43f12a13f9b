#include "net/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

namespace ee::net {
namespace {

constexpr std::size_t kMinRead = 1024;
constexpr std::size_t kBodyRead = 16UL * 1024;
constexpr std::size_t kMaxBodyRead = 64UL * 1024;  // of a body whose length is announced
constexpr std::size_t kFlushBytes = 64UL * 1024;
constexpr std::size_t kKeptBytes = 4096;  // of a buffer's memory, for the next request
constexpr std::size_t kMaxLinger = 1024UL * 1024;
constexpr std::size_t kTlsRead = 17UL * 1024;  ///< a record and its frame

}  // namespace

Connection::Connection(ServerState& state, IoLoop& loop, Socket socket, std::string peer_address,
                       std::string address_key)
    : state_(state),
      loop_(loop),
      socket_(std::move(socket)),
      peer_address_(std::move(peer_address)),
      address_key_(std::move(address_key)),
      peer_(parse_ip(peer_address_)),
      peer_trusted_(peer_ && state.proxies.trusts(*peer_)),
      reader_(state.config.head) {}

void Connection::start() {
  boost::system::error_code error;
  socket_.non_blocking(true, error);
  if (error) return close();
  if (peer_) {
    const int on = 1;
    ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // Not for unix sockets: they may give less than there is.
    polled_ = PolledSocket::take(loop_.poller(), socket_, shared_from_this());
  }
  if (const auto context = state_.tls()) tls_ = context->new_session();
  now_ = state_.clock.steady_now();
  deadline_ = now_ + (tls_ ? state_.config.header_timeout : state_.config.idle_timeout);
  want_read();
}

void Connection::want_read() {
  if (reading_ || end_of_file_ || phase_ == State::closed) return;
  // Pipelined requests, and bodies that their handler does not want yet, wait in the socket.
  const bool takes_body = phase_ == State::stream && !stream_->body_done;
  const std::size_t limit = takes_body ? kBodyRead : state_.config.head.max_bytes + kBodyRead;
  if (in_.size() >= limit) return;
  const std::size_t wanted = bytes_to_read(takes_body);
  const std::span<char> room = (tls_ ? tls_in_ : in_).prepare(wanted);
  reading_ = true;
  if (polled_) return polled_->read_later(room);
  socket_.async_read_some(asio::buffer(room.data(), room.size()),
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
                            self->on_read(error, bytes);
                          });
}

/// What of a body is announced, within bounds: each further read costs two system calls, and a short rest needs no more
/// room than a head.
std::size_t Connection::bytes_to_read(bool takes_body) const {
  if (tls_) return kTlsRead;
  if (phase_ == State::body && !chunks_) return std::clamp<std::uint64_t>(body_left_, kMinRead, kMaxBodyRead);
  return phase_ == State::body || phase_ == State::linger || takes_body ? kBodyRead : kMinRead;
}

void Connection::on_read(const boost::system::error_code& error, std::size_t bytes) {
  reading_ = false;
  if (phase_ == State::closed) return;
  now_ = state_.clock.steady_now();
  loop_.count_received(bytes);
  if (error) return on_peer_gone(error == asio::error::eof);
  if (!take_in(bytes)) return;
  if (phase_ == State::linger) {
    lingered_ += bytes;
    in_.clear();
    if (lingered_ > kMaxLinger || end_of_file_) return close();
    return want_read();
  }
  process();
}

/// False when the connection is over.
bool Connection::take_in(std::size_t bytes) {
  if (!tls_) {
    in_.commit(bytes);
    return true;
  }
  tls_in_.commit(bytes);
  const bool was_established = tls_->established();
  std::string plain;
  const bool fine = tls_->receive(tls_in_.view(), plain, wire_);
  tls_in_.clear();
  in_.append(plain);
  if (!was_established && tls_->established()) deadline_ = now_ + state_.config.idle_timeout;
  if (tls_->peer_closed()) end_of_file_ = true;
  if (end_of_file_ && handling_) handling_->stop.request_stop();
  flush();
  if (!fine) close();
  return phase_ != State::closed;
}

void Connection::on_peer_gone(bool end_of_file) {
  if (!end_of_file || phase_ == State::linger) return close();
  // Half-closed: requests already here are still answered, but whoever waits for the answer may be gone. A streamed
  // exchange ends; only in a tunnel each side ends by itself.
  end_of_file_ = true;
  if (handling_) handling_->stop.request_stop();
  process();
}

void Connection::process() {
  if (processing_ || phase_ == State::closed) return;
  processing_ = true;
  do {
    bool progress = true;
    while (progress && !closing_) {
      if (phase_ == State::stream)
        progress = read_stream();
      else if (phase_ == State::head)
        progress = !writing_ && read_head();
      else if (phase_ == State::body)
        progress = !writing_ && read_body();
      else
        progress = false;
      if (out_.size() > kFlushBytes) flush();
    }
    flush();
  } while (deliver_drained());
  processing_ = false;
  if (phase_ == State::closed) return;
  if (broken_) return close();
  if (end_of_file_ && phase_ == State::stream && !stream_->tunnel) return close();
  if (end_of_file_ && !writing_ && (phase_ == State::head || phase_ == State::body)) return close();
  if (phase_ == State::head && !reading_) in_.shrink_if_empty(kKeptBytes);
  want_read();
}

void Connection::flush() {
  if (writing_ || broken_ || phase_ == State::closed) return;
  const bool ends = closing_ || (stream_ && stream_->output_ended);
  if (tls_) {
    if (!out_.empty() && !tls_->send(out_, wire_)) return fail();
    out_.clear();
    if (ends && !std::exchange(tls_closed_, true)) tls_->close(wire_);
  }
  std::string& ready = tls_ ? wire_ : out_;
  sending_.swap(ready);
  std::size_t written = 0;
  if (!sending_.empty()) {
    boost::system::error_code error;
    written = write_some(sending_, error);
    if (error == asio::error::would_block)
      written = 0;
    else if (error)
      return fail();
  }
  if (written == sending_.size()) {
    sending_.clear();
    sending_.swap(ready);  // its memory is used again
    if (ready.capacity() > kKeptBytes && !stream_) ready = {};
    if (closing_ && phase_ != State::linger) begin_linger();
    if (ends && phase_ == State::stream) shut_down_output();
    return;
  }
  sent_ = written;
  writing_ = true;
  write_rest();
}

/// The socket is of no more use. A stream's handler that is writing right now hears of it when it has returned.
void Connection::fail() {
  if (!stream_) return close();
  if (std::exchange(broken_, true) || processing_) return;
  loop_.post([self = shared_from_this()] { self->close(); });
}

std::size_t Connection::write_some(std::string_view bytes, boost::system::error_code& error) {
  return polled_ ? polled_->write_some(bytes, error) : socket_.write_some(asio::buffer(bytes), error);
}

void Connection::shut_down_output() {
  boost::system::error_code ignored;
  if (polled_)
    polled_->shut_down_output();
  else
    socket_.shutdown(Socket::shutdown_send, ignored);
}

void Connection::write_rest() {
  write_deadline_ = now_ + (stream_ ? stream_->write_stall : state_.config.write_stall_timeout);
  const std::string_view rest = std::string_view(sending_).substr(sent_);
  if (polled_) return polled_->write_later(rest);
  socket_.async_write_some(asio::buffer(rest),
                           [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
                             self->on_written(error, bytes);
                           });
}

void Connection::on_written(const boost::system::error_code& error, std::size_t bytes) {
  if (phase_ == State::closed) return;
  if (error) return close();
  now_ = state_.clock.steady_now();
  sent_ += bytes;
  if (sent_ < sending_.size()) return write_rest();
  writing_ = false;
  sending_.clear();
  if (sending_.capacity() > kKeptBytes && !stream_) sending_ = {};
  if (phase_ == State::head && !head_started_) deadline_ = now_ + state_.config.idle_timeout;
  process();
}

/// A socket closed with unread bytes in it resets the connection, and the peer may never see the answer (RFC 9112
/// section 9.6). So: say that nothing more comes, and read for a moment.
void Connection::begin_linger() {
  if (end_of_file_) return close();
  shut_down_output();
  phase_ = State::linger;
  deadline_ = now_ + state_.config.linger_timeout;
  in_.clear();
  want_read();
}

void Connection::sweep(SteadyTime now) {
  if (phase_ == State::closed) return;
  now_ = now;
  if (writing_ && now >= write_deadline_) return reset();
  if (phase_ == State::stream) {
    const std::shared_ptr<StreamHandler> handler = stream_->handler;
    return handler->on_tick(now);
  }
  if (phase_ == State::body && !discarding_ && state_.config.min_body_rate_bytes > 0) {
    const auto window_ms = static_cast<std::uint64_t>(state_.config.body_rate_window.count());
    if (body_rate_.too_slow(now, state_.config.min_body_rate_bytes * window_ms / 1000)) return on_timeout();
  }
  if (now >= deadline_ && !(writing_ && phase_ == State::head)) on_timeout();
}

void Connection::on_timeout() {
  switch (phase_) {
    case State::head:
      if (!head_started_) return close();
      refuse(ErrorCode::request_timeout, "the request's head did not arrive in time");
      return process();
    case State::body:
      if (discarding_) return close();
      refuse(ErrorCode::request_timeout, "the request's body did not arrive in time");
      return process();
    case State::handler: on_handler_timeout(); return process();
    case State::stream: return;
    case State::linger:
    case State::closed: return close();
  }
}

void Connection::begin_drain() {
  if (phase_ == State::stream) {
    const std::shared_ptr<StreamHandler> handler = stream_->handler;
    return handler->on_drain();
  }
  const bool idle = phase_ == State::head && in_.empty() && out_.empty() && !writing_;
  if (idle) close();
}

void Connection::reset() {
  if (phase_ == State::closed) return;
  // Otherwise the kernel would go on offering what the peer has not read, and keep it in memory meanwhile.
  const linger none{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(polled_ ? polled_->fd() : socket_.native_handle(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close();
}

void Connection::close() {
  if (phase_ == State::closed) return;
  phase_ = State::closed;
  const std::shared_ptr<Connection> self = shared_from_this();
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (polled_) polled_->close();
  if (handling_) handling_->stop.request_stop();
  handling_.reset();
  state_.uncharge_body(charged_);
  charged_ = 0;
  state_.remove_connection(address_key_);
  loop_.forget(*this);
  if (!stream_) return;
  observe_stream();
  const std::shared_ptr<StreamHandler> handler = std::move(stream_->handler);
  stream_.reset();
  handler->on_gone();
}

}  // namespace ee::net
