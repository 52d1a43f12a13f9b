#pragma once
#include <cstdint>
#include <expected>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "net/client_address.h"

namespace ee::cp {

/// Whether an address is one that traffic to an agent must never go to (03 section 9.4): every one that is not public
/// (common/ip_address.h), also when written as IPv6.
bool is_forbidden_address(const net::IpAddress& address);

/// Where a backend's origin leads.
struct BackendAddress {
  net::IpAddress address = {};
  std::uint16_t port = 0;
  bool tls = false;
  std::string host;         ///< name or literal, without the port: for SNI
  std::string host_header;  ///< for `Host`, and what a `Location` may name
};

/// Names to addresses, checked after the look-up: what is checked is what is connected to. Results are kept for
/// `kKeep`. Thread-safe.
class BackendAddresses {
 public:
  static constexpr Seconds kKeep{30};
  static constexpr Seconds kKeepFailure{1};  ///< so that a resolver that hangs is not asked for each request
  using LookUp = std::function<std::vector<net::IpAddress>(const std::string& host)>;

  /// `look_up` may block.
  BackendAddresses(LookUp look_up, Clock& clock) : look_up_(std::move(look_up)), clock_(clock) {}

  /// Without blocking; nothing: `resolve` must be asked. Errors: those of `resolve`.
  std::optional<Result<BackendAddress>> known(const std::string& url, bool is_direct);
  /// Blocks. `is_direct`: the address was allowed by name in the settings of a development system.
  /// Errors: upstream_address_forbidden, upstream_connect_failed (no such name).
  Result<BackendAddress> resolve(const std::string& url, bool is_direct);

 private:
  struct Kept {
    Result<net::IpAddress> address;
    SteadyTime until;
  };
  static constexpr std::size_t kMaxKept = 65536;
  void keep(const std::string& host, Result<net::IpAddress> address);

  LookUp look_up_;
  Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, Kept> kept_;  ///< by host
};

}  // namespace ee::cp
