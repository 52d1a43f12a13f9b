#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/subprocess.h"

namespace ee::agent {

/// What keeps containers away from the agent and from cloud metadata: packets from their subnets to the agent's ports
/// on any address of this host, to 169.254.0.0/16, and to 168.63.129.16 (Azure's, but for DNS) are dropped. Agent
/// contract, section 20. Thread-safe.
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

/// Says to the other agents of this host that the owner of a table is alive: an abstract unix socket, which the kernel
/// drops with the process. Its names are known in the network namespace only, as tables are.
class TableClaim {
 public:
  explicit TableClaim(std::string_view table);
  TableClaim(const TableClaim&) = delete;
  TableClaim& operator=(const TableClaim&) = delete;
  ~TableClaim();
  /// False: another process has it.
  bool held() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// By nftables, through the program `nft`, in a table of this instance's own that no one else's rules touch.
class NftFirewall final : public Firewall {
 public:
  /// All must outlive it. `instance` tells agents on one host apart; `ports` are the agent's own two. Claims the table
  /// for as long as it lives.
  NftFirewall(SubprocessLauncher& subprocesses, Clock& clock, std::string_view instance,
              std::array<std::uint16_t, 2> ports);

  Result<void> set_subnets(const std::vector<std::string>& subnets, const std::stop_token& stop) override;
  bool in_place(const std::stop_token& stop) override;
  Result<void> remove(const std::stop_token& stop) override;
  /// Takes out the tables of agents that were killed and will not come back for them: nobody claims the table, and this
  /// host has none of `local_addresses` in its subnets, so that no container is behind it. How many. Errors:
  /// internal_error.
  Result<int> remove_stale(const std::vector<std::string>& local_addresses, const std::stop_token& stop);
  const std::string& table() const { return table_; }

 private:
  void claim();
  Result<std::string> nft(std::vector<std::string> arguments, const std::stop_token& stop);
  Result<std::string> listed(const std::stop_token& stop);
  bool remove_if_stale(const std::string& table, const std::vector<std::string>& local_addresses,
                       const std::stop_token& stop);

  SubprocessLauncher& subprocesses_;
  Clock& clock_;
  const std::string table_;
  std::optional<TableClaim> claim_;
  const std::array<std::uint16_t, 2> ports_;
  std::mutex mutex_;
  std::string expected_;  ///< how the kernel lists what was set last; empty: nothing was set
};

/// The nft commands that replace `table`. Nothing when a subnet is not one of IPv4, or there are more than 64.
std::optional<std::string> firewall_commands(std::string_view table, const std::vector<std::string>& subnets,
                                             std::array<std::uint16_t, 2> ports);

/// Whether the set in the listing of a table holds one of these IPv4 addresses; true when it cannot be read.
bool may_guard(std::string_view listing, const std::vector<std::string>& addresses);

/// The IPv4 addresses of this host's interfaces.
std::vector<std::string> local_ipv4_addresses();

}  // namespace ee::agent
