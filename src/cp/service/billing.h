#pragma once
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/random.h"
#include "cp/service/billing_hooks.h"
#include "cp/service/billing_settings.h"
#include "cp/service/rate_cards.h"
#include "cp/store/funds_store.h"
#include "cp/store/segment_store.h"

namespace ee::cp {

/// What billing must know of a deployment that begins to run.
struct RunningDeployment {
  DeploymentId deployment_id = {};
  AccountId account_id = {};  ///< who pays
  AgentId agent_id = {};
  std::optional<AccountId> agent_account_id = {};  ///< the agent's owner; nothing: the platform's own agent
  std::optional<std::string> app_id = {};
  PricedResources resources = {};  ///< of the agent
  SlaClass sla_class = SlaClass::adhoc;
};

/// Prices, segments and admission, inside the deployment service's own transactions (04 sections 7.2, 8.1).
/// Thread-safe; what it refers to outlives it.
class Billing {
 public:
  struct Parts {
    RateCards& rates;
    const BillableDeployments& deployments;
    const Clock& clock;
    Random& random;
    BillingSettingsSource settings;
  };
  explicit Billing(Parts parts) : parts_(std::move(parts)) {}

  /// The price of an hour by the card in force now. Errors: `rate_out_of_range`.
  Result<UsdMicros> hourly_price(db::Transaction& tx, const PricedResources& resources, SlaClass sla) const;

  /// The deployment is charged from `at` on, at the price and shares of this moment, until close_segment. With an open
  /// segment it does nothing. Not before the last segment's end, nor before the first hour that is not charged yet.
  /// Errors: `rate_out_of_range`.
  Result<void> open_segment(db::Transaction& tx, const RunningDeployment& deployment, UtcTime at) const;
  /// It is charged no longer than until `at`, which may lie in the past (an agent that was lost), but not before what
  /// has been charged already: that is audited as `usage_close_clamped`. Without an open segment it does nothing.
  Result<void> close_segment(db::Transaction& tx, const DeploymentId& deployment, UtcTime at) const;

  /// Whether the account has the funds for `replicas` more at `rate` per hour each: for `deploy.min_prepaid_hours` of
  /// everything it runs. In a write, which no other one runs beside, requests at the same time see each other; in a
  /// read it says how things are. Errors: `insufficient_funds` with members `balance`, `available` and `required`,
  /// `account_on_hold`, `spend_limit_reached`, `account_not_found`.
  Result<void> admit(db::Transaction& tx, const AccountId& account, UsdMicros rate, std::int64_t replicas) const;

 private:
  Result<void> note_clamp(db::Transaction& tx, const SegmentRow& segment, UtcTime wanted, UtcTime to) const;
  Parts parts_;
};

}  // namespace ee::cp
