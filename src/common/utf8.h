#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace ee {

/// Length in bytes (1..4) of the well-formed UTF-8 sequence that `text` starts with (Unicode 15, table 3-7); 0 when it
/// starts with none.
std::size_t utf8_sequence(std::string_view text);
bool is_utf8(std::string_view text);
/// The longest start of `text` that has at most `max_bytes` and does not end inside a character.
std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes);

}  // namespace ee
