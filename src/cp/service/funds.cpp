#include "cp/service/funds.h"

#include <algorithm>

#include "common/json.h"
#include "common/log.h"
#include "cp/domain/price.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {

namespace {

constexpr const char* kActor = "system:funds";
constexpr const char* kReason = "insufficient_funds";
constexpr int kStepsMax = 3;  // ok, grace, exhausted: as far as one look can lead

struct FundsDetail {
  BillingState from = BillingState::ok;
  BillingState to = BillingState::ok;
  UsdMicros available;
  UsdMicros burn_per_hour;
  std::optional<UtcTime> grace_ends_at;
};
BOOST_DESCRIBE_STRUCT(FundsDetail, (), (from, to, available, burn_per_hour, grace_ends_at))

std::int64_t available_of(const FundsOfAccount& funds) {
  return saturated_sum(funds.balance_micros.value, funds.credit_limit_micros.value - funds.accrued.value);
}

bool is_of_database(ErrorCode code) {
  return code == ErrorCode::database_unavailable || code == ErrorCode::database_timeout ||
         code == ErrorCode::overloaded;
}

}  // namespace

struct FundsWatch::Pass {
  const std::stop_token& stop;
  BillingSettings settings;
  std::int64_t accounts = 0;
  std::int64_t changed = 0;
  std::int64_t stops = 0;
};

Result<JobSummary> FundsWatch::run(const std::stop_token& stop) {
  Pass pass{.stop = stop, .settings = parts_.settings()};
  JobSummary summary;
  if (!pass.settings.enabled) {
    summary.skipped = true;
    return summary;
  }
  std::optional<Error> failed;
  AccountId after;
  for (bool more = true; more && !stop.stop_requested();) {
    const auto page = parts_.database.read<std::vector<FundsOfAccount>>(
        [&](db::Transaction& tx) { return FundsStore().page(tx, after, parts_.clock.now(), kPage); });
    if (!page) return std::unexpected(page.error());
    more = !page->empty();
    for (const FundsOfAccount& funds : *page) {
      if (stop.stop_requested()) break;
      after = funds.account_id;
      ++pass.accounts;
      if (auto done = account(pass, funds); !done) {
        log::error("billing", "the funds of an account could not be judged",
                   {{"account_id", funds.account_id.str()}, {"code", slug(done.error().code)}});
        failed = done.error();
      }
    }
  }
  count_states();
  if (failed) return std::unexpected(std::move(*failed));
  summary.stopped = stop.stop_requested();
  summary.count("accounts", pass.accounts);
  summary.count("changed", pass.changed);
  summary.count("stops", pass.stops);
  return summary;
}

/// Every transition that is due now, each with its audit row, then the stops.
Result<void> FundsWatch::account(Pass& pass, FundsOfAccount funds) {
  const FundsRules rules{.warn_hours = pass.settings.warn_hours,
                         .grace = pass.settings.grace,
                         .max_overdraft = pass.settings.max_overdraft};
  const std::int64_t available = available_of(funds);
  for (int step = 0; step < kStepsMax; ++step) {
    const auto next = next_funds_state({.state = funds.billing_state,
                                        .grace_ends_at = funds.grace_ends_at,
                                        .available = {available},
                                        .burn = funds.burn},
                                       rules, parts_.clock.now());
    if (!next) break;
    const auto done = change(funds, *next, available);
    if (!done) return std::unexpected(done.error());
    if (!*done) return {};  // a posting came between: the next pass judges by the new balance
    ++pass.changed;
    funds.billing_state = next->to;
    funds.grace_ends_at = next->grace_ends_at;
  }
  if (funds.billing_state == BillingState::exhausted) return stop_all(pass, funds.account_id);
  const auto over = over_spend_limit(funds);
  if (!over) return std::unexpected(over.error());
  return *over ? stop_all(pass, funds.account_id) : Result<void>();
}

Result<bool> FundsWatch::change(const FundsOfAccount& funds, const FundsChange& change, std::int64_t available) {
  return parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const UtcTime now = parts_.clock.now();
    const auto changed = FundsStore().change_state(tx, funds, change.to, change.grace_ends_at, now);
    if (!changed || !*changed) return changed;
    const FundsDetail detail{.from = funds.billing_state,
                             .to = change.to,
                             .available = {available},
                             .burn_per_hour = funds.burn,
                             .grace_ends_at = change.grace_ends_at};
    const auto noted = AuditLogStore().append(tx,
                                              {.actor = kActor,
                                               .action = std::string(change.action),
                                               .object_type = "account",
                                               .object_id = funds.account_id.str(),
                                               .detail = json::write(detail)},
                                              now, parts_.random);
    if (!noted) return std::unexpected(noted.error());
    return true;
  });
}

/// Whether the account has used up its month's limit and wants its deployments stopped then.
Result<bool> FundsWatch::over_spend_limit(const FundsOfAccount& funds) {
  if (!funds.spend_limit_micros || funds.spend_limit_action != SpendLimitAction::stop) return false;
  const auto charged = parts_.database.read<UsdMicros>([&](db::Transaction& tx) {
    return FundsStore().charged_since(tx, funds.account_id, month_of(parts_.clock.now()));
  });
  if (!charged) return std::unexpected(charged.error());
  return saturated_sum(charged->value, funds.accrued.value) >= funds.spend_limit_micros->value;
}

/// Asks only: the deployment service owns the stop. A crash between two asks does no harm, they are repeated.
Result<void> FundsWatch::stop_all(Pass& pass, const AccountId& account) {
  const auto running = parts_.database.read<std::vector<DeploymentId>>(
      [&](db::Transaction& tx) { return parts_.deployments.running(tx, account, kStopsAtOnce); });
  if (!running) return std::unexpected(running.error());
  std::optional<Error> failed;
  for (const DeploymentId& deployment : *running) {
    if (pass.stop.stop_requested()) break;
    if (auto asked = parts_.deployments.request_stop(deployment, kReason, kActor); !asked) {
      // One that cannot be stopped does not let the others run on for nothing; without a database all would fail.
      failed = std::move(asked.error());
      if (is_of_database(failed->code)) break;
      log::error("billing", "a deployment that nobody pays for could not be stopped",
                 {{"deployment_id", deployment.str()}, {"code", slug(failed->code)}, {"detail", failed->detail}});
      continue;
    }
    ++pass.stops;
  }
  if (failed) return std::unexpected(std::move(*failed));
  return {};
}

void FundsWatch::count_states() {
  const auto counts = parts_.database.read<std::vector<FundsStore::StateCount>>(
      [](db::Transaction& tx) { return FundsStore().by_state(tx); });
  if (!counts) return;
  for (const BillingState state : {BillingState::ok, BillingState::low, BillingState::grace, BillingState::exhausted}) {
    const auto found = std::ranges::find(*counts, state, &FundsStore::StateCount::state);
    parts_.metrics.accounts_in(state, found == counts->end() ? 0 : found->accounts);
  }
}

}  // namespace ee::cp
