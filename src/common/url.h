#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ee {

/// The parts of an absolute http or https URL (RFC 3986). Scheme and host are lower-case.
struct Url {
  std::string scheme;
  std::string host;        ///< a name, IPv4, or IPv6 in brackets
  std::uint16_t port = 0;  ///< the scheme's own when none is written
  std::string path;        ///< percent-encoded, may be empty
  bool has_user = false;
  bool has_query = false;
  bool has_fragment = false;

  /// `https://host` or `https://host:port` when the port is not the scheme's own.
  std::string origin() const;
};

/// Nothing unless `text` is an absolute http or https URL of at most 2,048 bytes with a host.
std::optional<Url> parse_url(std::string_view text);

/// Everything but RFC 3986's unreserved characters as %XX: a value in a query or form, a segment of a path.
std::string percent_encode(std::string_view text);

/// Whether a URL's host is this machine or inside a private network: localhost and names under it, loopback, private,
/// link-local and every other address that is not public (ip_address.h), `.internal`, `.local`, and names without a
/// dot. Looks at the text only; a public name may still resolve to a private address.
bool is_private_host(std::string_view host);

}  // namespace ee
