#include "common/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/url/ipv4_address.hpp>
#include <boost/url/parse.hpp>

#include "common/ip_address.h"

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
  if (name.starts_with('[') && name.ends_with(']'))
    return !is_public_address(std::string_view(name).substr(1, name.size() - 2));
  if (bu::parse_ipv4_address(name)) return !is_public_address(name);
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
