#include "cp/http/backend_address.h"

#include <algorithm>
#include <charconv>

#include "common/ip_address.h"

namespace ee::cp {
namespace {

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

bool is_forbidden_address(const net::IpAddress& address) { return !is_public_address(net::to_string(address)); }

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
