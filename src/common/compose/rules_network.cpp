#include <algorithm>
#include <boost/json/value.hpp>

#include "common/compose/rules.h"
#include "common/compose/values.h"

namespace ee::compose {
namespace {

constexpr std::uint16_t kLeastHostPort = 1024;
constexpr std::size_t kMaxNetworks = 8;
constexpr std::size_t kMaxAliases = 8;
constexpr std::string_view kNetwork = "network";
constexpr std::string_view kPort = "port";
constexpr std::string_view kTcp = "/tcp";

std::string_view name_of(const boost::json::key_value_pair& member) {
  return {member.key().data(), member.key().size()};
}

void add_port(Scope& scope, const std::string& path, std::optional<std::uint16_t> host,
              std::optional<std::uint16_t> container, std::string_view address, Service& to) {
  const bool address_good = address == kForcedHostAddress || (address.empty() && !scope.resolved);
  if (!host || !container || !address_good)
    return scope.breaches.add(path, kPort, "It is HOST:CONTAINER, one TCP port each, on 127.0.0.1 only.");
  if (*host < kLeastHostPort ||
      std::ranges::find(scope.options.reserved_ports, *host) != scope.options.reserved_ports.end())
    return scope.breaches.add(path, kPort, "The host port is below 1024 or reserved.");
  if (!scope.host_ports.emplace(*host, path).second)
    return scope.breaches.add(path, "port_conflict", "The host port is published twice.");
  to.ports.push_back({*host, *container});
}

/// `[127.0.0.1:]HOST:CONTAINER[/tcp]`
void read_short_port(Scope& scope, const std::string& path, std::string_view text, Service& to) {
  if (text.ends_with(kTcp)) text.remove_suffix(kTcp.size());
  const auto last = text.rfind(':');
  if (last == text.npos) return add_port(scope, path, std::nullopt, std::nullopt, {}, to);
  const auto container = port_number(text.substr(last + 1));
  std::string_view front = text.substr(0, last);
  std::string_view address;
  if (const auto colon = front.rfind(':'); colon != front.npos) {
    address = front.substr(0, colon);
    front = front.substr(colon + 1);
    if (address.empty()) return add_port(scope, path, std::nullopt, std::nullopt, {}, to);
  }
  add_port(scope, path, port_number(front), container, address, to);
}

std::optional<std::uint16_t> port_of(const Value* value) {
  if (value == nullptr || !(value->is_int64() || value->is_string())) return std::nullopt;
  const auto text = scalar_text(*value);
  return text ? port_number(*text) : std::nullopt;
}

void read_long_port(Scope& scope, const std::string& path, const boost::json::object& keys, Service& to) {
  std::string_view address;
  for (const auto& member : keys) {
    const std::string_view key = name_of(member);
    const std::string_view text = member.value().is_string() ? view(member.value()) : std::string_view();
    bool good = key == "target" || key == "published";
    if (key == "protocol") good = text == "tcp";
    if (key == "mode") good = text == "host" || text == "ingress";
    if (key == "host_ip") {
      good = text == kForcedHostAddress;
      address = text;
    }
    if (!good) scope.breaches.add(child(path, key), kPort, "This key or value is not allowed here.");
  }
  if (keys.contains("host_ip") && address != kForcedHostAddress) return;  // said above
  add_port(scope, path, port_of(keys.if_contains("published")), port_of(keys.if_contains("target")), address, to);
}

void read_aliases(Scope& scope, const std::string& path, const Value& value, NetworkUse& to) {
  const auto aliases = text_list(value);
  if (!aliases || aliases->size() > kMaxAliases)
    return scope.breaches.add(path, kNetwork, "It is a list of at most 8 names.");
  for (std::size_t i = 0; i < aliases->size(); ++i)
    if (!is_dns_label((*aliases)[i])) scope.breaches.add(child(path, i), kNetwork, "An alias is a DNS label.");
  to.aliases = *aliases;
}

void add_use(Scope& scope, const std::string& path, std::string_view name, const Value& value, Service& to) {
  if (!scope.networks.contains(name))
    return scope.breaches.add(path, kNetwork, "The network is not declared at the top of the file.");
  if (std::ranges::find(to.networks, name, &NetworkUse::network) != to.networks.end())
    return scope.breaches.add(path, kNetwork, "The network is there twice.");
  NetworkUse use{.network = std::string(name)};
  if (const auto* keys = value.if_object()) {
    for (const auto& member : *keys) {
      if (name_of(member) != "aliases")
        scope.breaches.add(child(path, name_of(member)), kNetwork, "Only aliases are allowed here.");
      else if (!member.value().is_null())
        read_aliases(scope, child(path, "aliases"), member.value(), use);
    }
  } else if (!value.is_null()) {
    scope.breaches.add(path, kNetwork, "It is a mapping with aliases, or empty.");
  }
  to.networks.push_back(std::move(use));
}

void read_top_network(Scope& scope, const std::string& path, const Value& value, Network& to) {
  if (value.is_null()) return;
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kNetwork, "It is a mapping, or empty.");
  for (const auto& member : *keys) {
    const Value& item = member.value();
    const bool bridge = name_of(member) == "driver" && item.is_string() && view(item) == "bridge";
    const bool own = name_of(member) == "external" && item.is_bool() && !item.get_bool();
    const bool internal = name_of(member) == "internal" && item.is_bool();
    if (internal) to.internal = item.get_bool();
    if (!bridge && !own && !internal)
      scope.breaches.add(child(path, name_of(member)), kNetwork, "Only driver: bridge and internal are allowed here.");
  }
}

}  // namespace

