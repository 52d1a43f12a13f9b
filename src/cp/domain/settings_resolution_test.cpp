#include "cp/domain/settings_resolution.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

StoredSetting row(std::string value) {
  return {.value = std::move(value), .version = 1, .updated_by = "admin:1", .updated_at = {}};
}

EnvironmentSettings good_environment() {
  return {{Setting::cloudflare_account_id, std::string(32, 'a')},
          {Setting::cloudflare_zone_id, std::string(32, 'b')},
          {Setting::cloudflare_api_token, Secret("token")},
          {Setting::intel_ta_api_key, Secret("key")},
          {Setting::github_oauth_client_id, std::string("client")},
          {Setting::github_oauth_client_secret, Secret("secret")},
          {Setting::gcp_project_id, std::string("project-1")},
          {Setting::gcp_auth_mode, std::string("metadata")},
          {Setting::gcp_image, std::string("projects/project-1/global/images/ee-agent-1")}};
}

// covers: S05_SET_01
TEST(ResolveSettings, S05_SET_01_PrefersDatabaseThenEnvironmentThenDefault) {
  const SettingsContext context{.stage = Stage::dev};
  const StoredSettings stored = {{Setting::agents_stale_hours, row("7")}, {Setting::intel_ta_audience, row("")}};
  const EnvironmentSettings environment = {{Setting::agents_stale_hours, std::int64_t{6}},
                                           {Setting::agents_max_agents, std::int64_t{5}},
                                           {Setting::intel_ta_audience, std::string("from the environment")}};
  const auto resolved = resolve_settings(stored, environment, context);
  EXPECT_EQ(resolved.values.integer(Setting::agents_stale_hours), 7);
  EXPECT_EQ(resolved.source(Setting::agents_stale_hours), SettingSource::database);
  EXPECT_EQ(resolved.values.integer(Setting::agents_max_agents), 5);
  EXPECT_EQ(resolved.source(Setting::agents_max_agents), SettingSource::environment);
  EXPECT_EQ(resolved.values.integer(Setting::agents_down_after_failures), 3);
  EXPECT_EQ(resolved.source(Setting::agents_down_after_failures), SettingSource::default_);
  // An empty row is a row.
  EXPECT_EQ(resolved.values.text(Setting::intel_ta_audience), "");
  EXPECT_EQ(resolved.source(Setting::intel_ta_audience), SettingSource::database);
  EXPECT_TRUE(resolved.unused.empty());
}

// covers: S05_SET_05
TEST(ResolveSettings, S05_SET_05_PassesOverARowThatCannotBeRead) {
  const SettingsContext context{.stage = Stage::staging, .relaxed_policy_allowed = true};
  EnvironmentSettings environment = good_environment();
  environment[Setting::agents_stale_hours] = std::int64_t{6};
  environment[Setting::attestation_tcb_mode] = std::string("warn");
  const StoredSettings stored = {{Setting::agents_stale_hours, row("seven")},
                                 {Setting::agents_max_agents, row("0")},
                                 {Setting::attestation_tcb_mode, row("lenient")},
                                 {Setting::attestation_allowed_tcb_statuses, row("UpToDate,Revoked")}};
  const auto resolved = resolve_settings(stored, environment, context);
  EXPECT_EQ(resolved.values.integer(Setting::agents_stale_hours), 6);
  EXPECT_EQ(resolved.values.integer(Setting::agents_max_agents), 200000);
  // Not the environment's weaker value: nobody knows what was meant.
  EXPECT_EQ(resolved.values.text(Setting::attestation_tcb_mode), "strict");
  EXPECT_EQ(resolved.values.list(Setting::attestation_allowed_tcb_statuses), std::vector<std::string>{"UpToDate"});
  ASSERT_EQ(resolved.unused.size(), 4U);
  for (const UnusedSetting& unused : resolved.unused) EXPECT_EQ(unused.reason, UnusedSetting::Reason::invalid);
}

// covers: S05_GRD_11
TEST(ResolveSettings, S05_GRD_11_PassesOverAGuardedRowThatBreaksItsRule) {
  const SettingsContext context{.stage = Stage::production};
  for (const auto& [id, value, slug] : {std::tuple{Setting::attestation_tcb_mode, "disabled", "strict_policy_required"},
                                        {Setting::attestation_rtmr_mode, "warn", "strict_policy_required"},
                                        {Setting::agents_require_bootstrap_token, "false", "strict_policy_required"},
                                        {Setting::cloudflare_api_token, "", "cloudflare_missing"},
                                        {Setting::intel_ta_api_key, "", "verifier_missing"},
                                        {Setting::intel_ta_jwks_url, "http://evil.example/certs", "insecure_base_url"},
                                        {Setting::github_oauth_client_id, "", "github_oauth_missing"},
                                        {Setting::github_oidc_jwks_url, "http://evil.example", "insecure_base_url"},
                                        {Setting::gcp_project_id, "", "gcp_missing"},
                                        {Setting::gcp_image, "", "gcp_image_not_pinned"},
                                        {Setting::capacity_simulated_payment, "true", "simulated_payment_forbidden"},
                                        {Setting::stripe_secret_key, "sk_test_1234567890", "stripe_test_key"},
                                        {Setting::dcap_pcs_url, "http://evil.example", "insecure_base_url"}}) {
    const auto resolved = resolve_settings({{id, row(value)}}, good_environment(), context);
    const auto clean = resolve_settings({}, good_environment(), context);
    EXPECT_TRUE(resolved.values.at(id) == clean.values.at(id)) << setting_spec(id).key;
    ASSERT_EQ(resolved.unused.size(), 1U) << setting_spec(id).key;
    EXPECT_EQ(resolved.unused[0].setting, id);
    EXPECT_EQ(resolved.unused[0].slug, slug);
    ASSERT_EQ(resolved.violations.size(), 1U) << "a start must see what was passed over";
    EXPECT_EQ(resolved.violations[0].slug, slug);
    EXPECT_TRUE(clean.violations.empty());
  }
}

TEST(ResolveSettings, FindsTheRowBehindAMissingVerifier) {
  EnvironmentSettings environment = good_environment();
  environment.erase(Setting::intel_ta_api_key);
  environment[Setting::attestation_verifier_mode] = std::string("dcap");
  const auto resolved =
      resolve_settings({{Setting::attestation_verifier_mode, row("both")}}, environment, {.stage = Stage::production});
  EXPECT_EQ(resolved.values.text(Setting::attestation_verifier_mode), "dcap");
  EXPECT_EQ(resolved.unused.at(0).setting, Setting::attestation_verifier_mode);
}

TEST(ResolveSettings, PassesOverRowsThatContradictEachOther) {
  const StoredSettings stored = {{Setting::agents_health_interval_seconds, row("600")}};
  const auto resolved = resolve_settings(stored, {}, {.stage = Stage::dev});
  EXPECT_EQ(resolved.values.integer(Setting::agents_health_interval_seconds), 30);
  EXPECT_EQ(resolved.unused.at(0).reason, UnusedSetting::Reason::conflict);
  EXPECT_TRUE(setting_conflicts(resolved.values).empty());
}

}  // namespace
}  // namespace ee::cp
