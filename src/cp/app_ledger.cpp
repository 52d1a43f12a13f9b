// Composition of the ledger: posting, its check, what accounts and administrators see and do.
#include "cp/app_parts.h"

namespace ee::cp {

void build_ledger(App::Parts& parts) {
  AppWorld& world = parts.world;
  parts.ledger_alarm = std::make_unique<LedgerAlarm>(parts.metrics);
  parts.ledger = std::make_unique<Ledger>(
      Ledger::Parts{.database = *parts.database,
                    .clock = world.clock,
                    .random = world.random,
                    .alarm = *parts.ledger_alarm,
                    .platform_account_id = [&parts] {
                      return std::string(parts.snapshot()->text(Setting::billing_platform_account_id));
                    }});
  parts.ledger_check = std::make_unique<LedgerCheck>(*parts.database, world.clock, world.random, *parts.ledger_alarm);
  parts.ledger_admin = std::make_unique<LedgerAdmin>(LedgerAdmin::Parts{.database = *parts.database,
                                                                        .clock = world.clock,
                                                                        .random = world.random,
                                                                        .alarm = *parts.ledger_alarm,
                                                                        .ledger = *parts.ledger});
  parts.money = std::make_unique<AccountMoney>(*parts.database, world.clock, *parts.cursors);
}

/// Said at once and not only when the first hour is charged; until it is mended the system's own account is paid.
Result<void> warn_of_platform_account(App::Parts& parts) {
  const auto payee =
      parts.database->read<AccountId>([&parts](db::Transaction& tx) { return parts.ledger->platform_account(tx); });
  if (!payee) return std::unexpected(payee.error());
  return {};
}

}  // namespace ee::cp