void read_ports(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* list = value.if_array();
  if (list == nullptr) return scope.breaches.add(path, kPort, "It is a list.");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Value& item = (*list)[i];
    if (const auto* keys = item.if_object())
      read_long_port(scope, child(path, i), *keys, to);
    else
      read_short_port(scope, child(path, i), item.is_string() ? view(item) : std::string_view(), to);
  }
}

void read_expose(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* list = value.if_array();
  if (list == nullptr) return scope.breaches.add(path, kOutOfRange, "It is a list of ports.");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Value& item = (*list)[i];
    auto text = item.is_int64() || item.is_string() ? scalar_text(item) : std::nullopt;
    if (text && text->ends_with(kTcp)) text->resize(text->size() - kTcp.size());
    const auto port = text ? port_number(*text) : std::nullopt;
    if (!port)
      scope.breaches.add(child(path, i), kOutOfRange, "It is a TCP port from 1 to 65535.");
    else
      to.expose.push_back(*port);
  }
}

void read_networks(Scope& scope, const std::string& path, const Value& value, Service& to) {
  if (const auto* map = value.if_object()) {
    for (const auto& member : *map) add_use(scope, child(path, name_of(member)), name_of(member), member.value(), to);
    return;
  }
  const auto* list = value.if_array();
  if (list == nullptr) return scope.breaches.add(path, kNetwork, "It is a list of networks, or a mapping.");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string_view name = (*list)[i].is_string() ? view((*list)[i]) : std::string_view();
    add_use(scope, child(path, i), name, Value(), to);
  }
}

void read_top_networks(Scope& scope, const std::string& path, const Value& value, Workload& to) {
  const auto* map = value.if_object();
  if (map == nullptr || map->size() > kMaxNetworks)
    return scope.breaches.add(path, kNetwork, "It is a mapping of at most 8 networks.");
  for (const auto& member : *map) {
    const std::string_view name = name_of(member);
    if (!is_resource_name(name)) {
      scope.breaches.add(child(path, name), kNetwork, "The name of a network is letters, digits, - and _.");
      continue;
    }
    Network network{.name = std::string(name)};
    read_top_network(scope, child(path, name), member.value(), network);
    scope.networks.emplace(name);
    if (name == "default")
      to.networks.front() = network;
    else
      to.networks.push_back(std::move(network));
  }
}

}  // namespace ee::compose
