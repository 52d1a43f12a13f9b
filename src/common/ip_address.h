#pragma once
#include <string_view>

namespace ee {

/// Whether `text` is an address (IPv4, or IPv6 without brackets) that the public Internet routes to one host. Not so:
/// loopback, private, link-local, shared, documentation and benchmark ranges, multicast, reserved ones, addresses that
/// carry another one inside (mapped, NAT64, 6to4, Teredo), and those at which clouds serve metadata. What is not an
/// address is not public.
bool is_public_address(std::string_view text);

}  // namespace ee
