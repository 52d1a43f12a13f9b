#include <algorithm>
#include <boost/json/value.hpp>

#include "common/compose/compose.h"
#include "common/compose/measure_form.h"
#include "common/compose/rules.h"
#include "common/compose/start_order.h"
#include "common/compose/values.h"
#include "common/json.h"
#include "common/json_jcs.h"

namespace ee::compose {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxServices = 16;

struct KeyRule {
  std::string_view key;
  Rule read;
};

constexpr KeyRule kAllowed[] = {
    {"command", read_command},
    {"entrypoint", read_entrypoint},
    {"expose", read_expose},
    {"working_dir", read_working_dir},
    {"user", read_user},
    {"read_only", read_read_only},
    {"cap_drop", read_cap_drop},
    {"stop_signal", read_stop_signal},
    {"init", read_init},
    {"depends_on", read_depends_on},
    {"healthcheck", read_healthcheck},
    {"tmpfs", read_tmpfs},
    {"labels", read_labels},
    {"ulimits", read_ulimits},
    {"shm_size", read_shm_size},
    {"pids_limit", read_pids_limit},
    {"mem_limit", read_mem_limit},
    {"cpus", read_cpus},
    {"stop_grace_period", read_stop_grace_period},
    {"platform", read_platform},
    {"restart", read_restart},
    {"volumes", read_volumes},
    {"networks", read_networks},
    {"secrets", read_secrets},
    {"ports", read_ports},
    {"deploy", read_deploy},
    {"environment", read_environment},
};

struct Refused {
  std::string_view key;
  std::string_view code;
};

/// Keys whose refusal has a name of its own; every other key is `key_not_allowed`.
constexpr Refused kRefused[] = {
    {"build", "build"},
    {"network_mode", "host_namespace"},
    {"pid", "host_namespace"},
    {"ipc", "host_namespace"},
    {"uts", "host_namespace"},
    {"userns_mode", "host_namespace"},
    {"cgroup", "host_namespace"},
    {"cgroup_parent", "host_namespace"},
    {"cap_add", "privilege"},
    {"security_opt", "privilege"},
    {"sysctls", "privilege"},
    {"runtime", "privilege"},
    {"gpus", "privilege"},
    {"devices", "device"},
    {"device_cgroup_rules", "device"},
};

std::string_view name_of(const bj::key_value_pair& member) { return {member.key().data(), member.key().size()}; }

/// Finds every scalar, keys included, that asks for interpolation.
void find_interpolation(Breaches& breaches, const std::string& path, const Value& value) {
  if (const auto* map = value.if_object()) {
    for (const auto& member : *map) {
      const std::string at = child(path, name_of(member));
      if (has_interpolation(name_of(member))) breaches.add_interpolation(at);
      find_interpolation(breaches, at, member.value());
    }
  } else if (const auto* list = value.if_array()) {
    for (std::size_t i = 0; i < list->size(); ++i) find_interpolation(breaches, child(path, i), (*list)[i]);
  } else if (value.is_string() && has_interpolation(view(value))) {
    breaches.add_interpolation(path);
  }
}

/// The values that `resolve` adds: in a resolved document they must be there and say exactly this.
void check_forced(Scope& scope, const std::string& path, const bj::object& keys, const Service& service) {
  const auto require_value = [&](std::string_view key, const Value& wanted) {
    const Value* found = keys.if_contains(key);
    if (found == nullptr || *found != wanted)
      scope.breaches.add(child(path, key), "not_resolved", "A resolved document has another value here.");
  };
  require_value("security_opt", forced_security_opt());
  require_value("logging", forced_logging());
  if (std::ranges::find(service.cap_drop, kForcedCapability) == service.cap_drop.end())
    scope.breaches.add(child(path, "cap_drop"), "not_resolved", "A resolved document drops NET_RAW.");
}

void read_key(Scope& scope, const std::string& path, std::string_view key, const Value& value, Service& to) {
  if (key == "privileged") {
    if (!value.is_bool() || value.get_bool())
      scope.breaches.add(path, "privileged", "It is absent or false, without quotes.");
    return;
  }
  if (key == "image") return read_image(scope, path, value, to);
  if (scope.resolved && (key == "security_opt" || key == "logging")) return;  // check_forced
  const auto* rule = std::ranges::find(kAllowed, key, &KeyRule::key);
  if (rule != std::end(kAllowed)) {
    if (!value.is_null()) rule->read(scope, path, value, to);  // null is the same as no key
    return;
  }
  const auto* refused = std::ranges::find(kRefused, key, &Refused::key);
  scope.breaches.add(path, refused == std::end(kRefused) ? kNotAllowed : refused->code, "This key is not allowed.");
}

/// What can be said when all keys are known.
void finish(Scope& scope, const std::string& path, Service& service) {
  if (service.networks.empty()) service.networks.push_back({.network = "default"});
  std::ranges::sort(service.networks, {}, &NetworkUse::network);
  std::ranges::sort(service.depends_on, {}, &Dependency::service);
  if (service.memory_bytes && service.memory_reservation_bytes &&
      *service.memory_reservation_bytes > *service.memory_bytes)
    scope.breaches.add(child(path, "deploy.resources.reservations.memory"), "resources",
                       "More is reserved than the limit allows.");
}

Service read_service(Scope& scope, const std::string& path, std::string_view name, const Value& value) {
  Service out;
  out.name = name;
  const auto* keys = value.if_object();
  if (keys == nullptr) {
    scope.breaches.add(path, kOutOfRange, "A service is a mapping.");
    return out;
  }
  if (!is_dns_label(name)) scope.breaches.add(path, kOutOfRange, "The name of a service is a DNS label.");
  if (!keys->contains("image")) scope.breaches.add(child(path, "image"), "image_missing", "The image is missing.");
  for (const auto& member : *keys) read_key(scope, child(path, name_of(member)), name_of(member), member.value(), out);
  if (scope.resolved) check_forced(scope, path, *keys, out);
  finish(scope, path, out);
  return out;
}

void read_services(Scope& scope, const bj::object& top, Workload& to) {
  const std::string path = "compose.services";
  const Value* services = top.if_contains("services");
  const auto* map = services == nullptr ? nullptr : services->if_object();
  if (map == nullptr || map->empty() || map->size() > kMaxServices)
    return scope.breaches.add(path, kOutOfRange, "It is a mapping of 1 to 16 services.");
  for (const auto& member : *map) scope.services.emplace(name_of(member));
  for (const auto& member : *map)
    to.services.push_back(read_service(scope, child(path, name_of(member)), name_of(member), member.value()));
  for (const std::string& name : services_in_cycles(to.services))
    scope.breaches.add(child(child(path, name), "depends_on"), kOutOfRange, "The services wait for one another.");
}

/// Top-level secrets name file secrets of the request and say nothing else.
void read_top_secrets(Scope& scope, const std::string& path, const Value& value) {
  const auto* map = value.if_object();
  if (map == nullptr) return scope.breaches.add(path, kOutOfRange, "It is a mapping.");
  for (const auto& member : *map) {
    const std::string at = child(path, name_of(member));
    const auto& request = scope.options.request;
    const bool given =
        !request || std::ranges::find(request->file_secrets, name_of(member)) != request->file_secrets.end();
    if (!is_request_key(name_of(member)) || !given)
      scope.breaches.add(at, "secret_unknown", "The request has no file secret of this name.");
    if (const auto* keys = member.value().if_object())
      for (const auto& key : *keys)
        scope.breaches.add(child(at, name_of(key)), kNotAllowed, "Nothing is allowed here.");
    else if (!member.value().is_null())
      scope.breaches.add(at, kOutOfRange, "It is empty.");
  }
}

bool is_dropped(std::string_view key) { return key == "name" || key == "version" || key.starts_with("x-"); }

/// Volumes and networks come first: services refer to them.
void read_top(Scope& scope, const bj::object& top, Workload& to) {
  to.networks.push_back({.name = "default"});
  scope.networks.emplace("default");
  for (const auto& member : top) {
    const std::string_view key = name_of(member);
    const std::string path = child("compose", key);
    const bool present = !member.value().is_null();
    if (key == "services") continue;
    if (key == "volumes" && present)
      read_top_volumes(scope, path, member.value(), to);
    else if (key == "networks" && present)
      read_top_networks(scope, path, member.value(), to);
    else if (key == "secrets" && present)
      read_top_secrets(scope, path, member.value());
    else if (key != "volumes" && key != "networks" && key != "secrets" && (scope.resolved || !is_dropped(key)))
      scope.breaches.add(path, kNotAllowed, "This key is not allowed.");
  }
  read_services(scope, top, to);
}

bj::value without_dropped(const bj::object& top) {
  bj::object out;
  for (const auto& member : top)
    if (!is_dropped(name_of(member))) out.emplace(member.key(), member.value());
  return out;
}

/// What each service takes from the request.
void inject(const CheckOptions& options, Workload& workload) {
  for (Service& service : workload.services) {
    std::set<std::string> names;
    for (const EnvVariable& variable : service.environment)
      if (!variable.value) names.insert(variable.name);
    if (options.request && workload.services.size() == 1) {
      names.insert(options.request->env.begin(), options.request->env.end());
      names.insert(options.request->env_secrets.begin(), options.request->env_secrets.end());
    }
    service.injected_env.assign(names.begin(), names.end());
  }
}

Result<void> check_all_used(const RequestNames& request, const Workload& workload) {
  std::set<std::string, std::less<>> used;
  std::set<std::string, std::less<>> used_files;
  for (const Service& service : workload.services) {
    used.insert(service.injected_env.begin(), service.injected_env.end());
    used_files.insert(service.file_secrets.begin(), service.file_secrets.end());
  }
  Error unused{.code = ErrorCode::env_unused, .detail = "No service takes these values."};
  const auto compare = [&](const std::vector<std::string>& names, const auto& taken, std::string_view field) {
    for (const std::string& name : names)
      if (!taken.contains(name))
        unused.fields.push_back({child(field, name), "env_unused", "No service takes this value."});
  };
  compare(request.env, used, "env");
  compare(request.env_secrets, used, "secrets");
  compare(request.file_secrets, used_files, "secrets");
  if (!unused.fields.empty()) return fail(std::move(unused));
  return {};
}

Result<void> check_ingress(const std::vector<std::uint16_t>& ports, const Workload& workload) {
  Error missing{.code = ErrorCode::ingress_port_unpublished, .detail = "No service publishes these host ports."};
  for (std::size_t i = 0; i < ports.size(); ++i)
    if (std::ranges::find(workload.published, ports[i], &Port::host) == workload.published.end())
      missing.fields.push_back(
          {fmt::format("ingress[{}].port", i), "ingress_port_unpublished", "No service publishes this host port."});
  if (!missing.fields.empty()) return fail(std::move(missing));
  return {};
}

void sum_up(Workload& workload) {
  constexpr std::int64_t kMib = 1024LL * 1024;
  for (const Service& service : workload.services) {
    workload.published.insert(workload.published.end(), service.ports.begin(), service.ports.end());
    const std::int64_t memory =
        std::max(service.memory_bytes.value_or(0), service.memory_reservation_bytes.value_or(0));
    Needs& needs = workload.needs;
    needs.nano_cpus = std::max(needs.nano_cpus, service.nano_cpus.value_or(0));
    needs.memory_mib = std::max(needs.memory_mib, (memory + kMib - 1) / kMib);
    needs.gpu_count = std::max(needs.gpu_count, service.gpu_count);
  }
}

Result<Workload> judge(const bj::object& top, const CheckOptions& options, bool resolved) {
  Workload out;
  Breaches breaches;
  Scope scope{.options = options, .resolved = resolved, .breaches = breaches};
  for (const auto& member : top)
    if (!is_dropped(name_of(member))) find_interpolation(breaches, child("compose", name_of(member)), member.value());
  read_top(scope, top, out);
  if (!breaches.empty()) return fail(breaches.to_error());
  inject(options, out);
  sum_up(out);
  if (options.request)
    if (auto used = check_all_used(*options.request, out); !used) return fail(std::move(used.error()));
  if (auto published = check_ingress(options.ingress_ports, out); !published) return fail(std::move(published.error()));
  out.as_written = top;
  out.accepted = without_dropped(top);
  return out;
}

}  // namespace

