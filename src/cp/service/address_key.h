#pragma once
#include <string>
#include <string_view>

namespace ee::cp {

/// The key under which a client address is counted: IPv4 as it is (also when written as IPv6), IPv6 by its /64, since
/// one customer usually owns that much. Other texts are returned unchanged.
std::string address_key(std::string_view address);

}  // namespace ee::cp
