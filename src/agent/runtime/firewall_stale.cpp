#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "agent/runtime/firewall.h"
#include "common/log.h"

namespace ee::agent {
namespace {

constexpr std::string_view kTablePrefix = "ee_agent_";
constexpr std::size_t kTableDigits = 12;
constexpr std::size_t kMaxTables = 256;

std::optional<std::uint32_t> ipv4_of(std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n";
  const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

struct Range {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

/// `10.0.0.1`, `10.0.0.0/8` or `10.0.0.0-10.0.1.255`.
std::optional<Range> range_of(std::string_view text) {
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto first = ipv4_of(text.substr(0, dash));
    const auto last = ipv4_of(text.substr(dash + 1));
    return first && last ? std::optional(Range{*first, *last}) : std::nullopt;
  }
  const std::size_t slash = text.find('/');
  const auto first = ipv4_of(text.substr(0, slash));
  if (!first) return std::nullopt;
  if (slash == std::string_view::npos) return Range{*first, *first};
  unsigned bits = 0;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data() + slash + 1, end, bits).ptr != end || bits > 32) return std::nullopt;
  return Range{*first, *first | static_cast<std::uint32_t>(0xffffffffULL >> bits)};
}

bool is_agents_table(std::string_view name) {
  return name.starts_with(kTablePrefix) && name.size() == kTablePrefix.size() + kTableDigits &&
         name.find_first_not_of("0123456789abcdef", kTablePrefix.size()) == std::string_view::npos;
}

}  // namespace

TableClaim::TableClaim(std::string_view table) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = fmt::format("easyenclave/{}", table);
  if (name.size() + 1 > sizeof(address.sun_path)) return;
  std::ranges::copy(name, address.sun_path + 1);  // a leading zero: the abstract namespace
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0) {
    fd_ = fd;
  } else {
    ::close(fd);
  }
}

TableClaim::~TableClaim() {
  if (fd_ >= 0) ::close(fd_);
}

bool may_guard(std::string_view listing, const std::vector<std::string>& addresses) {
  constexpr std::string_view kElements = "elements = {";
  std::size_t at = listing.find(kElements);
  if (at == std::string_view::npos) return listing.find("set subnets") == std::string_view::npos;  // an empty set
  std::string_view list = listing.substr(at + kElements.size());
  const std::size_t end = list.find('}');
  if (end == std::string_view::npos) return true;
  list = list.substr(0, end);
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(item.size() + 1, list.size()));
    const auto range = range_of(trimmed(item));
    if (!range) return true;
    for (const std::string& text : addresses) {
      const auto address = ipv4_of(text);
      if (!address || (*address >= range->first && *address <= range->last)) return true;
    }
  }
  return false;
}

std::vector<std::string> local_ipv4_addresses() {
  std::vector<std::string> out;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return out;
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN] = {};
    const auto& address = reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr;
    if (::inet_ntop(AF_INET, &address, text, sizeof(text)) != nullptr) out.emplace_back(text);
  }
  ::freeifaddrs(all);
  return out;
}

bool NftFirewall::remove_if_stale(const std::string& table, const std::vector<std::string>& local_addresses,
                                  const std::stop_token& stop) {
  const TableClaim claim(table);  // held while it is taken out: an owner that starts just now waits
  if (!claim.held()) return false;
  const auto listing = nft({"-n", "list", "table", "inet", table}, stop);
  if (!listing || may_guard(*listing, local_addresses)) return false;
  if (!nft({fmt::format("delete table inet {}", table)}, stop)) return false;
  log::info("firewall", "removed the rules of an agent that is gone", {{"table", table}});
  return true;
}

Result<int> NftFirewall::remove_stale(const std::vector<std::string>& local_addresses, const std::stop_token& stop) {
  const std::lock_guard lock(mutex_);
  const auto tables = nft({"list", "tables", "inet"}, stop);
  if (!tables) return std::unexpected(tables.error());
  constexpr std::string_view kLine = "table inet ";
  int removed = 0;
  std::size_t seen = 0;
  for (std::string_view rest = *tables; !rest.empty() && seen < kMaxTables;) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!line.starts_with(kLine)) continue;
    line.remove_prefix(kLine.size());
    if (!is_agents_table(line) || line == table_) continue;
    ++seen;
    removed += remove_if_stale(std::string(line), local_addresses, stop) ? 1 : 0;
  }
  return removed;
}

}  // namespace ee::agent
