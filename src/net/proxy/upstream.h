#pragma once
// Inside of net/proxy: one connection to a backend.
#include <memory>
#include <string>

#include "net/asio.h"
#include "net/io_loop.h"
#include "net/polled_socket.h"
#include "net/proxy/forward.h"
#include "net/read_buffer.h"
#include "net/tls.h"

namespace ee::net {

/// Who uses an upstream connection. Calls come on the loop's thread.
class UpstreamUser {
 public:
  virtual void on_connected() = 0;
  /// Something is in `received`.
  virtual void on_received() = 0;
  /// All that was sent has been taken, after something had to wait.
  virtual void on_sent() = 0;
  /// Nothing more comes. `clean`: the backend ended its side; else the connection broke or could not be made.
  virtual void on_ended(bool clean) = 0;

 protected:
  ~UpstreamUser() = default;
};

/// A connection, plain or TLS, of one loop. Time-outs are its user's.
class Upstream final : public std::enable_shared_from_this<Upstream>, public PolledUser {
 public:
  Upstream(IoLoop& loop, const ForwardTarget& target);

  /// Nobody is called any more after `use(nullptr)`.
  void use(UpstreamUser* user) { user_ = user; }
  void connect();
  bool tcp_connected() const { return tcp_connected_; }
  /// Sends at once what the socket takes; returns how much waits.
  std::size_t send(std::string_view bytes);
  /// Bytes that the socket has taken since it was made.
  std::uint64_t taken() const { return taken_; }
  std::size_t unsent() const { return out_.size() + sending_.size() - sent_; }
  /// Whether to read; `small` keeps little memory for a connection that is mostly idle.
  void want(bool wanted, bool small = false);
  ReadBuffer& received() { return in_; }
  /// The backend sees the end of file after all that was sent.
  void half_close();
  void close();
  /// Open, and nothing to read: neither an end nor bytes that nobody asked for.
  bool is_idle_and_open();
  /// Keeps at most kSmallRead of memory.
  void prepare_for_pool();

  std::size_t uses = 0;

 private:
  void on_tcp_connected(const boost::system::error_code& error);
  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes) override;
  bool take_in(std::size_t bytes);
  std::size_t write_some(std::string_view bytes, boost::system::error_code& error);
  void flush();
  void write_rest();
  void on_written(const boost::system::error_code& error, std::size_t bytes) override;
  void end(bool clean);

  IoLoop& loop_;
  Socket socket_;
  std::shared_ptr<PolledSocket> polled_;  ///< instead of it, once connected
  const ForwardTarget target_;
  std::unique_ptr<TlsSession> tls_;
  UpstreamUser* user_ = nullptr;
  ReadBuffer in_;
  ReadBuffer tls_in_;
  std::string out_;      ///< plain, for `sending_` next
  std::string sending_;  ///< untouched while `writing_`
  std::string wire_;
  std::size_t sent_ = 0;
  std::uint64_t taken_ = 0;
  bool tcp_connected_ = false;
  bool ready_ = false;
  bool wanted_ = false;
  bool small_ = false;
  bool much_ = false;  ///< comes: more than a small answer
  bool reading_ = false;
  bool writing_ = false;
  bool half_closing_ = false;
  bool broken_ = false;  ///< for writing
  bool ended_ = false;
  bool closed_ = false;
};

}  // namespace ee::net
