#include "agent/host_stats.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "agent/proc_text.h"

namespace ee::agent {
namespace {

constexpr std::uint64_t kMib = 1024UL * 1024;
constexpr std::size_t kMaxFile = 1024UL * 1024;

bool is_counted_interface(std::string_view name) {
  constexpr std::array<std::string_view, 5> kOfContainers = {"veth", "br", "docker", "podman", "cni"};
  return name != "lo" && std::ranges::none_of(kOfContainers, [&](auto prefix) { return name.starts_with(prefix); });
}

}  // namespace

std::optional<std::int64_t> busy_usec(std::string_view proc_stat, std::int64_t ticks_per_second) {
  const auto all = lines(proc_stat);
  if (all.empty() || ticks_per_second <= 0) return std::nullopt;
  const auto parts = words(all.front());
  // cpu user nice system idle iowait irq softirq steal guest guest_nice
  if (parts.size() < 8 || parts[0] != "cpu") return std::nullopt;
  std::int64_t ticks = 0;
  for (const std::size_t i : {1UL, 2UL, 3UL, 6UL, 7UL}) {
    const auto value = decimal(parts[i]);
    if (!value || *value > std::numeric_limits<std::int64_t>::max() / 10'000'000) return std::nullopt;
    ticks += *value;
  }
  return ticks * 1'000'000 / ticks_per_second;
}

std::int64_t cpu_millis(std::int64_t usage_usec, std::int64_t wall_usec) { return usage_usec * 1000 / wall_usec; }

std::optional<NetBytes> net_bytes(std::string_view proc_net_dev) {
  NetBytes out;
  bool any = false;
  for (const std::string_view line : lines(proc_net_dev)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;  // the two lines of headings
    any = true;
    if (!is_counted_interface(trimmed(line.substr(0, colon)))) continue;
    const auto parts = words(line.substr(colon + 1));
    if (parts.size() < 9) return std::nullopt;
    const auto received = decimal(parts[0]);
    const auto sent = decimal(parts[8]);
    if (!received || !sent) return std::nullopt;
    out.received += *received;
    out.sent += *sent;
  }
  return any ? std::optional(out) : std::nullopt;
}

std::optional<std::int64_t> HostStatsSampler::cpu_millis(SteadyTime now) {
  const auto stat = host_.read("proc/stat", kMaxFile);
  const auto busy = stat ? busy_usec(*stat, ::sysconf(_SC_CLK_TCK)) : std::nullopt;
  const auto before = std::exchange(last_, busy ? std::optional(CpuSample{*busy, now}) : std::nullopt);
  if (!busy || !before || *busy < before->busy_usec) return std::nullopt;
  const auto wall = std::chrono::duration_cast<std::chrono::microseconds>(now - before->at).count();
  if (wall <= 0) return std::nullopt;
  return agent::cpu_millis(*busy - before->busy_usec, wall);
}

agent_api::HostStats HostStatsSampler::sample() {
  const std::lock_guard lock(mutex_);
  agent_api::HostStats out;
  out.cpu_millis_used = cpu_millis(clock_.steady_now());
  if (const auto meminfo = host_.read("proc/meminfo", kMaxFile)) {
    const auto total = meminfo_kib(*meminfo, "MemTotal");
    const auto available = meminfo_kib(*meminfo, "MemAvailable");
    if (total) out.memory_total_mib = *total / 1024;
    if (total && available && *available <= *total) out.memory_used_mib = (*total - *available) / 1024;
  }
  if (const auto load = host_.read("proc/loadavg", 4096)) {
    const auto parts = words(trimmed(*load));
    if (!parts.empty()) out.load1_milli = decimal_milli(parts[0]);
  }
  if (const auto dev = host_.read("proc/net/dev", kMaxFile)) {
    if (const auto bytes = net_bytes(*dev)) {
      out.net_rx_bytes = bytes->received;
      out.net_tx_bytes = bytes->sent;
    }
  }
  if (const auto uptime = host_.read("proc/uptime", 4096)) {
    const auto parts = words(trimmed(*uptime));
    const auto milli = parts.empty() ? std::nullopt : decimal_milli(parts[0]);
    if (milli) out.uptime_seconds = *milli / 1000;
  }
  struct statvfs disk{};
  if (::statvfs(data_dir_.c_str(), &disk) == 0) {
    const auto mib = [&](fsblkcnt_t blocks) { return static_cast<std::int64_t>(blocks * disk.f_frsize / kMib); };
    out.disk_total_mib = mib(disk.f_blocks);
    out.disk_used_mib = mib(disk.f_blocks - disk.f_bfree);
  }
  return out;
}

}  // namespace ee::agent
