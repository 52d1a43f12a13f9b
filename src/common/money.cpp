#include "common/money.h"

#include <fmt/format.h>

#include <algorithm>

namespace ee {

std::string to_usd_text(UsdMicros amount) {
  const bool negative = amount.value < 0;
  // Through unsigned, so that the smallest value has a magnitude too.
  const std::uint64_t magnitude =
      negative ? 0 - static_cast<std::uint64_t>(amount.value) : static_cast<std::uint64_t>(amount.value);
  return fmt::format("{}{}.{:06}", negative ? "-" : "", magnitude / 1000000, magnitude % 1000000);
}

std::optional<UsdMicros> parse_usd(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  const bool has_fraction = point < text.size();
  const std::string_view fraction = has_fraction ? text.substr(point + 1) : std::string_view{};
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (whole.empty() || whole.size() > 12 || !std::ranges::all_of(whole, is_digit)) return std::nullopt;
  if (has_fraction && (fraction.empty() || fraction.size() > 6 || !std::ranges::all_of(fraction, is_digit)))
    return std::nullopt;
  std::int64_t value = 0;
  for (const char c : whole) value = value * 10 + (c - '0');
  for (std::size_t i = 0; i < 6; ++i) value = value * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
  return UsdMicros{negative ? -value : value};
}

}  // namespace ee