Ceiling ceiling_of(const NodeSize& size) { return {.vcpus = size.vcpus, .memory_mib = size.memory_mib()}; }

const Service* Workload::find(std::string_view service) const {
  const auto found = std::ranges::find(services, service, &Service::name);
  return found == services.end() ? nullptr : &*found;
}

Result<Workload> check(std::string_view text, const CheckOptions& options) {
  const auto tree = read_compose(text);
  if (!tree) return std::unexpected(tree.error());
  return judge(tree->get_object(), options, false);
}

Result<Workload> check_resolved(std::string_view canonical_json, const CheckOptions& options) {
  const auto invalid = [](std::string detail) {
    return fail(
        {.code = ErrorCode::compose_invalid, .detail = std::move(detail), .members = {{"line", "1"}, {"column", "1"}}});
  };
  // The forced values come on top of the 10,000 that a file may have.
  const auto tree = json::parse(canonical_json, {.max_bytes = kMaxResolvedBytes, .max_depth = 32, .max_nodes = 11000});
  if (!tree) return invalid("The resolved document cannot be read. " + tree.error().detail);
  if (!tree->is_object()) return invalid("The resolved document is not an object.");
  if (json::canonical_with_fractions(*tree) != canonical_json)
    return invalid("The resolved document is not canonical JSON.");
  CheckOptions strict = options;
  strict.require_digests = true;
  return judge(tree->get_object(), strict, true);
}

}  // namespace ee::compose
