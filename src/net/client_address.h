#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/head.h"

namespace ee::net {

/// An IP address as 16 bytes; IPv4 is held as `::ffff:a.b.c.d`.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};
  bool operator==(const IpAddress&) const = default;
  bool is_v4() const;
};

/// Accepts dotted IPv4, and IPv6 with or without brackets; no zone, no port. `::ffff:a.b.c.d` is the IPv4 address.
std::optional<IpAddress> parse_ip(std::string_view text);
/// Dotted, or RFC 5952.
std::string to_string(const IpAddress& address);

/// `10.0.0.0/8`, `2001:db8::/32`; an address alone is a network of one. Bits behind the prefix must be zero.
struct IpNetwork {
  IpAddress base;
  int prefix_bits = 128;  ///< of the 16-byte form
  bool contains(const IpAddress& address) const;
};
std::optional<IpNetwork> parse_network(std::string_view text);

/// The key under which an address is limited: IPv4 as it is, IPv6 by its /64, as one customer usually owns that much.
/// Other texts ("unix") are returned unchanged.
std::string rate_limit_key(std::string_view address);

/// Whose forwarding headers are believed.
class TrustedProxies {
 public:
  TrustedProxies() = default;
  explicit TrustedProxies(std::vector<IpNetwork> networks) : networks_(std::move(networks)) {}
  bool trusts(const IpAddress& peer) const;

  /// The client's address: the peer's own, or when the peer is trusted what it reports: `CF-Connecting-IP` if present,
  /// else the right-most entry of `X-Forwarded-For` that is not a trusted proxy itself. An unreadable report counts
  /// for nothing from there on to the left.
  std::string client_of(std::string_view peer_text, const std::optional<IpAddress>& peer,
                        std::span<const HeadField> fields) const;

 private:
  std::vector<IpNetwork> networks_;
};

/// Whether a field says who forwarded a request (`Forwarded`, `X-Forwarded-*`, `X-Real-IP`, `CF-Connecting-IP`, ...).
/// Those of untrusted peers are dropped.
bool is_forwarding_field(std::string_view name);

}  // namespace ee::net
