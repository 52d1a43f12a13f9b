// Prices, charging and funds (04 section 11; 05 section 2.4).
#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {
namespace {

constexpr std::int64_t kUsd = 1'000'000;

void add_charging(Rows& rows) {
  rows.push_back(boolean(Setting::billing_enabled, "billing.enabled", "BILLING_ENABLED",
                         "Whether usage is charged; hours that fall due while it is off are waived for good.")
                     .by_default(flag<true>));
  rows.push_back(integer(Setting::billing_contributor_pool_bps, "billing.contributor_pool_bps", 0, 10000,
                         "BILLING_CONTRIBUTOR_POOL_BPS",
                         "Part of the platform's share that an app's contributors divide; for new segments.")
                     .by_default(number<5000>)
                     .in("1/10000"));
  rows.push_back(str(Setting::billing_platform_account_id, "billing.platform_account_id", 36,
                     "BILLING_PLATFORM_ACCOUNT_ID", "Account that receives the platform's part; empty: sys-platform.")
                     .checked(must_be_uuid));
  rows.push_back(integer(Setting::billing_operator_share_bps, "billing.operator_share_bps", 0, 10000,
                         "EE_BILLING_OPERATOR_SHARE_BPS",
                         "Part of a charge that the agent's owner earns; for new segments.")
                     .by_default(number<7000>)
                     .in("1/10000"));
  rows.push_back(seconds(Setting::billing_settle_delay_seconds, "billing.settle_delay_seconds", 60, 7200,
                         "EE_BILLING_SETTLE_DELAY_SECONDS", "How long after its end an hour is charged.")
                     .by_default(number<300>));
  rows.push_back(integer(Setting::billing_batch_rows, "billing.batch_rows", 200, 10000, "EE_BILLING_BATCH_ROWS",
                         "Segments of the first batch of an hour; later ones adapt to how long a batch takes.")
                     .by_default(number<2000>));
  rows.push_back(integer(Setting::billing_max_hours_per_tick, "billing.max_hours_per_tick", 1, 720,
                         "EE_BILLING_MAX_HOURS_PER_TICK", "Hours that one run of the charging job catches up.")
                     .by_default(number<24>)
                     .in("hours"));
  rows.push_back(integer(Setting::billing_usage_detail_days, "billing.usage_detail_days", 35, 3650,
                         "EE_BILLING_USAGE_DETAIL_DAYS", "How long usage is kept hour by hour; then by day.")
                     .by_default(number<400>)
                     .in("days"));
}

void add_funds(Rows& rows) {
  rows.push_back(integer(Setting::billing_warn_hours, "billing.warn_hours", 1, 720, "EE_BILLING_WARN_HOURS",
                         "An account whose funds last shorter is low on funds.")
                     .by_default(number<24>)
                     .in("hours"));
  rows.push_back(seconds(Setting::billing_grace_seconds, "billing.grace_seconds", 0, 604800, "EE_BILLING_GRACE_SECONDS",
                         "How long deployments run on after the funds have ended.")
                     .by_default(number<3600>));
  rows.push_back(usd(Setting::billing_max_overdraft, "billing.max_overdraft", 0, 100'000 * kUsd,
                     "EE_BILLING_MAX_OVERDRAFT", "Below zero by more than this an account has no time of grace.")
                     .by_default(amount<25 * kUsd>));
  rows.push_back(integer(Setting::deploy_min_prepaid_hours, "deploy.min_prepaid_hours", 0, 720,
                         "EE_DEPLOY_MIN_PREPAID_HOURS",
                         "Hours of everything it runs that an account must have funds for.")
                     .by_default(number<1>)
                     .in("hours"));
}

void add_capacity_payment(Rows& rows) {
  const auto price = [&rows](Setting id, Text key, Text env, SettingSpec (*finish)(Row)) {
    rows.push_back(finish(usd(id, key, 0, 1'000'000 * kUsd, env, "Price of one unit of warm capacity for a month.")));
  };
  price(Setting::capacity_price_month_tiny, "capacity.price_month_tiny", "BILLING_CAPACITY_PRICE_TINY_MONTHLY_USD",
        [](Row row) -> SettingSpec { return std::move(row).by_default(amount<25 * kUsd>); });
  price(Setting::capacity_price_month_standard, "capacity.price_month_standard",
        "BILLING_CAPACITY_PRICE_STANDARD_MONTHLY_USD",
        [](Row row) -> SettingSpec { return std::move(row).by_default(amount<100 * kUsd>); });
  price(Setting::capacity_price_month_llm, "capacity.price_month_llm", "BILLING_CAPACITY_PRICE_LLM_MONTHLY_USD",
        [](Row row) -> SettingSpec { return std::move(row).by_default(amount<500 * kUsd>); });
  rows.push_back(boolean(Setting::capacity_simulated_payment, "capacity.simulated_payment",
                         "BILLING_CAPACITY_REQUEST_SIMULATION",
                         "Whether capacity is bought without money; for development and trials.")
                     .by_default(flag<false>)
                     .guarded());
}

}  // namespace

void add_billing(Rows& rows) {
  add_charging(rows);
  add_funds(rows);
  add_capacity_payment(rows);
}

}  // namespace ee::cp::rows
