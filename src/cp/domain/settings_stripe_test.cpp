#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "cp/domain/guardrails.h"
#include "cp/domain/setting_text.h"

namespace ee::cp {
namespace {

bool takes(Setting id, const std::string& text) {
  return parse_env_setting(setting_spec(id), text, {.stage = Stage::production}).has_value();
}

std::int64_t count(const SettingValues& values, Stage stage, std::string_view slug) {
  const auto violations = setting_violations(values, {.stage = stage});
  return std::ranges::count(violations, slug, &GuardrailViolation::slug);
}

TEST(StripeSettings, AreOfTheirForms) {
  for (const char* good : {"sk_test_1", "sk_live_1", "rk_test_1", "rk_live_1"})
    EXPECT_TRUE(takes(Setting::stripe_secret_key, good)) << good;
  for (const char* bad : {"pk_live_1", "sk_live_", "sk_live_a b", "token"})
    EXPECT_FALSE(takes(Setting::stripe_secret_key, bad)) << bad;
  for (const char* good : {"whsec_1", "whsec_1,whsec_2", "whsec_1, whsec_2,whsec_3,whsec_4"})
    EXPECT_TRUE(takes(Setting::stripe_webhook_secret, good)) << good;
  for (const char* bad : {"whsec_", "secret", "whsec_1,", "whsec_1,other", "whsec_1,whsec_2,whsec_3,whsec_4,whsec_5"})
    EXPECT_FALSE(takes(Setting::stripe_webhook_secret, bad)) << bad;
  EXPECT_TRUE(takes(Setting::stripe_webhook_tolerance_seconds, "30"));
  EXPECT_FALSE(takes(Setting::stripe_webhook_tolerance_seconds, "29"));
  EXPECT_FALSE(takes(Setting::stripe_webhook_tolerance_seconds, "601"));
  EXPECT_TRUE(takes(Setting::stripe_min_deposit, "0.50"));
  EXPECT_FALSE(takes(Setting::stripe_min_deposit, "0.49"));
  EXPECT_TRUE(takes(Setting::stripe_max_deposit, "999999.99"));
  EXPECT_FALSE(takes(Setting::stripe_max_deposit, "1000000.00"));
  EXPECT_FALSE(takes(Setting::stripe_api_version, ""));
}

TEST(StripeSettings, TheLargestDepositIsNotBelowTheSmallest) {
  SettingValues values({.stage = Stage::production});
  values.set(Setting::stripe_min_deposit, UsdMicros{10'000'000'000});
  EXPECT_TRUE(setting_conflicts(values).empty());
  values.set(Setting::stripe_min_deposit, UsdMicros{10'000'010'000});
  const auto found = setting_conflicts(values);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, Setting::stripe_max_deposit);
}

TEST(StripeSettings, NeitherATestKeyNorAnotherServiceIsUsedInProduction) {
  for (const Stage stage : {Stage::dev, Stage::staging, Stage::production}) {
    SettingValues values({.stage = stage});
    const auto before = count(values, stage, "insecure_base_url");
    for (const std::string key : {"sk_test_1", "rk_test_1", "sk_live_1", "rk_live_1", ""}) {
      values.set(Setting::stripe_secret_key, Secret(key));
      const bool refused = stage == Stage::production && key.find("_test_") != std::string::npos;
      EXPECT_EQ(count(values, stage, "stripe_test_key"), refused ? 1 : 0) << key;
    }
    for (const char* url : {"http://api.stripe.com", "https://127.0.0.1:9"}) {
      values.set(Setting::stripe_api_url, std::string(url));
      EXPECT_EQ(count(values, stage, "insecure_base_url") - before, stage == Stage::dev ? 0 : 1) << url;
    }
  }
}

}  // namespace
}  // namespace ee::cp
