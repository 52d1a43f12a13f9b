#include "tests/support/compose_cases.h"

#include <fmt/format.h>

#include <algorithm>

namespace ee::compose::testing {
std::string list_of(int count, std::string_view item) {
  std::string out;
  for (int i = 1; i <= count; ++i) out += (out.empty() ? "" : ", ") + fmt::format(fmt::runtime(item), i);
  return out;
}

CheckOptions options() { return {.ceiling = {.vcpus = 4, .memory_mib = 4096, .gpu_count = 2}}; }

std::string service_file(std::string_view keys) {
  return fmt::format(
      "services: {{web: {{image: '{}'{}{}}}}}\nvolumes: {{data: , logs: {{driver: local}}}}\n"
      "networks: {{back: {{internal: true}}, front: }}\n",
      kImage, keys.empty() ? "" : ", ", keys);
}

Case service_case(std::string_view keys, std::vector<std::string> breaches) {
  for (std::string& breach : breaches) breach.insert(0, "services.web.");
  std::ranges::sort(breaches);
  return {service_file(keys), std::move(breaches)};
}

std::vector<std::string> breaches_of(const Error& error) {
  std::vector<std::string> out;
  for (const FieldError& field : error.fields) {
    std::string path = field.field;
    if (path.starts_with("compose.")) path.erase(0, 8);
    out.push_back(path + " " + field.code);
  }
  std::ranges::sort(out);
  return out;
}

std::vector<Case> refused_key_cases() {
  std::vector<Case> out;
  const auto refuse = [&](std::initializer_list<std::string_view> keys, std::string_view code) {
    for (const std::string_view key : keys)
      for (const std::string_view value : {"x", "null", "[a]", "{a: b}"})
        out.push_back(service_case(fmt::format("{}: {}", key, value), {fmt::format("{} {}", key, code)}));
  };
  refuse({"build"}, "build");
  refuse({"network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup", "cgroup_parent"}, "host_namespace");
  refuse({"cap_add", "security_opt", "sysctls", "runtime", "gpus"}, "privilege");
  refuse({"devices", "device_cgroup_rules"}, "device");
  refuse({"extends",        "env_file",
          "links",          "external_links",
          "volumes_from",   "container_name",
          "extra_hosts",    "dns",
          "dns_opt",        "dns_search",
          "logging",        "pull_policy",
          "profiles",       "develop",
          "post_start",     "pre_stop",
          "configs",        "credential_spec",
          "group_add",      "isolation",
          "oom_score_adj",  "tty",
          "stdin_open",     "mac_address",
          "hostname",       "domainname",
          "storage_opt",    "scale",
          "attach",         "annotations",
          "x-mine",         "Privileged",
          "PRIVILEGED",     "Image",
          "Ports",          "priviledged",
          "provider",       "models",
          "use_api_socket", "label_file",
          "blkio_config",   "mem_swappiness"},
         "key_not_allowed");
  for (const std::string_view value :
       {"true", "\"true\"", "\"false\"", "'false'", "True", "yes", "no", "0", "1", "null", "[]", "{}"})
    out.push_back(service_case(fmt::format("privileged: {}", value), {"privileged privileged"}));
  for (const std::string_view value : {"false", "False", "FALSE", "!!bool false"})
    out.push_back(service_case(fmt::format("privileged: {}", value)));
  for (const std::string_view key : {"configs", "include", "models", "Services", "extends", "networks_", "secret"})
    out.push_back({service_file("") + fmt::format("{}: {{}}\n", key), {fmt::format("{} key_not_allowed", key)}});
  for (const std::string_view top :
       {"name: app", "version: '3.8'", "version: 3.8", "x-any: {privileged: true, a: '${B}'}"})
    out.push_back({service_file("") + std::string(top) + "\n"});
  return out;
}

std::vector<Case> process_cases() {
  return {
      service_case("command: run --now"),
      service_case("command: [run, '--now']"),
      service_case("command: []"),
      service_case("command: null"),
      service_case("command: 5", {"command value_out_of_range"}),
      service_case("command: [run, 5]", {"command value_out_of_range"}),
      service_case("command: \"it's\"", {"command value_out_of_range"}),
      service_case("command: {a: b}", {"command value_out_of_range"}),
      service_case("entrypoint: ''"),
      service_case("entrypoint: [sh, -c]"),
      service_case("entrypoint: true", {"entrypoint value_out_of_range"}),
      service_case("working_dir: /srv"),
      service_case("working_dir: srv", {"working_dir value_out_of_range"}),
      service_case("user: '1000:1000'"),
      service_case("user: 1000"),
      service_case("user: www-data"),
      service_case("user: ''", {"user value_out_of_range"}),
      service_case("user: -1", {"user value_out_of_range"}),
      service_case("user: 'a b'", {"user value_out_of_range"}),
      service_case("user: [root]", {"user value_out_of_range"}),
      service_case("read_only: true"),
      service_case("read_only: \"true\"", {"read_only value_out_of_range"}),
      service_case("init: true"),
      service_case("init: yes", {"init value_out_of_range"}),
      service_case("cap_drop: [ALL]"),
      service_case("cap_drop: [NET_RAW, CAP_CHOWN]"),
      service_case("cap_drop: ALL", {"cap_drop value_out_of_range"}),
      service_case("cap_drop: ['a b']", {"cap_drop[0] value_out_of_range"}),
      service_case("stop_signal: SIGINT"),
      service_case("stop_signal: 15"),
      service_case("stop_signal: SIGRTMIN+3"),
      service_case("stop_signal: 65", {"stop_signal value_out_of_range"}),
      service_case("stop_signal: sigint", {"stop_signal value_out_of_range"}),
      service_case("stop_grace_period: 300s"),
      service_case("stop_grace_period: 5m"),
      service_case("stop_grace_period: 1m30.5s"),
      service_case("stop_grace_period: 0"),
      service_case("stop_grace_period: 301s", {"stop_grace_period value_out_of_range"}),
      service_case("stop_grace_period: 5m1ns", {"stop_grace_period value_out_of_range"}),
      service_case("stop_grace_period: 30", {"stop_grace_period value_out_of_range"}),
      service_case("stop_grace_period: -1s", {"stop_grace_period value_out_of_range"}),
      service_case("stop_grace_period: 9999999999999h", {"stop_grace_period value_out_of_range"}),
      service_case("platform: linux/amd64"),
      service_case("platform: linux/arm64", {"platform value_out_of_range"}),
      service_case("platform: LINUX/AMD64", {"platform value_out_of_range"}),
      service_case("restart: always"),
      service_case("restart: 'no'"),
      service_case("restart: no"),
      service_case("restart: on-failure:5"),
      service_case("restart: 'on-failure:'", {"restart value_out_of_range"}),
      service_case("restart: sometimes", {"restart value_out_of_range"}),
      service_case("restart: false", {"restart value_out_of_range"}),
      service_case(
          "healthcheck: {test: curl -f localhost, interval: 30s, timeout: 1.5s, retries: 3, start_period: 1m}"),
      service_case("healthcheck: {test: [CMD, curl, localhost]}"),
      service_case("healthcheck: {test: [CMD-SHELL, 'a || b']}"),
      service_case("healthcheck: {test: [NONE]}"),
      service_case("healthcheck: {disable: true}"),
      service_case("healthcheck: {start_period: 0}"),
      service_case("healthcheck: {test: [curl]}", {"healthcheck.test value_out_of_range"}),
      service_case("healthcheck: {test: [CMD]}", {"healthcheck.test value_out_of_range"}),
      service_case("healthcheck: {test: []}", {"healthcheck.test value_out_of_range"}),
      service_case("healthcheck: {interval: 0}", {"healthcheck.interval value_out_of_range"}),
      service_case("healthcheck: {timeout: 25h}", {"healthcheck.timeout value_out_of_range"}),
      service_case("healthcheck: {retries: -1}", {"healthcheck.retries value_out_of_range"}),
      service_case("healthcheck: {retries: 1.5}", {"healthcheck.retries value_out_of_range"}),
      service_case("healthcheck: {disable: 'true'}", {"healthcheck.disable value_out_of_range"}),
      service_case("healthcheck: {start_interval: 1s}", {"healthcheck.start_interval key_not_allowed"}),
      service_case("healthcheck: [a]", {"healthcheck value_out_of_range"}),
  };
}

std::vector<Case> limit_cases() {
  const std::string gpu = "driver: nvidia, capabilities: [gpu]";
  const auto device = [](const std::string& keys) {
    return fmt::format("deploy: {{resources: {{reservations: {{devices: [{{{}}}]}}}}}}", keys);
  };
  const std::string at = "deploy.resources.reservations.devices[0]";
  return {
      service_case("ulimits: {nofile: 1048576}"),
      service_case("ulimits: {nofile: {soft: 1, hard: 1048576}}"),
      service_case("ulimits: {nofile: 1048577}", {"ulimits.nofile value_out_of_range"}),
      service_case("ulimits: {nofile: 0}", {"ulimits.nofile value_out_of_range"}),
      service_case("ulimits: {nofile: -1}", {"ulimits.nofile value_out_of_range"}),
      service_case("ulimits: {nofile: {soft: 2, hard: 1}}", {"ulimits.nofile value_out_of_range"}),
      service_case("ulimits: {nofile: {soft: 2}}", {"ulimits.nofile value_out_of_range"}),
      service_case("ulimits: {core: 1}", {"ulimits.core key_not_allowed"}),
      service_case("ulimits: 5", {"ulimits value_out_of_range"}),
      service_case("shm_size: 1g"),
      service_case("shm_size: 67108864"),
      service_case("shm_size: 1073741825", {"shm_size value_out_of_range"}),
      service_case("shm_size: 0", {"shm_size value_out_of_range"}),
      service_case("pids_limit: 1"),
      service_case("pids_limit: 32768"),
      service_case("pids_limit: 32769", {"pids_limit value_out_of_range"}),
      service_case("pids_limit: 0", {"pids_limit value_out_of_range"}),
      service_case("pids_limit: -1", {"pids_limit value_out_of_range"}),
      service_case("mem_limit: 4g"),
      service_case("mem_limit: 4096MiB"),
      service_case("mem_limit: 6m"),
      service_case("mem_limit: 4294967297", {"mem_limit value_out_of_range"}),
      service_case("mem_limit: 5m", {"mem_limit value_out_of_range"}),
      service_case("mem_limit: -1", {"mem_limit value_out_of_range"}),
      service_case("mem_limit: 1 elephant", {"mem_limit value_out_of_range"}),
      service_case("mem_limit: 99999999999999999999g", {"mem_limit value_out_of_range"}),
      service_case("mem_limit: true", {"mem_limit value_out_of_range"}),
      service_case("cpus: 0.5"),
      service_case("cpus: '4'"),
      service_case("cpus: 4.0"),
      service_case("cpus: 0.01"),
      service_case("cpus: 4.001", {"cpus value_out_of_range"}),
      service_case("cpus: 0", {"cpus value_out_of_range"}),
      service_case("cpus: 1e-3", {"cpus value_out_of_range"}),
      service_case("cpus: all", {"cpus value_out_of_range"}),
      service_case("deploy: {}"),
      service_case("deploy: {replicas: 1}"),
      service_case("deploy: {replicas: 2}", {"deploy.replicas resources"}),
      service_case("deploy: {replicas: '1'}", {"deploy.replicas resources"}),
      service_case("deploy: {mode: global}", {"deploy.mode resources"}),
      service_case("deploy: {restart_policy: {}}", {"deploy.restart_policy resources"}),
      service_case("deploy: {placement: {}}", {"deploy.placement resources"}),
      service_case("deploy: [a]", {"deploy resources"}),
      service_case("deploy: {resources: {limits: {cpus: '4', memory: 4g}}}"),
      service_case("deploy: {resources: {limits: {cpus: '5'}}}", {"deploy.resources.limits.cpus resources"}),
      service_case("deploy: {resources: {limits: {memory: 5g}}}", {"deploy.resources.limits.memory resources"}),
      service_case("deploy: {resources: {limits: {pids: 5}}}", {"deploy.resources.limits.pids resources"}),
      service_case("deploy: {resources: {limits: 5}}", {"deploy.resources.limits resources"}),
      service_case("deploy: {resources: {other: {}}}", {"deploy.resources.other resources"}),
      service_case("deploy: {resources: {reservations: {cpus: 1, memory: 64m}}}"),
      service_case("deploy: {resources: {reservations: {memory: 5g}}}",
                   {"deploy.resources.reservations.memory resources"}),
      service_case("deploy: {resources: {reservations: {generic_resources: []}}}",
                   {"deploy.resources.reservations.generic_resources resources"}),
      service_case("mem_limit: 1g, deploy: {resources: {reservations: {memory: 2g}}}",
                   {"deploy.resources.reservations.memory resources"}),
      service_case("mem_limit: 1g, deploy: {resources: {limits: {memory: 1024m}}}"),
      service_case("mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}",
                   {"deploy.resources.limits.memory resources"}),
      service_case(device(gpu + ", count: 1")),
      service_case(device(gpu + ", count: 2")),
      service_case(device(gpu + ", count: 3"), {at + ".count resources"}),
      service_case(device(gpu + ", count: all"), {at + ".count resources"}),
      service_case(device(gpu), {at + ".count resources"}),
      service_case(device(gpu + ", count: 1, device_ids: ['0']"), {at + ".device_ids resources"}),
      service_case(device("driver: amd, capabilities: [gpu], count: 1"), {at + ".driver resources"}),
      service_case(device("capabilities: [gpu], count: 1"), {at + ".driver resources"}),
      service_case(device("driver: nvidia, capabilities: [gpu, compute], count: 1"), {at + ".capabilities resources"}),
      service_case(device("driver: nvidia, capabilities: [[gpu]], count: 1"), {at + ".capabilities resources"}),
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> out;
  for (const auto& part : {refused_key_cases(), process_cases(), limit_cases(), storage_cases(), network_cases(),
                           name_cases(), expansion_cases()})
    out.insert(out.end(), part.begin(), part.end());
  return out;
}

}  // namespace ee::compose::testing
