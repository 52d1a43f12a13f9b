#pragma once
#include <string>
#include <vector>

#include "net/client_address.h"

namespace ee::net {

/// The addresses of a host name by the system's resolver; IPv4 first, since that is what most networks have. Blocks;
/// empty when there are none.
std::vector<IpAddress> look_up_host(const std::string& host);

}  // namespace ee::net
