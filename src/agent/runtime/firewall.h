#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/subprocess.h"

namespace ee::agent {

/// What keeps containers away from the agent and from cloud metadata: packets from their subnets to the agent's ports
/// on any address of this host, and to 169.254.0.0/16, are dropped. Agent contract, section 20. Thread-safe.
class Firewall {
 public:
  virtual ~Firewall() = default;
  /// Makes the rules those for exactly these IPv4 subnets (`172.18.0.0/16`), at once and whole: there is no moment
  /// without. Before the first container on a new network starts. Errors: internal_error.
  virtual Result<void> set_subnets(const std::vector<std::string>& subnets, const std::stop_token& stop) = 0;
  /// Whether the kernel has the rules that were set last. False is the health check `firewall_missing`: outside dev
  /// nothing is deployed then.
  virtual bool in_place(const std::stop_token& stop) = 0;
  /// Takes the rules out. Errors: internal_error.
  virtual Result<void> remove(const std::stop_token& stop) = 0;
};

/// By nftables, through the program `nft`, in a table of this instance's own that no one else's rules touch.
class NftFirewall final : public Firewall {
 public:
  /// All must outlive it. `instance` tells agents on one host apart; `ports` are the agent's own two.
  NftFirewall(SubprocessLauncher& subprocesses, Clock& clock, std::string_view instance,
              std::array<std::uint16_t, 2> ports);

  Result<void> set_subnets(const std::vector<std::string>& subnets, const std::stop_token& stop) override;
  bool in_place(const std::stop_token& stop) override;
  Result<void> remove(const std::stop_token& stop) override;
  const std::string& table() const { return table_; }

 private:
  Result<std::string> nft(std::vector<std::string> arguments, const std::stop_token& stop);
  Result<std::string> listed(const std::stop_token& stop);

  SubprocessLauncher& subprocesses_;
  Clock& clock_;
  const std::string table_;
  const std::array<std::uint16_t, 2> ports_;
  std::mutex mutex_;
  std::string expected_;  ///< how the kernel lists what was set last; empty: nothing was set
};

/// The nft commands that replace `table`. Nothing when a subnet is not one of IPv4, or there are more than 64.
std::optional<std::string> firewall_commands(std::string_view table, const std::vector<std::string>& subnets,
                                             std::array<std::uint16_t, 2> ports);

}  // namespace ee::agent
