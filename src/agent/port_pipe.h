#pragma once
#include <cstdint>
#include <memory>
#include <stop_token>

#include "agent/config.h"
#include "common/error.h"
#include "common/time.h"

namespace ee::agent {

/// Takes connections on a loopback port and passes the bytes of each on to another endpoint, both ways. It lets a VM
/// under test name an image registry of its host as the host does, `127.0.0.1:5000`; it is no part of what runs outside
/// development (`dev_insecure_registry`).
class PortPipe {
 public:
  /// At once; later ones wait in the kernel's queue.
  static constexpr std::size_t kMaxConnections = 32;
  static constexpr std::size_t kBuffer = 64UL * 1024;  ///< of each direction of a connection
  /// A connection over which nothing came or went for so long is dropped.
  static constexpr Milliseconds kIdleTimeout{300'000};
  /// After descriptors or memory ran out, nothing is taken for so long; callers wait in the kernel's queue.
  static constexpr Milliseconds kAcceptPause{500};

  /// Listens. Both hosts are IPv4 addresses; port 0 of `listen`: any free one. Errors: invalid_request (no address),
  /// internal_error (the port is taken).
  static Result<std::unique_ptr<PortPipe>> start(const Endpoint& listen, const Endpoint& target,
                                                 Milliseconds idle_timeout = kIdleTimeout);
  ~PortPipe();

  std::uint16_t port() const;
  /// How often a connection could not be taken for want of descriptors or memory. Thread-safe.
  std::uint64_t failed_accepts() const;
  /// Works until `stop`, then drops all connections. One thread may call it, once.
  void run(const std::stop_token& stop);

 private:
  struct Parts;
  explicit PortPipe(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ee::agent
