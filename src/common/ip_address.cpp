#include "common/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace ee {
namespace {

struct RangeV4 {
  std::uint32_t base;
  int bits;
};
// IANA's registry of special addresses, and 168.63.129.16, where Azure serves its guests.
constexpr std::array<RangeV4, 17> kNotPublic = {{{0x00000000, 8},     // 0.0.0.0/8
                                                 {0x0A000000, 8},     // 10/8
                                                 {0x64400000, 10},    // 100.64/10
                                                 {0x7F000000, 8},     // 127/8
                                                 {0xA9FE0000, 16},    // 169.254/16
                                                 {0xAC100000, 12},    // 172.16/12
                                                 {0xC0000000, 24},    // 192.0.0/24
                                                 {0xC0000200, 24},    // 192.0.2/24
                                                 {0xC0586300, 24},    // 192.88.99/24
                                                 {0xC0A80000, 16},    // 192.168/16
                                                 {0xC6120000, 15},    // 198.18/15
                                                 {0xC6336400, 24},    // 198.51.100/24
                                                 {0xCB007100, 24},    // 203.0.113/24
                                                 {0xA83F8110, 32},    // 168.63.129.16
                                                 {0xE0000000, 4},     // 224/4
                                                 {0xF0000000, 4},     // 240/4
                                                 {0xFFFFFFFF, 32}}};  // broadcast

bool is_public(std::uint32_t address) {
  return std::ranges::none_of(kNotPublic, [&](const RangeV4& range) {
    const int shift = 32 - range.bits;
    return (address >> shift) == (range.base >> shift);
  });
}

/// Only 2000::/3 is given out, and of it not what carries or stands for something else.
bool is_public(const std::array<std::uint8_t, 16>& address) {
  if ((address[0] & 0xe0) != 0x20) return false;
  const std::uint32_t head = (std::uint32_t{address[0]} << 24) | (std::uint32_t{address[1]} << 16) |
                             (std::uint32_t{address[2]} << 8) | address[3];
  const bool special = (head >> 9) == (0x20010000U >> 9);  // 2001::/23: Teredo, ORCHID, benchmarks
  const bool documentation = head == 0x20010db8U || (head >> 12) == (0x3fff0000U >> 12);
  const bool six_to_four = (head >> 16) == 0x2002U;
  return !special && !documentation && !six_to_four;
}

}  // namespace

bool is_public_address(std::string_view text) {
  const std::string copy(text);
  in_addr v4{};
  if (::inet_pton(AF_INET, copy.c_str(), &v4) == 1) return is_public(ntohl(v4.s_addr));
  std::array<std::uint8_t, 16> v6{};
  return ::inet_pton(AF_INET6, copy.c_str(), v6.data()) == 1 && is_public(v6);
}

}  // namespace ee
