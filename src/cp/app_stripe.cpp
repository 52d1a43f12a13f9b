// Composition of deposits and Stripe.
#include <tuple>

#include "cp/app_parts.h"
#include "cp/settings_views.h"
#include "cp/store/meta_store.h"

namespace ee::cp {

std::expected<void, StartFailure> build_stripe(App::Parts& parts) {
  AppWorld& world = parts.world;
  const auto instance = parts.database->read<std::optional<std::string>>(
      [](db::Transaction& tx) { return MetaStore().get(tx, "instance_id"); });
  if (!instance || !*instance)
    return std::unexpected(StartFailure{.exit_code = 4, .lines = {"the database has no instance id"}});
  const StripeSettingsSource settings = [&parts] { return views::stripe(parts.snapshot()->resolved().values); };
  parts.stripe = std::make_unique<stripe::StripeClient>(
      parts.outbound.of("stripe"), world.clock, world.random,
      [&parts] { return views::stripe_calls(parts.snapshot()->resolved().values); },
      [&parts](std::string_view call, std::string_view result) { parts.counters->stripe_call(call, result); });
  parts.deposit_ledger = std::make_unique<DepositLedger>(
      world.random, world.before_deposit_post,
      [&parts](const Error& conflict) { std::ignore = parts.ledger->noted(Result<void>(std::unexpected(conflict))); });
  parts.deposits = std::make_unique<Deposits>(Deposits::Parts{.database = *parts.database,
                                                              .stripe = *parts.stripe,
                                                              .ledger = *parts.deposit_ledger,
                                                              .clock = world.clock,
                                                              .random = world.random,
                                                              .settings = settings,
                                                              .instance_id = **instance});
  parts.stripe_webhook = std::make_unique<StripeWebhook>(StripeWebhook::Parts{.database = *parts.database,
                                                                              .stripe = *parts.stripe,
                                                                              .ledger = *parts.deposit_ledger,
                                                                              .clock = world.clock,
                                                                              .random = world.random,
                                                                              .settings = settings,
                                                                              .metrics = parts.metrics,
                                                                              .instance_id = **instance});
  parts.stripe_admin = std::make_unique<StripeAdmin>(StripeAdmin::Parts{
      .database = *parts.database, .stripe = *parts.stripe, .settings = *parts.settings, .values = settings});
  return {};
}

}  // namespace ee::cp
