#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace ee::net {

/// One gzip member (RFC 1952) of `bytes`, at a fast level; nothing when zlib fails (out of memory).
std::optional<std::string> gzip(std::string_view bytes);

}  // namespace ee::net
