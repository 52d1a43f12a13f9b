#include "agent/runtime/container_stats.h"

#include <algorithm>

#include "agent/host_stats.h"
#include "agent/proc_text.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxFileBytes = 64UL * 1024;

/// The container's cgroup below /sys/fs/cgroup: the line `0::<path>`. Nothing outside this agent's view of the tree.
std::optional<std::string> cgroup_folder(const Host& host, std::int64_t pid) {
  const auto text = host.read("proc/" + std::to_string(pid) + "/cgroup", kMaxFileBytes);
  if (!text) return std::nullopt;
  for (const std::string_view line : lines(*text)) {
    if (!line.starts_with("0::/")) continue;
    const std::string_view path = line.substr(3);
    if (path.contains("..")) return std::nullopt;
    return "sys/fs/cgroup" + std::string(path == "/" ? "" : path) + "/";
  }
  return std::nullopt;
}

/// The number behind `name ` at the start of a line.
std::optional<std::int64_t> field(const std::optional<std::string>& text, std::string_view name) {
  if (!text) return std::nullopt;
  for (const std::string_view line : lines(*text)) {
    const auto parts = words(line);
    if (parts.size() == 2 && parts[0] == name) return decimal(parts[1]);
  }
  return std::nullopt;
}

/// Sum of `name=<bytes>` over the devices of io.stat.
std::optional<std::int64_t> io_sum(const std::optional<std::string>& text, std::string_view name) {
  if (!text) return std::nullopt;
  std::int64_t sum = 0;
  for (const std::string_view line : lines(*text))
    for (const std::string_view word : words(line))
      if (word.starts_with(name) && word.substr(name.size()).starts_with('='))
        if (const auto bytes = decimal(word.substr(name.size() + 1)))
          if (__builtin_add_overflow(sum, *bytes, &sum)) return std::nullopt;
  return sum;
}

}  // namespace

bool has_cgroup_v2(const Host& host) { return host.read("sys/fs/cgroup/cgroup.controllers", 4096).has_value(); }

std::optional<std::int64_t> ContainerStatsSampler::cpu_millis_of(const std::string& container_id,
                                                                 std::int64_t usage_usec) {
  const SteadyTime now = clock_.steady_now();
  const std::lock_guard lock(mutex_);
  const auto found = last_.find(container_id);
  std::optional<std::int64_t> millis;
  if (found != last_.end()) {
    const std::int64_t wall = std::chrono::duration_cast<std::chrono::microseconds>(now - found->second.at).count();
    if (wall > 0 && usage_usec >= found->second.usage_usec)
      millis = cpu_millis(usage_usec - found->second.usage_usec, wall);
  }
  last_[container_id] = {.usage_usec = usage_usec, .at = now};
  return millis;
}

void ContainerStatsSampler::forget(const std::string& container_id) {
  const std::lock_guard lock(mutex_);
  last_.erase(container_id);
}

ContainerStats ContainerStatsSampler::sample(const std::string& container_id, std::int64_t pid,
                                             const std::stop_token& stop) {
  ContainerStats stats;
  if (pid <= 0 || !has_cgroup_v2(host_)) return stats;
  const auto folder = cgroup_folder(host_, pid);
  const auto read = [&](std::string_view file) {
    return folder ? host_.read(*folder + std::string(file), kMaxFileBytes) : std::nullopt;
  };
  const auto cpu = read("cpu.stat");
  const auto memory = read("memory.current");
  if (!cpu && !memory) {
    const auto counters = runtime_.stats(container_id, stop);
    if (!counters) return stats;
    if (counters->cpu_usage_usec) stats.cpu_millis = cpu_millis_of(container_id, *counters->cpu_usage_usec);
    stats.memory_bytes = counters->memory_bytes;
    stats.memory_limit_bytes = counters->memory_limit_bytes;
    stats.pids = counters->pids;
    stats.io_read_bytes = counters->io_read_bytes;
    stats.io_write_bytes = counters->io_write_bytes;
    return stats;
  }
  if (const auto usage = field(cpu, "usage_usec")) stats.cpu_millis = cpu_millis_of(container_id, *usage);
  const auto inactive = field(read("memory.stat"), "inactive_file");
  if (const auto current = memory ? decimal(trimmed(*memory)) : std::nullopt; current && inactive)
    stats.memory_bytes = std::max<std::int64_t>(*current - *inactive, 0);
  if (const auto limit = read("memory.max")) stats.memory_limit_bytes = decimal(trimmed(*limit));  // `max` = none
  stats.oom_kills = field(read("memory.events"), "oom_kill");
  if (const auto pids = read("pids.current")) stats.pids = decimal(trimmed(*pids));
  const auto io = read("io.stat");
  stats.io_read_bytes = io_sum(io, "rbytes");
  stats.io_write_bytes = io_sum(io, "wbytes");
  return stats;
}

}  // namespace ee::agent
