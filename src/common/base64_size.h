#pragma once
#include <cstddef>
#include <optional>
#include <string_view>

namespace ee {

/// How many bytes `from_base64` (common/bytes.h) would answer, without making them; nothing where it answers nothing.
std::optional<std::size_t> base64_size(std::string_view text);

}  // namespace ee
