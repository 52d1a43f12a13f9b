#pragma once
#include <optional>
#include <string>

#include "agent/config.h"
#include "agent/state_file.h"
#include "common/agent_api.h"
#include "common/error.h"
#include "common/random.h"

namespace ee::agent {

/// Facts of this VM, read from the kernel's files. `root` is `/`; tests give a tree of their own. Thread-safe.
class Host {
 public:
  explicit Host(std::string root = "/") : root_(std::move(root)) {}

  /// UUID of this boot of the kernel. Error: internal_error when it cannot be read.
  Result<std::string> boot_id() const;
  /// `/etc/hostname`, if it is a DNS label other than `localhost`.
  std::optional<std::string> hostname() const;
  /// vCPUs online, memory, size of the file system of `data_dir`, NVIDIA GPUs. Error: internal_error.
  Result<agent_api::Capacity> capacity(const std::string& data_dir) const;
  /// Bytes of the file under the root; nothing when it is missing, unreadable or larger.
  std::optional<std::string> read(std::string_view path, std::size_t max_bytes) const;
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

/// The name of this VM: the configured one, else that of the GCE instance, else the host name, else the one in the
/// state file, else `tdx-<8 hex>`, which is saved before it is used.
Result<std::string> resolve_vm_name(const AgentConfig& config, const std::optional<std::string>& gce_name,
                                    const Host& host, StateFile& state, Random& random);

}  // namespace ee::agent
