#pragma once
#include <cstdint>
#include <expected>
#include <string>

namespace ee::net {

/// A listening stream socket, non-blocking. Closes its descriptor, and removes the file of a unix socket.
class Listener {
 public:
  /// `address:port`, `[v6]:port` or `unix:/path` (a stale socket file is replaced, a live one is an error; mode 0660).
  /// The error is a sentence for the operator.
  static std::expected<Listener, std::string> open(const std::string& bind);
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  int descriptor() const { return descriptor_; }
  std::uint16_t port() const { return port_; }
  bool is_unix() const { return !unix_path_.empty(); }
  /// `127.0.0.1:4711`, `[::1]:4711` or the path.
  const std::string& address() const { return address_; }
  void close();

 private:
  Listener() = default;
  int descriptor_ = -1;
  std::uint16_t port_ = 0;
  std::string address_;
  std::string unix_path_;
};

}  // namespace ee::net
