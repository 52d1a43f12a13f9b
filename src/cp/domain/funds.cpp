#include "cp/domain/funds.h"

#include <limits>

namespace ee::cp {

namespace {

bool is_short(const FundsFacts& facts, const FundsRules& rules) {
  return facts.burn.value > 0 && facts.available.value < saturated_product(facts.burn.value, rules.warn_hours);
}

FundsChange restored(const FundsFacts& facts, const FundsRules& rules) {
  return {.to = is_short(facts, rules) ? BillingState::low : BillingState::ok,
          .grace_ends_at = {},
          .action = "funds_restored"};
}

}  // namespace

std::int64_t saturated_product(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::numeric_limits<std::int64_t>::max();
  return out;
}

std::int64_t saturated_sum(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (!__builtin_add_overflow(a, b, &out)) return out;
  return a > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
}

std::optional<FundsChange> next_funds_state(const FundsFacts& facts, const FundsRules& rules, UtcTime now) {
  const bool ended = facts.available.value <= 0;
  switch (facts.state) {
    case BillingState::ok:
    case BillingState::low:
      if (ended)
        return FundsChange{.to = BillingState::grace, .grace_ends_at = now + rules.grace, .action = "funds_grace"};
      if (facts.state == BillingState::ok) {
        if (is_short(facts, rules))
          return FundsChange{.to = BillingState::low, .grace_ends_at = {}, .action = "funds_low"};
        return std::nullopt;
      }
      // A quarter more than the warning, so that the state does not flutter.
      if (facts.burn.value == 0 ||
          facts.available.value >= saturated_product(facts.burn.value, rules.warn_hours * 5) / 4)
        return FundsChange{.to = BillingState::ok, .grace_ends_at = {}, .action = "funds_restored"};
      return std::nullopt;
    case BillingState::grace:
      if (!ended) return restored(facts, rules);
      if (!facts.grace_ends_at || now >= *facts.grace_ends_at || facts.available.value < -rules.max_overdraft.value)
        return FundsChange{.to = BillingState::exhausted, .grace_ends_at = {}, .action = "funds_exhausted"};
      return std::nullopt;
    case BillingState::exhausted:
      if (!ended) return restored(facts, rules);
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace ee::cp
