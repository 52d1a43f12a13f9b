// Composition of prices, charging and funds.
#include "cp/app_parts.h"
#include "cp/settings_views.h"

namespace ee::cp {

void build_billing(App::Parts& parts) {
  AppWorld& world = parts.world;
  const BillingSettingsSource settings = [&parts] { return views::billing(parts.snapshot()->resolved().values); };
  // Hours are closed by the time that replicas have in common: one whose clock is fast charges none too early.
  Clock& clock = *parts.shared_clock;
  parts.billing_metrics = std::make_unique<BillingMetrics>(parts.metrics, clock);
  parts.rate_cards = std::make_unique<RateCards>(clock);
  parts.billing = std::make_unique<Billing>(Billing::Parts{.rates = *parts.rate_cards,
                                                           .deployments = parts.billable_deployments,
                                                           .clock = clock,
                                                           .random = world.random,
                                                           .settings = settings});
  parts.charging = std::make_unique<Charging>(Charging::Parts{.database = *parts.database,
                                                              .shares = parts.catalogue->shares(),
                                                              .clock = clock,
                                                              .random = world.random,
                                                              .settings = settings,
                                                              .metrics = *parts.billing_metrics});
  parts.funds = std::make_unique<FundsWatch>(FundsWatch::Parts{.database = *parts.database,
                                                               .deployments = parts.billable_deployments,
                                                               .clock = clock,
                                                               .random = world.random,
                                                               .settings = settings,
                                                               .metrics = *parts.billing_metrics});
  parts.billing_admin = std::make_unique<BillingAdmin>(BillingAdmin::Parts{.database = *parts.database,
                                                                           .rates = *parts.rate_cards,
                                                                           .clock = clock,
                                                                           .random = world.random,
                                                                           .settings = settings});
}

}  // namespace ee::cp
