#include "cp/http/backend_address.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace ee::cp {
namespace {

/// IANA's special-purpose registries of IPv4 and IPv6, less what is globally reachable.
const std::vector<net::IpNetwork>& forbidden_networks() {
  static const std::vector<net::IpNetwork> networks = [] {
    std::vector<net::IpNetwork> made;
    for (const char* text :
         {"0.0.0.0/8",      "10.0.0.0/8",   "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16", "172.16.0.0/12",
          "192.0.0.0/24",   "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",  "198.51.100.0/24",
          "203.0.113.0/24", "224.0.0.0/4",  "240.0.0.0/4",    "::/96",          "64:ff9b::/96",   "64:ff9b:1::/48",
          "100::/64",       "2001::/23",    "2001:db8::/32",  "2002::/16",      "3fff::/20",      "5f00::/16",
          "fc00::/7",       "fe80::/10",    "fec0::/10",      "ff00::/8"})
      made.push_back(*net::parse_network(text));
    return made;
  }();
  return networks;
}

/// `http(s)://host[:port]`, as `AgentEndpoint` writes it.
std::optional<BackendAddress> parse_origin(const std::string& url) {
  BackendAddress parsed;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    parsed.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  parsed.host_header = rest;
  parsed.port = parsed.tls ? 443 : 80;
  const std::size_t colon = rest.rfind(':');
  if (colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos) {
    const std::string_view digits = rest.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), parsed.port);
    if (error != std::errc() || end != digits.data() + digits.size() || parsed.port == 0) return std::nullopt;
    rest = rest.substr(0, colon);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  if (rest.empty()) return std::nullopt;
  parsed.host = rest;
  return parsed;
}

}  // namespace

bool is_forbidden_address(const net::IpAddress& address) {
  return std::ranges::any_of(forbidden_networks(),
                             [&](const net::IpNetwork& network) { return network.contains(address); });
}

std::optional<Result<BackendAddress>> BackendAddresses::known(const std::string& url, bool is_direct) {
  auto parsed = parse_origin(url);
  if (!parsed || (!parsed->tls && !is_direct))
    return Result<BackendAddress>(fail(ErrorCode::upstream_address_forbidden, "the origin is not usable"));
  if (const auto literal = net::parse_ip(parsed->host)) {
    // A direct address was held against the allowed ranges when the route was made; nothing else is a literal.
    if (!is_direct) return Result<BackendAddress>(fail(ErrorCode::upstream_address_forbidden, "an address as a name"));
    parsed->address = *literal;
    return Result<BackendAddress>(std::move(*parsed));
  }
  const SteadyTime now = clock_.steady_now();
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(parsed->host);
  if (found == kept_.end() || now >= found->second.until) return std::nullopt;
  if (!found->second.address) return Result<BackendAddress>(std::unexpected(found->second.address.error()));
  parsed->address = *found->second.address;
  return Result<BackendAddress>(std::move(*parsed));
}

Result<BackendAddress> BackendAddresses::resolve(const std::string& url, bool is_direct) {
  if (auto ready = known(url, is_direct)) return std::move(*ready);
  auto parsed = parse_origin(url);
  const std::vector<net::IpAddress> found = look_up_(parsed->host);
  Result<net::IpAddress> judged = fail(ErrorCode::upstream_connect_failed, "the name has no address");
  // One bad address among good ones is no accident either.
  if (std::ranges::any_of(found, is_forbidden_address))
    judged = fail(ErrorCode::upstream_address_forbidden, "the name leads to an address of an inner network");
  else if (!found.empty())
    judged = found.front();
  keep(parsed->host, judged);
  if (!judged) return std::unexpected(judged.error());
  parsed->address = *judged;
  return std::move(*parsed);
}

void BackendAddresses::keep(const std::string& host, Result<net::IpAddress> address) {
  const SteadyTime until = clock_.steady_now() + (address ? kKeep : kKeepFailure);
  const std::lock_guard lock(mutex_);
  if (kept_.size() >= kMaxKept) kept_.clear();
  kept_.insert_or_assign(host, Kept{.address = std::move(address), .until = until});
}

}  // namespace ee::cp
