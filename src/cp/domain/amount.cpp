#include "cp/domain/amount.h"

#include <fmt/format.h>

#include <algorithm>

namespace ee::cp {

namespace {
std::unexpected<Error> refused(std::string_view field, std::string detail) {
  return fail(Error{.code = ErrorCode::invalid_amount,
                    .detail = {},
                    .fields = {{.field = std::string(field), .code = "invalid_amount", .detail = std::move(detail)}}});
}
}  // namespace

bool is_amount_text(std::string_view text) {
  if (!parse_usd(text)) return false;
  if (text.starts_with('-')) text.remove_prefix(1);
  return text.size() < 2 || text[0] != '0' || text[1] == '.';  // no leading zeros
}

Result<UsdMicros> read_amount_or_zero(std::string_view field, std::string_view text, const AmountBounds& bounds) {
  const auto amount = is_amount_text(text) ? parse_usd(text) : std::nullopt;
  if (!amount) return refused(field, "a decimal string such as \"12.50\", at most six decimals");
  if (*amount < bounds.low || bounds.high < *amount)
    return refused(field, fmt::format("from {} to {}", to_usd_text(bounds.low), to_usd_text(bounds.high)));
  return *amount;
}

Result<UsdMicros> read_amount(std::string_view field, std::string_view text, const AmountBounds& bounds) {
  const auto amount = read_amount_or_zero(field, text, bounds);
  if (amount && amount->value == 0) return refused(field, "not zero");
  return amount;
}

Error with_invalid_amount(Error error, std::string_view field) {
  const bool wrong =
      error.code == ErrorCode::invalid_request && std::ranges::any_of(error.fields, [&](const FieldError& fault) {
        return fault.field == field && fault.code != "required";
      });
  if (wrong) error.code = ErrorCode::invalid_amount;
  return error;
}

}  // namespace ee::cp
