#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/money.h"
#include "common/time.h"
#include "cp/domain/account.h"

/// When an account runs out of money (04 section 8.2). Pure.
namespace ee::cp {

struct FundsRules {
  std::int64_t warn_hours = 24;
  Seconds grace{3600};
  UsdMicros max_overdraft{25'000'000};
};

struct FundsFacts {
  BillingState state = BillingState::ok;
  std::optional<UtcTime> grace_ends_at = {};
  UsdMicros available = {};  ///< balance - accrued + credit limit
  UsdMicros burn = {};       ///< per hour
};

struct FundsChange {
  BillingState to = BillingState::ok;
  std::optional<UtcTime> grace_ends_at = {};
  std::string_view action;  ///< of the audit row: funds_low, funds_grace, funds_exhausted, funds_restored
  bool operator==(const FundsChange&) const = default;
};

/// The transition that is due, in the order of precedence of the table; nothing: the state stays.
std::optional<FundsChange> next_funds_state(const FundsFacts& facts, const FundsRules& rules, UtcTime now);

/// a*b for a >= 0 and b >= 0, at most the largest 64-bit number: comparisons stay right when a product does not fit.
std::int64_t saturated_product(std::int64_t a, std::int64_t b);
/// a+b, at most (or least) what 64 bits hold.
std::int64_t saturated_sum(std::int64_t a, std::int64_t b);

}  // namespace ee::cp
