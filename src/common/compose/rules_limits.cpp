#include <boost/json/value.hpp>
#include "common/compose/rules.h"

#include "common/compose/values.h"

namespace ee::compose {
namespace {

constexpr std::int64_t kNanoPerCpu = 1'000'000'000;
constexpr std::int64_t kLeastNanoCpus = kNanoPerCpu / 100;    // what the engine takes
constexpr std::int64_t kLeastMemory = std::int64_t{6} << 20;  // what the engine takes
constexpr std::int64_t kMaxOpenFiles = 1'048'576;
constexpr std::int64_t kMaxShm = std::int64_t{1} << 30;
constexpr std::int64_t kMaxPids = 32768;
constexpr std::string_view kResources = "resources";

std::string_view name_of(const boost::json::key_value_pair& member) {
  return {member.key().data(), member.key().size()};
}

/// Sets a limit that may be written in two places; both must say the same.
void set_limit(Scope& scope, const std::string& path, std::string_view code, std::int64_t value,
               std::optional<std::int64_t>& to) {
  if (to && *to != value) scope.breaches.add(path, code, "The limit is there twice, with different values.");
  to = value;
}

void read_memory(Scope& scope, const std::string& path, std::string_view code, const Value& value,
                 std::optional<std::int64_t>& to) {
  const auto bytes = byte_count(value);
  if (!bytes || *bytes < kLeastMemory || *bytes > scope.memory_bytes())
    return scope.breaches.add(path, code, "It is a size such as 512m, at least 6m and at most the node's memory.");
  set_limit(scope, path, code, *bytes, to);
}

void read_cpu_count(Scope& scope, const std::string& path, std::string_view code, const Value& value,
                    std::optional<std::int64_t>& to) {
  const auto nano = nano_count(value);
  if (!nano || *nano < kLeastNanoCpus || *nano > scope.options.ceiling.vcpus * kNanoPerCpu)
    return scope.breaches.add(path, code, "It is a number such as 0.5, at least 0.01 and at most the node's vCPUs.");
  set_limit(scope, path, code, *nano, to);
}

bool is_gpu_list(const Value* capabilities) {
  const auto* list = capabilities == nullptr ? nullptr : capabilities->if_array();
  return list != nullptr && list->size() == 1 && list->front().is_string() && view(list->front()) == "gpu";
}

void read_device(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kResources, "A device is a mapping.");
  for (const auto& member : *keys)
    if (name_of(member) != "driver" && name_of(member) != "capabilities" && name_of(member) != "count")
      scope.breaches.add(child(path, name_of(member)), kResources, "This key is not allowed here.");
  const Value* driver = keys->if_contains("driver");
  if (driver == nullptr || !driver->is_string() || view(*driver) != "nvidia")
    scope.breaches.add(child(path, "driver"), kResources, "The only driver is nvidia.");
  if (!is_gpu_list(keys->if_contains("capabilities")))
    scope.breaches.add(child(path, "capabilities"), kResources, "The capabilities are exactly [gpu].");
  const Value* count = keys->if_contains("count");
  const auto number = count == nullptr ? std::nullopt : integer(*count);
  const std::int64_t left = scope.options.ceiling.gpu_count - to.gpu_count;
  if (!number || *number < 1 || *number > left)
    return scope.breaches.add(child(path, "count"), kResources, "It is an integer from 1 to the node's GPUs.");
  to.gpu_count += *number;
}

void read_devices(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* list = value.if_array();
  if (list == nullptr) return scope.breaches.add(path, kResources, "It is a list.");
  for (std::size_t i = 0; i < list->size(); ++i) read_device(scope, child(path, i), (*list)[i], to);
}

void read_reservations(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kResources, "It is a mapping.");
  std::optional<std::int64_t> ignored_cpus;  // the engine has nothing to reserve them with
  for (const auto& member : *keys) {
    const std::string at = child(path, name_of(member));
    if (member.value().is_null()) continue;
    if (name_of(member) == "cpus")
      read_cpu_count(scope, at, kResources, member.value(), ignored_cpus);
    else if (name_of(member) == "memory")
      read_memory(scope, at, kResources, member.value(), to.memory_reservation_bytes);
    else if (name_of(member) == "devices")
      read_devices(scope, at, member.value(), to);
    else
      scope.breaches.add(at, kResources, "This key is not allowed here.");
  }
}

