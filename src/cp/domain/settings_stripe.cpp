// Payments through Stripe (04 section 9.1; 05 sections 2.4 and 2.5).
#include <algorithm>
#include <array>

#include "common/env_config.h"
#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {
namespace {

constexpr std::int64_t kCent = 10'000;
constexpr std::int64_t kUsd = 100 * kCent;
constexpr std::int64_t kMostDeposit = 999'999 * kUsd + 99 * kCent;
constexpr std::size_t kMaxWebhookSecrets = 4;

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f' && c != ','; });
}

std::optional<std::string> must_be_stripe_key(std::string_view text) {
  constexpr std::array<std::string_view, 4> kPrefixes = {"sk_test_", "sk_live_", "rk_test_", "rk_live_"};
  for (const std::string_view prefix : kPrefixes)
    if (text.starts_with(prefix) && text.size() > prefix.size() && is_visible(text)) return std::nullopt;
  return "must be a secret key of Stripe: sk_test_, sk_live_, rk_test_ or rk_live_";
}

std::optional<std::string> must_be_webhook_secrets(std::string_view text) {
  const auto secrets = split_list(text);
  const bool good = secrets && !secrets->empty() && secrets->size() <= kMaxWebhookSecrets &&
                    std::ranges::all_of(*secrets, [](const std::string& secret) {
                      return secret.starts_with("whsec_") && secret.size() > 6 && is_visible(secret);
                    });
  if (good) return std::nullopt;
  return "must be one to four webhook secrets such as whsec_..., with commas between";
}

std::optional<std::string> must_be_api_version(std::string_view text) {
  if (!text.empty() && is_visible(text)) return std::nullopt;
  return "must be a version such as 2024-06-20";
}

}  // namespace

void add_stripe(Rows& rows) {
  const auto add = [&](SettingSpec row) {
    row.provider = true;
    rows.push_back(std::move(row));
  };
  add(secret(Setting::stripe_secret_key, "stripe.secret_key", 256, "STRIPE_SECRET_KEY",
             "Secret key of Stripe; without it nobody can deposit.")
          .checked(must_be_stripe_key)
          .guarded());
  add(secret(Setting::stripe_webhook_secret, "stripe.webhook_secret", 256, "STRIPE_WEBHOOK_SECRET",
             "Secret of the webhook endpoint; several with commas between while one is being replaced.")
          .checked(must_be_webhook_secrets));
  add(url(Setting::stripe_api_url, "stripe.api_url", "EE_STRIPE_API_URL", "Base URL of Stripe's API.")
          .by_default([](const SettingsContext&) -> SettingValue { return std::string("https://api.stripe.com"); })
          .guarded()
          .needs_restart());
  add(str(Setting::stripe_api_version, "stripe.api_version", 32, "EE_STRIPE_API_VERSION",
          "Version of Stripe's API that is asked for.")
          .checked(must_be_api_version)
          .by_default([](const SettingsContext&) -> SettingValue { return std::string("2024-06-20"); })
          .not_empty());
  add(seconds(Setting::stripe_webhook_tolerance_seconds, "stripe.webhook_tolerance_seconds", 30, 600,
              "EE_STRIPE_WEBHOOK_TOLERANCE_SECONDS", "How far a webhook's signature may be from now.")
          .by_default(number<300>));
  add(usd(Setting::stripe_min_deposit, "stripe.min_deposit", kUsd / 2, kMostDeposit, "EE_STRIPE_MIN_DEPOSIT",
          "The smallest deposit.")
          .by_default(amount<5 * kUsd>));
  add(usd(Setting::stripe_max_deposit, "stripe.max_deposit", kUsd / 2, kMostDeposit, "EE_STRIPE_MAX_DEPOSIT",
          "The largest deposit.")
          .by_default(amount<10'000 * kUsd>));
}

}  // namespace ee::cp::rows
