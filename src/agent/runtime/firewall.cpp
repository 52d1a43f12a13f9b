#include "agent/runtime/firewall.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/ip_network.h"
#include "common/posix_subprocess.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxSubnets = 64;
constexpr std::size_t kMaxOutputBytes = 64UL * 1024;
constexpr Milliseconds kTimeout{10'000};
constexpr Milliseconds kPoll{10};
constexpr std::string_view kTablePrefix = "ee_agent_";
constexpr std::size_t kTableDigits = 12;
constexpr const char* kProgramFolders = "/usr/sbin:/sbin:/usr/bin:/bin";  // not on the PATH of every service

bool is_ipv4_subnet(const std::string& text) {
  return !text.contains(':') && text.contains('/') && is_ip_network(text) &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || c == '.' || c == '/'; });
}

}  // namespace

std::optional<std::string> firewall_commands(std::string_view table, const std::vector<std::string>& subnets,
                                             std::array<std::uint16_t, 2> ports) {
  if (subnets.size() > kMaxSubnets || !std::ranges::all_of(subnets, is_ipv4_subnet)) return std::nullopt;
  std::string elements;
  if (!subnets.empty()) elements = fmt::format("elements = {{ {} }}; ", fmt::join(subnets, ", "));
  // One transaction. The first line makes sure that there is something to delete. `raw` priority: before connection
  // tracking and before any address translation of the engine's.
  return fmt::format(
      "add table inet {0}; delete table inet {0}; add table inet {0}; "
      "add set inet {0} subnets {{ type ipv4_addr; flags interval; auto-merge; {1}}}; "
      "add chain inet {0} prerouting {{ type filter hook prerouting priority -300; policy accept; }}; "
      "add rule inet {0} prerouting ip saddr @subnets ip daddr 169.254.0.0/16 drop; "
      "add rule inet {0} prerouting ip saddr @subnets ip daddr 168.63.129.16 meta l4proto {{ tcp, udp }} th dport != "
      "53 drop; "
      "add rule inet {0} prerouting ip saddr @subnets meta l4proto {{ tcp, udp }} th dport {{ {2}, {3} }} "
      "fib daddr type local drop",
      table, elements, ports[0], ports[1]);
}

NftFirewall::NftFirewall(SubprocessLauncher& subprocesses, Clock& clock, std::string_view instance,
                         std::array<std::uint16_t, 2> ports)
    : subprocesses_(subprocesses),
      clock_(clock),
      table_(std::string(kTablePrefix) + to_hex(sha256(bytes_of(instance))).substr(0, kTableDigits)),
      ports_(ports) {
  claim();
}

/// Another agent that starts just now may have it for a moment, to see whether anybody does.
void NftFirewall::claim() {
  if (!claim_ || !claim_->held()) claim_.emplace(table_);
}

/// What the program printed; an error when it did not end with 0 in time.
Result<std::string> NftFirewall::nft(std::vector<std::string> arguments, const std::stop_token& stop) {
  const auto program = find_program("nft", kProgramFolders);
  if (!program) return fail(ErrorCode::internal_error, "the program nft is missing");
  arguments.insert(arguments.begin(), *program);
  std::string output;
  auto child = subprocesses_.start({.argv = std::move(arguments), .on_line = [&output](std::string_view line) {
                                      if (output.size() + line.size() < kMaxOutputBytes) output += line;
                                      output += '\n';
                                    }});
  if (!child) return std::unexpected(child.error());
  const SteadyTime deadline = clock_.steady_now() + kTimeout;
  std::optional<ExitStatus> ended;
  while (!(ended = (*child)->poll())) {
    if (clock_.steady_now() >= deadline || !clock_.sleep_for(kPoll, stop)) break;
  }
  child->reset();  // all of its output has come when this returns
  if (!ended) return fail(ErrorCode::internal_error, "nft did not end in time");
  if (ended->code != 0) return fail(ErrorCode::internal_error, "nft failed: " + output.substr(0, 200));
  return output;
}

Result<std::string> NftFirewall::listed(const std::stop_token& stop) {
  return nft({"-n", "list", "table", "inet", table_}, stop);
}

Result<void> NftFirewall::set_subnets(const std::vector<std::string>& subnets, const std::stop_token& stop) {
  const auto commands = firewall_commands(table_, subnets, ports_);
  if (!commands) return fail(ErrorCode::internal_error, "a container network has no usable IPv4 subnet");
  const std::lock_guard lock(mutex_);
  claim();
  expected_.clear();
  if (auto done = nft({*commands}, stop); !done) return std::unexpected(done.error());
  auto now = listed(stop);
  if (!now) return std::unexpected(now.error());
  expected_ = std::move(*now);
  return {};
}

bool NftFirewall::in_place(const std::stop_token& stop) {
  const std::lock_guard lock(mutex_);
  claim();
  if (expected_.empty()) return false;
  const auto now = listed(stop);
  return now && *now == expected_;
}

Result<void> NftFirewall::remove(const std::stop_token& stop) {
  const std::lock_guard lock(mutex_);
  expected_.clear();
  const auto done = nft({fmt::format("add table inet {0}; delete table inet {0}", table_)}, stop);
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace ee::agent
