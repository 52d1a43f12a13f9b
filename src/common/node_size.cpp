#include "common/node_size.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ee {
namespace {

constexpr std::array kMachineTypes = {
    MachineType{"c3-standard-4", 4, 16},    MachineType{"c3-standard-8", 8, 32},
    MachineType{"c3-standard-22", 22, 88},  MachineType{"c3-standard-44", 44, 176},
    MachineType{"c3-standard-88", 88, 352}, MachineType{"c3-standard-176", 176, 704},
};

constexpr std::array<std::string_view, 2> kTinyTypes = {"c3-standard-4", "c3-standard-8"};
constexpr std::array<std::string_view, 2> kStandardTypes = {"c3-standard-22", "c3-standard-44"};
constexpr std::array<std::string_view, 2> kLlmTypes = {"c3-standard-8", "c3-standard-22"};
constexpr std::array kNodeSizes = {
    NodeSize{"tiny", 4, 4, 80, kTinyTypes},
    NodeSize{"standard", 16, 16, 80, kStandardTypes},
    NodeSize{"llm", 8, 16, 80, kLlmTypes},
};

constexpr std::array<std::string_view, 4> kClouds = {"gcp", "azure", "aws", "baremetal"};

constexpr std::int64_t kMemoryPercent = 85;

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool matches(std::string_view text, std::size_t max_length, std::string_view extra) {
  if (text.empty() || text.size() > max_length || !is_lower_alnum(text.front())) return false;
  return std::ranges::all_of(text, [&](char c) { return is_lower_alnum(c) || extra.find(c) != extra.npos; });
}

}  // namespace

std::span<const MachineType> machine_types() { return kMachineTypes; }
const MachineType* find_machine_type(std::string_view name) {
  const auto* it = std::ranges::find(kMachineTypes, name, &MachineType::name);
  return it == kMachineTypes.end() ? nullptr : it;
}

std::span<const NodeSize> node_sizes() { return kNodeSizes; }
const NodeSize* find_node_size(std::string_view name) {
  const auto* it = std::ranges::find(kNodeSizes, name, &NodeSize::name);
  return it == kNodeSizes.end() ? nullptr : it;
}

bool is_node_size_name(std::string_view text) { return matches(text, 32, "_-"); }

Result<void> check_capacity(std::string_view node_size, const agent_api::Capacity& measured) {
  const NodeSize* size = find_node_size(node_size);
  if (size == nullptr) return fail(ErrorCode::unknown_node_size, "no such node size");
  if (measured.vcpus < size->vcpus)
    return fail(ErrorCode::capacity_below_size, fmt::format("{} needs {} vCPUs", size->name, size->vcpus));
  // Compared without a division: 4096 MiB accept 3482 and refuse 3481. Absurd values pass and cannot overflow.
  const bool enough =
      measured.memory_mib >= size->memory_mib() || measured.memory_mib * 100 >= size->memory_mib() * kMemoryPercent;
  if (measured.memory_mib < 0 || !enough)
    return fail(ErrorCode::capacity_below_size,
                fmt::format("{} needs {} MiB of memory, of which the guest may miss {} %", size->name,
                            size->memory_mib(), 100 - kMemoryPercent));
  return {};
}

std::optional<Datacenter> parse_datacenter(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == text.npos) return std::nullopt;
  const auto cloud = text.substr(0, colon);
  const auto zone = text.substr(colon + 1);
  if (std::ranges::find(kClouds, cloud) == kClouds.end() || !matches(zone, 96, "._-")) return std::nullopt;
  return Datacenter{.cloud = std::string(cloud), .zone = std::string(zone)};
}

}  // namespace ee
