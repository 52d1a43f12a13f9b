#include "cp/service/direct_url.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <span>

#include "common/url.h"

namespace ee::cp {
namespace {

struct Address {
  std::array<std::uint8_t, 16> bytes{};
  int bits = 0;  ///< 32 or 128
};

std::optional<Address> parse_address(std::string text) {
  Address address;
  if (::inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) {
    address.bits = 32;
    return address;
  }
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) != 1) return std::nullopt;
  address.bits = 128;
  return address;
}

bool contains(std::string_view cidr, const Address& address) {
  const std::size_t slash = cidr.find('/');
  const auto base = parse_address(std::string(cidr.substr(0, slash)));
  if (!base || base->bits != address.bits) return false;
  int prefix = base->bits;
  if (slash != std::string_view::npos) {
    const std::string_view digits = cidr.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
    if (error != std::errc() || end != digits.data() + digits.size() || prefix < 0 || prefix > base->bits) return false;
  }
  for (int bit = 0; bit < prefix; ++bit) {
    const auto at = static_cast<std::size_t>(bit / 8);
    const auto mask = static_cast<std::uint8_t>(0x80U >> static_cast<unsigned>(bit % 8));
    if ((base->bytes[at] & mask) != (address.bytes[at] & mask)) return false;
  }
  return true;
}

}  // namespace

bool is_allowed_direct_url(std::string_view text, bool dev, std::span<const std::string> cidrs) {
  if (!dev) return false;
  const auto url = parse_url(text);
  if (!url || url->has_user || url->has_query || url->has_fragment || !(url->path.empty())) return false;
  // The port is written out: an address without one is no endpoint of an agent.
  if (text.find(':', text.find("://") + 3) == std::string_view::npos) return false;
  const auto address = parse_address(url->host);
  if (!address) return false;
  for (const std::string& cidr : cidrs)
    if (contains(cidr, *address)) return true;
  return false;
}

}  // namespace ee::cp
