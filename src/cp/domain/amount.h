#pragma once
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/money.h"

namespace ee::cp {

/// Money as requests write it (04 section 6.4): `-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?`.
inline constexpr std::string_view kAmountPattern = R"(^-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$)";
bool is_amount_text(std::string_view text);

/// Bounds of one amount in a request, both included.
struct AmountBounds {
  UsdMicros low = {};
  UsdMicros high = {};
};

/// The amount of a request's field. Errors: `invalid_amount`, naming `field`, for another form, for zero and for what
/// lies outside the bounds.
Result<UsdMicros> read_amount(std::string_view field, std::string_view text, const AmountBounds& bounds);
/// The same, where zero is an amount too.
Result<UsdMicros> read_amount_or_zero(std::string_view field, std::string_view text, const AmountBounds& bounds);

/// What reading a body says, with a wrong value of `field` (a JSON number, say) told as `invalid_amount`. A missing
/// field stays `invalid_request`.
Error with_invalid_amount(Error error, std::string_view field);

}  // namespace ee::cp
