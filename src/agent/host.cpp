#include "agent/host.h"

#include <sys/statvfs.h>

#include <charconv>
#include <filesystem>

#include "agent/files.h"
#include "agent/proc_text.h"
#include "common/bytes.h"
#include "common/id.h"

namespace ee::agent {
namespace {

constexpr std::uint64_t kMib = 1024UL * 1024;

}  // namespace

std::optional<std::string> Host::read(std::string_view path, std::size_t max_bytes) const {
  auto text = read_file((std::filesystem::path(root_) / path).string(), max_bytes);
  if (!text) return std::nullopt;
  return std::move(*text);
}

Result<std::string> Host::boot_id() const {
  const auto text = read("proc/sys/kernel/random/boot_id", 256);
  const std::string_view id = text ? trimmed(*text) : std::string_view();
  if (!is_uuid(id)) return fail(ErrorCode::internal_error, "the kernel's boot id cannot be read");
  return std::string(id);
}

std::optional<std::string> Host::hostname() const {
  const auto text = read("etc/hostname", 1024);
  const std::string_view name = text ? trimmed(*text) : std::string_view();
  if (!is_dns_label(name) || name == "localhost") return std::nullopt;
  return std::string(name);
}

Result<agent_api::Capacity> Host::capacity(const std::string& data_dir) const {
  agent_api::Capacity out;
  const auto online = read("sys/devices/system/cpu/online", 4096);
  const auto vcpus = online ? count_cpu_list(trimmed(*online)) : std::nullopt;
  const auto meminfo = read("proc/meminfo", 64UL * 1024);
  const auto total_kib = meminfo ? meminfo_kib(*meminfo, "MemTotal") : std::nullopt;
  struct statvfs disk{};
  if (!vcpus || !total_kib || ::statvfs(data_dir.c_str(), &disk) != 0)
    return fail(ErrorCode::internal_error, "vCPUs, memory or disk cannot be measured");
  out.vcpus = *vcpus;
  out.memory_mib = *total_kib / 1024;
  out.disk_mib = static_cast<std::int64_t>(disk.f_blocks * disk.f_frsize / kMib);
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(root_) / "proc/driver/nvidia/gpus", ignored))
    if (entry.is_directory(ignored)) ++out.gpu_count;
  return out;
}

Result<std::string> resolve_vm_name(const AgentConfig& config, const std::optional<std::string>& gce_name,
                                    const Host& host, StateFile& state, Random& random) {
  if (config.vm_name) return *config.vm_name;
  if (gce_name && is_dns_label(*gce_name)) return *gce_name;
  if (auto name = host.hostname()) return *name;
  if (auto name = state.state().vm_name) return *name;
  ByteArray<4> bytes{};
  if (!random.fill(bytes)) return fail(ErrorCode::internal_error, "no random bytes");
  std::string name = "tdx-" + to_hex(bytes);
  if (auto saved = state.update([&](AgentState& next) { next.vm_name = name; }); !saved)
    return fail(std::move(saved.error()));
  return name;
}

}  // namespace ee::agent