void read_limits(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kResources, "It is a mapping.");
  for (const auto& member : *keys) {
    const std::string at = child(path, name_of(member));
    if (member.value().is_null()) continue;
    if (name_of(member) == "cpus")
      read_cpu_count(scope, at, kResources, member.value(), to.nano_cpus);
    else if (name_of(member) == "memory")
      read_memory(scope, at, kResources, member.value(), to.memory_bytes);
    else
      scope.breaches.add(at, kResources, "This key is not allowed here.");
  }
}

void read_resources(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kResources, "It is a mapping.");
  for (const auto& member : *keys) {
    const std::string at = child(path, name_of(member));
    if (member.value().is_null()) continue;
    if (name_of(member) == "limits")
      read_limits(scope, at, member.value(), to);
    else if (name_of(member) == "reservations")
      read_reservations(scope, at, member.value(), to);
    else
      scope.breaches.add(at, kResources, "This key is not allowed here.");
  }
}

}  // namespace

void read_ulimits(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kOutOfRange, "It is a mapping.");
  for (const auto& member : *keys) {
    const std::string at = child(path, name_of(member));
    if (name_of(member) != "nofile") {
      scope.breaches.add(at, kNotAllowed, "Only nofile is allowed here.");
      continue;
    }
    const auto* both = member.value().if_object();
    const Value* soft = both == nullptr ? &member.value() : both->if_contains("soft");
    const Value* hard = both == nullptr ? &member.value() : both->if_contains("hard");
    const auto low = soft == nullptr ? std::nullopt : integer(*soft);
    const auto high = hard == nullptr ? std::nullopt : integer(*hard);
    if (!low || !high || *low < 1 || *low > *high || *high > kMaxOpenFiles || (both != nullptr && both->size() != 2))
      scope.breaches.add(at, kOutOfRange, "It is an integer from 1 to 1048576, or soft and hard ones.");
    else
      to.nofile = {*low, *high};
  }
}

void read_shm_size(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto bytes = byte_count(value);
  if (!bytes || *bytes < 1 || *bytes > kMaxShm || *bytes > scope.memory_bytes())
    return scope.breaches.add(path, kOutOfRange, "It is a size such as 64m, at most 1g.");
  to.shm_bytes = bytes;
}

void read_pids_limit(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto number = integer(value);
  if (!number || *number < 1 || *number > kMaxPids)
    return scope.breaches.add(path, kOutOfRange, "It is an integer from 1 to 32768.");
  to.pids_limit = number;
}

void read_mem_limit(Scope& scope, const std::string& path, const Value& value, Service& to) {
  read_memory(scope, path, kOutOfRange, value, to.memory_bytes);
}

void read_cpus(Scope& scope, const std::string& path, const Value& value, Service& to) {
  read_cpu_count(scope, path, kOutOfRange, value, to.nano_cpus);
}

void read_deploy(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kResources, "It is a mapping.");
  for (const auto& member : *keys) {
    const std::string at = child(path, name_of(member));
    const bool one = member.value().is_int64() && member.value().get_int64() == 1;
    if (name_of(member) == "replicas" && one && !scope.resolved) continue;
    if (name_of(member) == "resources" && member.value().is_null()) continue;
    if (name_of(member) == "resources")
      read_resources(scope, at, member.value(), to);
    else
      scope.breaches.add(at, kResources, "Only resources, and replicas with the value 1, are allowed here.");
  }
}

}  // namespace ee::compose
