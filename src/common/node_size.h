#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/agent_api.h"
#include "common/error.h"

namespace ee {

/// A machine type that a cloud offers for a node size.
struct MachineType {
  std::string_view name;
  std::int64_t vcpus;
  std::int64_t memory_gib;
};
/// The known GCP machine types that can run Intel TDX.
std::span<const MachineType> machine_types();
const MachineType* find_machine_type(std::string_view name);

/// A row of the table of node sizes. Fixed: agents, placement and prices agree on it.
struct NodeSize {
  std::string_view name;
  std::int64_t vcpus;       ///< minimum
  std::int64_t memory_gib;  ///< minimum
  std::int64_t disk_gib;
  std::span<const std::string_view> gcp_machine_types;  ///< the first is tried first
  std::int64_t memory_mib() const { return memory_gib * 1024; }
};
std::span<const NodeSize> node_sizes();
/// The row of that name, or null.
const NodeSize* find_node_size(std::string_view name);

/// `[a-z0-9][a-z0-9_-]{0,31}`; says nothing about the table.
bool is_node_size_name(std::string_view text);

/// What an agent measured of its VM against its node size: at least the size's vCPUs and 85 % of its memory (a guest
/// sees less than it was given). Disk and GPUs are recorded, not compared.
/// Errors: `unknown_node_size`, `capacity_below_size`.
Result<void> check_capacity(std::string_view node_size, const agent_api::Capacity& measured);

/// `<cloud>:<zone>`, cloud one of gcp, azure, aws, baremetal; not aliased, not completed.
struct Datacenter {
  std::string cloud;
  std::string zone;
};
std::optional<Datacenter> parse_datacenter(std::string_view text);

}  // namespace ee
