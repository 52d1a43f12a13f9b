#pragma once
#include <span>
#include <string>
#include <string_view>

namespace ee::cp {

/// Whether an agent may name this address as its own (dev only, 02 section 7.7): `http(s)://<IP literal>:<port>`
/// without path, user or query, inside one of `cidrs`. Outside dev no caller can name an address that we would connect
/// to.
bool is_allowed_direct_url(std::string_view url, bool dev, std::span<const std::string> cidrs);

}  // namespace ee::cp
