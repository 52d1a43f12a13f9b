#include "common/compose/create_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "common/compose/start_order.h"

namespace ee::compose {
namespace {

namespace bj = boost::json;

constexpr std::int64_t kMib = 1024LL * 1024;
constexpr std::int64_t kHeldBackMib = 512;  ///< of the VM, for the agent and the engine
constexpr std::int64_t kLeastMemoryMib = 6;
constexpr std::int64_t kDefaultPids = 4096;
constexpr std::int64_t kDefaultStopSeconds = 10;  ///< the engine's own

bj::value text(std::string_view from) { return bj::string(bj::string_view(from.data(), from.size())); }

bj::string_view key(const std::string& from) { return {from.data(), from.size()}; }

bj::array list(const std::vector<std::string>& from) {
  bj::array out;
  for (const std::string& item : from) out.push_back(text(item));
  return out;
}

std::string network_name(const Placement& placement, std::string_view network) {
  return network == "default" ? placement.prefix : fmt::format("{}-{}", placement.prefix, network);
}
std::string volume_name(const Placement& placement, std::string_view volume) {
  return fmt::format("{}_{}", placement.prefix, volume);
}

bool is_injected(const Service& service, const std::string& name) {
  return std::ranges::binary_search(service.injected_env, name);
}

bj::array environment(const Service& service, const Placement& placement) {
  bj::array out;
  for (const EnvVariable& variable : service.environment)
    if (variable.value && !is_injected(service, variable.name))
      out.push_back(text(variable.name + "=" + *variable.value));
  for (const std::string& name : service.injected_env)
    if (const auto given = placement.env.find(name); given != placement.env.end())
      out.push_back(text(name + "=" + given->second));
  return out;
}

std::vector<std::string> secret_names(const Service& service, const Placement& placement) {
  std::vector<std::string> out;
  for (const std::string& name : service.injected_env)
    if (!placement.env.contains(name)) out.push_back(name);
  return out;
}

std::string tcp(std::uint16_t port) { return fmt::format("{}/tcp", port); }

bj::object exposed_ports(const Service& service) {
  bj::object out;
  for (const std::uint16_t port : service.expose) out[key(tcp(port))] = bj::object();
  for (const Port& port : service.ports) out[key(tcp(port.container))] = bj::object();
  return out;
}

bj::object port_bindings(const Service& service, const Placement& placement) {
  bj::object out;
  for (const Port& port : service.ports) {
    bj::value& bindings = out[key(tcp(port.container))];
    if (bindings.is_null()) bindings = bj::array();
    bindings.get_array().push_back(
        bj::object{{"HostIp", text(placement.workload_address)}, {"HostPort", text(fmt::format("{}", port.host))}});
  }
  return out;
}

bj::object health(const Healthcheck& from) {
  bj::object out;
  if (from.disabled) {
    out["Test"] = list({"NONE"});
    return out;
  }
  if (!from.test.empty()) out["Test"] = list(from.test);
  if (from.interval_ns) out["Interval"] = *from.interval_ns;
  if (from.timeout_ns) out["Timeout"] = *from.timeout_ns;
  if (from.start_period_ns) out["StartPeriod"] = *from.start_period_ns;
  if (from.retries) out["Retries"] = *from.retries;
  return out;
}

bj::object tmpfs_options(const Tmpfs& from) {
  bj::object out;
  if (from.size_bytes) out["SizeBytes"] = *from.size_bytes;
  if (from.mode) out["Mode"] = *from.mode;
  return out;
}

bj::array mounts(const Service& service, const Placement& placement) {
  bj::array out;
  for (const VolumeMount& mount : service.volumes)
    out.push_back(bj::object{{"Type", "volume"},
                             {"Source", text(volume_name(placement, mount.volume))},
                             {"Target", text(mount.target)},
                             {"ReadOnly", mount.read_only}});
  for (const Tmpfs& mount : service.tmpfs_mounts)
    out.push_back(
        bj::object{{"Type", "tmpfs"}, {"Target", text(mount.target)}, {"TmpfsOptions", tmpfs_options(mount)}});
  for (const std::string& name : service.file_secrets)
    out.push_back(bj::object{{"Type", "bind"},
                             {"Source", text(placement.secrets_dir + "/" + name)},
                             {"Target", text("/run/secrets/" + name)},
                             {"ReadOnly", true}});
  return out;
}

bj::object tmpfs(const Service& service) {
  bj::object out;
  for (const Tmpfs& mount : service.tmpfs) {
    std::string options;
    if (mount.size_bytes) options = fmt::format("size={}", *mount.size_bytes);
    if (mount.mode) options += fmt::format("{}mode={:o}", options.empty() ? "" : ",", *mount.mode);
    out[key(mount.target)] = text(options);
  }
  return out;
}

void add_limits(const Service& service, const Placement& placement, bj::object& host) {
  const std::int64_t whole = std::max(placement.vm_memory_mib - kHeldBackMib, kLeastMemoryMib) * kMib;
  const std::int64_t memory =
      service.memory_bytes.value_or(std::max(whole, service.memory_reservation_bytes.value_or(0)));
  host["Memory"] = memory;
  host["MemorySwap"] = memory;  // no swap
  if (service.memory_reservation_bytes) host["MemoryReservation"] = *service.memory_reservation_bytes;
  if (service.nano_cpus) host["NanoCpus"] = *service.nano_cpus;
  host["PidsLimit"] = service.pids_limit.value_or(kDefaultPids);
  if (service.shm_bytes) host["ShmSize"] = *service.shm_bytes;
  if (service.nofile)
    host["Ulimits"] =
        bj::array{bj::object{{"Name", "nofile"}, {"Soft", service.nofile->soft}, {"Hard", service.nofile->hard}}};
  if (service.gpu_count > 0) {
    bj::array all_of;  // one alternative, of one capability
    all_of.push_back(list({"gpu"}));
    host["DeviceRequests"] =
        bj::array{bj::object{{"Driver", "nvidia"}, {"Count", service.gpu_count}, {"Capabilities", std::move(all_of)}}};
  }
}

bj::object host_config(const Service& service, const Placement& placement) {
  bj::object out;
  out["Privileged"] = false;
  out["NetworkMode"] = text(network_name(placement, service.networks.front().network));
  out["PortBindings"] = port_bindings(service, placement);
  out["Mounts"] = mounts(service, placement);
  out["Tmpfs"] = tmpfs(service);
  if (service.read_only) out["ReadonlyRootfs"] = *service.read_only;
  if (service.init) out["Init"] = *service.init;
  out["CapDrop"] = list(service.cap_drop);
  out["SecurityOpt"] = list({"no-new-privileges:true"});
  out["LogConfig"] = bj::object{{"Type", "local"}, {"Config", bj::object{{"max-file", "3"}, {"max-size", "10m"}}}};
  out["RestartPolicy"] = bj::object{{"Name", "no"}};
  add_limits(service, placement, out);
  return out;
}

std::vector<std::string> aliases(const Service& service, const NetworkUse& use) {
  std::vector<std::string> out{service.name};
  out.insert(out.end(), use.aliases.begin(), use.aliases.end());
  return out;
}

bj::object body_of(const Service& service, const Placement& placement) {
  bj::object out;
  out["Image"] = text(service.image.pinned().value_or(""));
  if (service.command) out["Cmd"] = list(*service.command);
  if (service.entrypoint) out["Entrypoint"] = list(*service.entrypoint);
  out["Env"] = environment(service, placement);
  if (service.working_dir) out["WorkingDir"] = text(*service.working_dir);
  if (service.user) out["User"] = text(*service.user);
  if (service.stop_signal) out["StopSignal"] = text(*service.stop_signal);
  if (service.stop_grace_seconds) out["StopTimeout"] = *service.stop_grace_seconds;
  bj::object labels;
  for (const auto& [name, value] : service.labels) labels[key(name)] = text(value);
  out["Labels"] = std::move(labels);
  out["ExposedPorts"] = exposed_ports(service);
  if (service.healthcheck) out["Healthcheck"] = health(*service.healthcheck);
  out["Tty"] = false;
  out["OpenStdin"] = false;
  out["HostConfig"] = host_config(service, placement);
  const NetworkUse& first = service.networks.front();
  bj::object endpoints;
  endpoints[key(network_name(placement, first.network))] = bj::object{{"Aliases", list(aliases(service, first))}};
  out["NetworkingConfig"] = bj::object{{"EndpointsConfig", std::move(endpoints)}};
  return out;
}

CreateContainer::Health health_source(const Service& service) {
  if (!service.healthcheck) return CreateContainer::Health::image;
  if (service.healthcheck->disabled) return CreateContainer::Health::disabled;
  return service.healthcheck->test.empty() ? CreateContainer::Health::image : CreateContainer::Health::file;
}

CreateContainer container(const Service& service, const Placement& placement) {
  CreateContainer out{.service = service.name,
                      .image = service.image.pinned().value_or(""),
                      .body = body_of(service, placement),
                      .secret_env = secret_names(service, placement),
                      .depends_on = service.depends_on,
                      .health = health_source(service),
                      .stop_seconds = service.stop_grace_seconds.value_or(kDefaultStopSeconds)};
  for (std::size_t i = 1; i < service.networks.size(); ++i)
    out.connect.push_back(
        {network_name(placement, service.networks[i].network), aliases(service, service.networks[i])});
  return out;
}

}  // namespace

Plan create_requests(const Workload& workload, const Placement& placement) {
  Plan out;
  for (const Network& network : workload.networks)
    out.networks.push_back({network_name(placement, network.name), network.internal});
  for (const std::string& volume : workload.volumes) out.volumes.push_back(volume_name(placement, volume));
  for (const std::size_t index : start_order(workload.services))
    out.containers.push_back(container(workload.services[index], placement));
  out.stop_levels = start_levels(workload.services);
  std::ranges::reverse(out.stop_levels);
  return out;
}

}  // namespace ee::compose
