#include "net/client_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ranges>

#include "net/chars.h"
#include "net/http.h"

namespace ee::net {
namespace {

constexpr std::array<std::uint8_t, 12> kV4Prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool bits_behind_are_zero(const IpAddress& address, int prefix_bits) {
  for (int bit = prefix_bits; bit < 128; ++bit)
    if (address.bytes[static_cast<std::size_t>(bit / 8)] & (0x80U >> (bit % 8))) return false;
  return true;
}

}  // namespace

bool IpAddress::is_v4() const { return std::equal(kV4Prefix.begin(), kV4Prefix.end(), bytes.begin()); }

std::optional<IpAddress> parse_ip(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
  const std::string terminated(text);
  IpAddress address;
  if (terminated.find(':') != std::string::npos) {
    if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) != 1) return std::nullopt;
    return address;
  }
  std::ranges::copy(kV4Prefix, address.bytes.begin());
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data() + 12) != 1) return std::nullopt;
  return address;
}

std::string to_string(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (!address.is_v4())
    return ::inet_ntop(AF_INET6, address.bytes.data(), text.data(), text.size()) ? text.data() : std::string();
  char* end = text.data();
  for (std::size_t i = 12; i < address.bytes.size(); ++i) {
    if (i > 12) *end++ = '.';
    end = std::to_chars(end, text.data() + text.size(), address.bytes[i]).ptr;
  }
  return {text.data(), end};
}

bool IpNetwork::contains(const IpAddress& address) const {
  const auto whole = static_cast<std::size_t>(prefix_bits / 8);
  if (!std::equal(base.bytes.begin(), base.bytes.begin() + static_cast<std::ptrdiff_t>(whole), address.bytes.begin()))
    return false;
  const int rest = prefix_bits % 8;
  return rest == 0 || ((base.bytes[whole] ^ address.bytes[whole]) >> (8 - rest)) == 0;
}

std::optional<IpNetwork> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash));
  if (!address) return std::nullopt;
  const bool v4 = address->is_v4() && text.find(':') == std::string_view::npos;
  int bits = v4 ? 32 : 128;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    int given = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), given);
    if (error != std::errc() || end != digits.data() + digits.size() || given < 0 || given > bits) return std::nullopt;
    bits = given;
  }
  const IpNetwork network{.base = *address, .prefix_bits = v4 ? bits + 96 : bits};
  if (!bits_behind_are_zero(network.base, network.prefix_bits)) return std::nullopt;
  return network;
}

std::string rate_limit_key(std::string_view address) {
  auto parsed = parse_ip(address);
  if (!parsed) return std::string(address);
  if (parsed->is_v4()) return to_string(*parsed);
  std::fill(parsed->bytes.begin() + 8, parsed->bytes.end(), std::uint8_t{0});
  return to_string(*parsed) + "/64";
}

bool TrustedProxies::trusts(const IpAddress& peer) const {
  return std::ranges::any_of(networks_, [&](const IpNetwork& network) { return network.contains(peer); });
}

std::string TrustedProxies::client_of(std::string_view peer_text, const std::optional<IpAddress>& peer,
                                      std::span<const HeadField> fields) const {
  if (!peer || !trusts(*peer)) return std::string(peer_text);
  for (const HeadField& field : fields)
    if (equal_ignoring_case(field.name, "cf-connecting-ip"))
      if (const auto address = parse_ip(field.value)) return to_string(*address);
  IpAddress client = *peer;
  for (const HeadField& field : fields | std::views::reverse) {
    if (!equal_ignoring_case(field.name, "x-forwarded-for")) continue;
    std::string_view rest = field.value;
    while (true) {
      const std::size_t comma = rest.rfind(',');
      const auto address = parse_ip(trim_blanks(comma == std::string_view::npos ? rest : rest.substr(comma + 1)));
      if (!address) return to_string(client);
      client = *address;
      if (!trusts(client)) return to_string(client);
      if (comma == std::string_view::npos) break;
      rest = rest.substr(0, comma);
    }
  }
  return to_string(client);
}

bool is_forwarding_field(std::string_view name) {
  constexpr std::string_view kNames[] = {"forwarded", "x-real-ip", "cf-connecting-ip", "cf-connecting-ipv6",
                                         "true-client-ip"};
  constexpr std::string_view kPrefix = "x-forwarded-";
  if (name.size() > kPrefix.size() && begins_like(name, kPrefix)) return true;
  return std::ranges::any_of(
      kNames, [&](std::string_view known) { return name.size() == known.size() && begins_like(name, known); });
}

}  // namespace ee::net
