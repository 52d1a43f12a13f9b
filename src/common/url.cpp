#include "common/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>
#include <boost/url/parse.hpp>

namespace ee {
namespace {

namespace bu = boost::urls;
constexpr std::size_t kMaxUrl = 2048;

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::uint16_t own_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

// RFC 6890 and RFC 6598: what is not reachable from the outside.
bool is_private_v4(std::uint32_t address) {
  struct Range {
    std::uint32_t base;
    int bits;
  };
  constexpr std::array<Range, 8> kRanges = {{{0x00000000, 8},     // 0.0.0.0/8
                                             {0x0A000000, 8},     // 10/8
                                             {0x64400000, 10},    // 100.64/10
                                             {0x7F000000, 8},     // 127/8
                                             {0xA9FE0000, 16},    // 169.254/16
                                             {0xAC100000, 12},    // 172.16/12
                                             {0xC0000000, 24},    // 192.0.0/24
                                             {0xC0A80000, 16}}};  // 192.168/16
  return std::ranges::any_of(
      kRanges, [&](const Range& range) { return (address >> (32 - range.bits)) == (range.base >> (32 - range.bits)); });
}

bool is_private_v6(const bu::ipv6_address& address) {
  const auto bytes = address.to_bytes();
  const bool leading_zero = std::all_of(bytes.begin(), bytes.begin() + 10, [](unsigned char b) { return b == 0; });
  const bool mapped = leading_zero && bytes[10] == 0xff && bytes[11] == 0xff;
  const bool compatible = leading_zero && bytes[10] == 0 && bytes[11] == 0;  // also :: and ::1
  if (mapped || compatible) {
    const std::uint32_t v4 = (std::uint32_t{bytes[12]} << 24) | (std::uint32_t{bytes[13]} << 16) |
                             (std::uint32_t{bytes[14]} << 8) | bytes[15];
    return is_private_v4(v4);
  }
  const bool unique_local = (bytes[0] & 0xfe) == 0xfc;
  const bool link_local = bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
  return unique_local || link_local;
}

}  // namespace

std::string Url::origin() const {
  if (port == own_port(scheme)) return fmt::format("{}://{}", scheme, host);
  return fmt::format("{}://{}:{}", scheme, host, port);
}

std::optional<Url> parse_url(std::string_view text) {
  if (text.size() > kMaxUrl) return std::nullopt;
  const auto parsed = bu::parse_uri(bu::string_view(text.data(), text.size()));
  if (!parsed) return std::nullopt;
  Url url;
  url.scheme = lower(std::string_view(parsed->scheme().data(), parsed->scheme().size()));
  if (url.scheme != "http" && url.scheme != "https") return std::nullopt;
  url.host = lower(std::string_view(parsed->encoded_host().data(), parsed->encoded_host().size()));
  if (url.host.empty()) return std::nullopt;
  url.port = own_port(url.scheme);
  if (parsed->has_port()) {
    if (parsed->port_number() == 0) return std::nullopt;  // empty, zero or above 65535
    url.port = parsed->port_number();
  }
  url.path.assign(parsed->encoded_path().data(), parsed->encoded_path().size());
  url.has_user = parsed->has_userinfo();
  url.has_query = parsed->has_query();
  url.has_fragment = parsed->has_fragment();
  return url;
}

bool is_private_host(std::string_view host) {
  std::string name = lower(host);
  while (name.ends_with('.')) name.pop_back();
  if (name.starts_with('[') && name.ends_with(']')) {
    const auto v6 = bu::parse_ipv6_address(bu::string_view(name.data() + 1, name.size() - 2));
    return !v6 || is_private_v6(*v6);
  }
  if (const auto v4 = bu::parse_ipv4_address(name)) return is_private_v4(v4->to_uint());
  if (name.find('.') == std::string::npos) return true;
  // The system's resolver reads 127.1, 0x7f.1 and 2130706433 as addresses, so a last label that starts with a digit
  // is not taken for a public name.
  const char last_label = name[name.rfind('.') + 1];
  if (last_label >= '0' && last_label <= '9') return true;
  return name.ends_with(".localhost") || name.ends_with(".internal") || name.ends_with(".local");
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace ee
