#include "agent/config_values.h"

#include <boost/json/value.hpp>

namespace ee::agent {
namespace {

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint32_t port = 0;
  if (text.empty() || text.size() > 5) return std::nullopt;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (port > 65534) return std::nullopt;  // the next port is cloudflared's metrics
  return static_cast<std::uint16_t>(port);
}

}  // namespace

bool is_ipv4(std::string_view text) {
  int parts = 0;
  while (true) {
    const std::size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (part.empty() || part.size() > 3 || (part.size() > 1 && part[0] == '0')) return false;
    int number = 0;
    for (const char c : part) {
      if (c < '0' || c > '9') return false;
      number = number * 10 + (c - '0');
    }
    if (number > 255) return false;
    ++parts;
    if (dot == std::string_view::npos) return parts == 4;
    text.remove_prefix(dot + 1);
  }
}

bool is_loopback_address(std::string_view host) {
  return host == "[::1]" || (host.starts_with("127.") && is_ipv4(host));
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view host = text.substr(0, colon);
  const auto port = port_of(text.substr(colon + 1));
  if ((!is_ipv4(host) && host != "[::1]") || !port) return std::nullopt;
  return Endpoint{.host = std::string(host), .port = *port};
}

std::optional<TrustedControlPlane> parse_trusted_control_plane(const boost::json::value& entry) {
  TrustedControlPlane out;
  const auto measured = [](const boost::json::value& value) -> std::optional<ByteArray<48>> {
    return value.is_string()
               ? from_hex_exact<48>(std::string_view(value.get_string().data(), value.get_string().size()))
               : std::nullopt;
  };
  if (entry.is_string()) {
    const auto mrtd = measured(entry);
    if (!mrtd) return std::nullopt;
    out.mrtd = *mrtd;
    return out;
  }
  if (!entry.is_object()) return std::nullopt;
  bool has_mrtd = false;
  for (const auto& member : entry.get_object()) {
    const std::string_view key(member.key().data(), member.key().size());
    const auto value = measured(member.value());
    if (key == "mrtd" && value) {
      out.mrtd = *value;
      has_mrtd = true;
    } else if (key.size() == 5 && key.starts_with("rtmr") && key[4] >= '0' && key[4] <= '3') {
      if (!value && !member.value().is_null()) return std::nullopt;
      out.rtmrs[static_cast<std::size_t>(key[4] - '0')] = value;
    } else {
      return std::nullopt;
    }
  }
  return has_mrtd ? std::optional(out) : std::nullopt;
}

}  // namespace ee::agent
