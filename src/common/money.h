#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ee {

/// Millionths of a US dollar: sums are exact. In JSON a decimal string with six places.
struct UsdMicros {
  std::int64_t value = 0;
  auto operator<=>(const UsdMicros&) const = default;
};

/// `"12.345000"`, `"-0.000001"`.
std::string to_usd_text(UsdMicros amount);
/// An optional minus, 1 to 12 digits, optionally a point and 1 to 6 digits; nothing otherwise.
std::optional<UsdMicros> parse_usd(std::string_view text);

}  // namespace ee
