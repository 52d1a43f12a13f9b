#include "cp/domain/deposit.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

int rank(DepositStatus status) {
  switch (status) {
    case DepositStatus::creating: return 0;
    case DepositStatus::requires_payment: return 1;
    case DepositStatus::processing: return 2;
    case DepositStatus::failed: return 3;
    case DepositStatus::canceled: return 4;
    case DepositStatus::succeeded: return 5;
  }
  return 5;
}

}  // namespace

std::optional<DepositStatus> next_status(DepositStatus now, DepositStatus said) {
  // A deposit that ended without money is not failed once more, whatever a repeated call says.
  return rank(said) > rank(now) ? std::optional(said) : std::nullopt;
}

Result<UsdMicros> parse_deposit_amount(std::string_view text, UsdMicros least, UsdMicros most) {
  const bool padded = text.size() > 1 && text[0] == '0' && text[1] != '.';
  const auto amount = text.starts_with('-') || padded ? std::nullopt : parse_usd(text);
  if (!amount) return fail(ErrorCode::invalid_amount, "a decimal string such as \"25.00\"");
  if (amount->value % kMicrosPerCent != 0) return fail(ErrorCode::invalid_amount, "whole cents");
  if (*amount < least || *amount > most)
    return fail(ErrorCode::invalid_amount, fmt::format("between {} and {}", to_usd_text(least), to_usd_text(most)));
  return *amount;
}

}  // namespace ee::cp
