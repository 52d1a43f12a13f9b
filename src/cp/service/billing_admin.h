#pragma once
#include <optional>

#include "common/clock.h"
#include "common/random.h"
#include "cp/service/actor.h"
#include "cp/service/billing_api.h"
#include "cp/service/billing_settings.h"
#include "cp/service/rate_cards.h"

namespace ee::cp {

/// Prices for everybody, and what administrators see and change of them and of charging. Thread-safe; what it refers to
/// outlives it.
class BillingAdmin {
 public:
  struct Parts {
    db::Database& database;
    RateCards& rates;
    const Clock& clock;
    Random& random;
    BillingSettingsSource settings;
  };
  explicit BillingAdmin(Parts parts) : parts_(std::move(parts)) {}

  /// The card in force at `at` (nothing: now), with the prices of the node sizes.
  Result<RatesView> rates(std::optional<UtcTime> at) const;
  /// By the card in force now. Errors: `invalid_request`, `unknown_node_size`, `rate_out_of_range`.
  Result<EstimateView> estimate(const EstimateRequest& wanted) const;
  /// A new card, from a full hour in the future on. Audited. Errors: `invalid_rate_card` with the fields,
  /// `rate_effective_in_past`.
  Result<RatesView> put_rates(const RateCardInput& input, const Actor& actor) const;
  Result<BillingStatusView> status() const;

 private:
  Result<RatesView> view(const RateCardVersion& card) const;
  Parts parts_;
};

}  // namespace ee::cp
