#pragma once
#include <string_view>

namespace ee {

/// Whether `text` is an address range in CIDR form (`10.0.0.0/8`, `2001:db8::/32`; an address alone is a range of one).
/// Bits behind the prefix must be zero.
bool is_ip_network(std::string_view text);

}  // namespace ee
