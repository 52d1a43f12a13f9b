// Composition of prices, charging and funds.
#include <fstream>

#include "common/log.h"
#include "cp/app_parts.h"
#include "cp/settings_views.h"

namespace ee::cp {

namespace {

/// Names this boot of this machine, in which its monotonic clock runs on; empty where the kernel does not tell.
std::string machine_boot() {
  std::string boot;
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::getline(file, boot);
  return boot;
}

}  // namespace

void build_billing(App::Parts& parts) {
  AppWorld& world = parts.world;
  const BillingSettingsSource settings = [&parts] { return views::billing(parts.snapshot()->resolved().values); };
  // Hours are closed by the time that replicas have in common: one whose clock is fast charges none too early. And not
  // before so much time has passed: a clock that leaps ahead closes none at all.
  parts.billing_clock = std::make_unique<BillingClock>(*parts.shared_clock, machine_boot());
  BillingClock& clock = *parts.billing_clock;
  if (auto looked = clock.look(*parts.database); !looked)
    log::warn("billing", "what was kept of the clock is not known yet", {{"code", slug(looked.error().code)}});
  parts.billing_metrics = std::make_unique<BillingMetrics>(parts.metrics, clock);
  parts.rate_cards = std::make_unique<RateCards>(clock);
  parts.billing = std::make_unique<Billing>(Billing::Parts{.rates = *parts.rate_cards,
                                                           .deployments = parts.billable_deployments,
                                                           .clock = clock,
                                                           .random = world.random,
                                                           .settings = settings});
  parts.charging = std::make_unique<Charging>(
      Charging::Parts{.database = *parts.database,
                      .shares = parts.catalogue->shares(),
                      .clock = clock,
                      .random = world.random,
                      .settings = settings,
                      .metrics = *parts.billing_metrics,
                      .look_at_clock = [&parts] { return parts.billing_clock->look(*parts.database); }});
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
