#include "cp/domain/guardrails.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "common/bytes.h"
#include "common/json.h"
#include "cp/domain/gcp.h"
#include "tests/support/jose_keys.h"

namespace ee::cp {
namespace {

constexpr std::array kStages = {Stage::dev, Stage::staging, Stage::production};

constexpr std::string_view kOwnImage = "projects/project-1/global/images/ee-agent-1";

/// What a well-run installation has: nothing is violated in any stage.
SettingValues good_values(Stage stage) {
  SettingValues values({.stage = stage});
  values.set(Setting::cloudflare_account_id, std::string(32, 'a'));
  values.set(Setting::cloudflare_zone_id, std::string(32, 'b'));
  values.set(Setting::cloudflare_api_token, Secret("token"));
  values.set(Setting::intel_ta_api_key, Secret("key"));
  values.set(Setting::agents_require_bootstrap_token, true);
  values.set(Setting::github_oauth_client_id, std::string("Iv1.0123456789abcdef"));
  values.set(Setting::github_oauth_client_secret, Secret("secret"));
  values.set(Setting::gcp_project_id, std::string("project-1"));
  values.set(Setting::gcp_auth_mode, std::string("metadata"));
  values.set(Setting::gcp_image, std::string(kOwnImage));
  return values;
}

std::set<std::string> slugs(const std::vector<GuardrailViolation>& violations) {
  std::set<std::string> out;
  for (const GuardrailViolation& violation : violations) out.emplace(violation.slug);
  return out;
}

enum class Outcome { allowed, needs_switch, refused };

struct Row {
  Setting setting;
  SettingValue value;
  Outcome staging, production;
  const char* slug;
};

// Each row of the table, in every stage, with and without EE_ALLOW_RELAXED_POLICY.
// covers: S05_GRD_02, S05_GRD_03, S05_GRD_04, S05_GRD_05, S05_GRD_06, S05_GRD_07, S05_GRD_08, S05_GRD_09
TEST(SettingGuardrails, S05_GRD_RefuseEachWeakValueInItsStages) {
  using enum Outcome;
  const std::string strict = "strict_policy_required", verifier = "verifier_missing", cloudflare = "cloudflare_missing",
                    url = "insecure_base_url";
  const Row rows[] = {
      {Setting::attestation_tcb_mode, std::string("warn"), needs_switch, refused, strict.c_str()},
      {Setting::attestation_tcb_mode, std::string("disabled"), refused, refused, strict.c_str()},
      {Setting::attestation_rtmr_mode, std::string("warn"), needs_switch, refused, strict.c_str()},
      {Setting::attestation_rtmr_mode, std::string("disabled"), refused, refused, strict.c_str()},
      {Setting::attestation_cp_to_agent_mode, std::string("optional"), refused, refused, strict.c_str()},
      {Setting::attestation_cp_to_agent_mode, std::string("disabled"), refused, refused, strict.c_str()},
      {Setting::attestation_require_sept_ve_disable, false, needs_switch, refused, strict.c_str()},
      {Setting::attestation_allow_migratable, true, needs_switch, refused, strict.c_str()},
      {Setting::attestation_allow_service_td, true, needs_switch, refused, strict.c_str()},
      {Setting::intel_ta_jwks_max_stale_seconds, std::int64_t{1}, needs_switch, refused, strict.c_str()},
      {Setting::agents_require_bootstrap_token, false, needs_switch, refused, strict.c_str()},
      {Setting::intel_ta_api_key, Secret(), refused, refused, verifier.c_str()},
      {Setting::intel_ta_issuer, std::string(), refused, refused, verifier.c_str()},
      {Setting::intel_ta_jwks_url, std::string(), refused, refused, verifier.c_str()},
      {Setting::github_oauth_client_id, std::string(), allowed, refused, "github_oauth_missing"},
      {Setting::github_oauth_client_secret, Secret(), allowed, refused, "github_oauth_missing"},
      {Setting::github_oauth_base_url, std::string("http://github.example"), refused, refused, url.c_str()},
      {Setting::github_oauth_api_url, std::string("https://10.0.0.1"), refused, refused, url.c_str()},
      {Setting::github_oidc_issuer, std::string("http://issuer.example"), refused, refused, url.c_str()},
      {Setting::github_oidc_jwks_url, std::string("https://localhost/jwks"), refused, refused, url.c_str()},
      {Setting::gcp_project_id, std::string(), refused, refused, "gcp_missing"},
      {Setting::gcp_image, std::string(), allowed, refused, "gcp_image_not_pinned"},
      {Setting::gcp_image, std::string("projects/project-1/global/images/family/ee-agent"), allowed, refused,
       "gcp_image_not_pinned"},
      {Setting::gcp_image, std::string("projects/ubuntu-os-cloud/global/images/ubuntu-2404-1"), refused, refused,
       "gcp_image_not_pinned"},
      {Setting::gcp_image, std::string("projects/debian-cloud/global/images/family/debian-12"), refused, refused,
       "gcp_image_not_pinned"},
      {Setting::gcp_compute_url, std::string("http://compute.googleapis.com"), refused, refused, url.c_str()},
      {Setting::gcp_token_url, std::string("https://127.0.0.1:8443/token"), refused, refused, url.c_str()},
      {Setting::measure_url, std::string("https://10.0.0.9/measure"), refused, refused, url.c_str()},
      {Setting::capacity_simulated_payment, true, allowed, refused, "simulated_payment_forbidden"},
      {Setting::cloudflare_account_id, std::string(), refused, refused, cloudflare.c_str()},
      {Setting::cloudflare_zone_id, std::string(), refused, refused, cloudflare.c_str()},
      {Setting::cloudflare_api_token, Secret(), refused, refused, cloudflare.c_str()},
      {Setting::cloudflare_domain, std::string(), refused, refused, cloudflare.c_str()},
      {Setting::cloudflare_api_url, std::string("http://api.cloudflare.com"), refused, refused, url.c_str()},
      {Setting::cloudflare_api_url, std::string("https://127.0.0.1:8443"), refused, refused, url.c_str()},
      {Setting::intel_ta_jwks_url, std::string("https://10.1.2.3/certs"), refused, refused, url.c_str()},
      {Setting::intel_ta_issuer, std::string("http://portal.trustauthority.intel.com"), refused, refused, url.c_str()},
      {Setting::intel_ta_api_url, std::string("https://localhost"), refused, refused, url.c_str()},
      {Setting::dcap_pcs_url, std::string("http://api.trustedservices.intel.com"), refused, refused, url.c_str()},
      {Setting::dcap_root_crl_url, std::string("http://pccs.internal/crl"), refused, refused, url.c_str()},
      // What is no weakness.
      {Setting::dcap_pcs_url, std::string("https://pccs.internal:8081"), allowed, allowed, ""},
      {Setting::dcap_root_crl_url, std::string(), allowed, allowed, ""},
      {Setting::attestation_verifier_mode, std::string("both"), allowed, allowed, ""},
  };
  for (const Row& row : rows) {
    for (const Stage stage : kStages) {
      for (const bool relaxed : {false, true}) {
        SettingValues values = good_values(stage);
        values.set(row.setting, row.value);
        const SettingsContext context{.stage = stage, .relaxed_policy_allowed = relaxed};
        const auto violations = setting_violations(values, context);
        const Outcome outcome = stage == Stage::dev ? allowed : stage == Stage::staging ? row.staging : row.production;
        const std::string where = std::string(setting_spec(row.setting).key) + " in " + std::string(to_string(stage));
        if (outcome == allowed || (outcome == needs_switch && relaxed)) {
          EXPECT_TRUE(violations.empty()) << where;
        } else {
          ASSERT_EQ(violations.size(), 1U) << where;
          EXPECT_EQ(violations[0].slug, row.slug) << where;
          EXPECT_EQ(violations[0].setting, row.setting) << where;
          EXPECT_NE(violations[0].detail.find(setting_spec(row.setting).key), std::string::npos);
        }
        EXPECT_EQ(relaxed_policies(values, context).size(),
                  stage == Stage::staging && outcome == needs_switch && relaxed ? 1U : 0U)
            << where;
      }
    }
  }
}

TEST(SettingGuardrails, NeedNoIntelKeyWhereNobodyAsksIntel) {
  for (const auto& [setting, value] : {std::pair{Setting::attestation_verifier_mode, std::string("dcap")},
                                       {Setting::attestation_ita_minter, std::string("agent")}}) {
    SettingValues values = good_values(Stage::production);
    values.set(Setting::intel_ta_api_key, Secret());
    EXPECT_EQ(slugs(setting_violations(values, {.stage = Stage::production})),
              std::set<std::string>{"verifier_missing"});
    values.set(setting, value);
    EXPECT_TRUE(setting_violations(values, {.stage = Stage::production}).empty());
  }
}

/// The key file of a service account, with this private key.
std::string key_file(const std::string& pem, const std::string& type = "service_account") {
  return R"({"type":")" + type + R"(","private_key_id":"k1","client_email":"a@project-1.iam.gserviceaccount.com",)" +
         R"("token_uri":"http://169.254.169.254/","private_key":)" + json::quote(pem) + "}\n";
}

// covers: S05_GRD_05
TEST(SettingGuardrails, S05_GRD_05_NeedAServiceAccountsKeyThatCanBeUsed) {
  const std::string pem = testing::make_rsa_key(2048).pem;
  struct Row {
    const char* what;
    std::string key;
    bool good;
  };
  const Row rows[] = {{"JSON", key_file(pem), true},
                      {"base64 of JSON", to_base64(bytes_of(key_file(pem))), true},
                      {"nothing", "", false},
                      {"no JSON", "key", false},
                      {"base64 of something else", to_base64(bytes_of("key")), false},
                      {"another kind of credential", key_file(pem, "authorized_user"), false},
                      {"no key in it", key_file(""), false},
                      {"a key that is too short", key_file(testing::make_rsa_key(1024).pem), false},
                      {"a key that is none of RSA", key_file(testing::make_p256_pem()), false}};
  for (const Row& row : rows) {
    for (const Stage stage : kStages) {
      SettingValues values = good_values(stage);
      values.set(Setting::gcp_service_account_key, Secret(row.key));
      EXPECT_TRUE(setting_violations(values, {.stage = stage}).empty()) << "the metadata server needs none";
      values.set(Setting::gcp_auth_mode, std::string("key"));
      const auto violations = setting_violations(values, {.stage = stage});
      if (row.good || stage == Stage::dev) {
        EXPECT_TRUE(violations.empty()) << row.what;
        continue;
      }
      ASSERT_EQ(violations.size(), 1U) << row.what;
      EXPECT_EQ(violations[0].slug, "gcp_missing") << row.what;
      EXPECT_EQ(violations[0].setting, Setting::gcp_service_account_key);
      EXPECT_EQ(violations[0].others, std::vector<Setting>{Setting::gcp_auth_mode});
    }
  }
}

// covers: S05_GRD_06, S05_GRD_07, S05_GRD_08
TEST(SettingGuardrails, StagingIsWarnedOfWhatProductionRefuses) {
  const auto warned = [](const SettingValues& values, Stage stage) {
    return slugs(guardrail_warnings(values, {.stage = stage}));
  };
  using Slugs = std::set<std::string>;
  for (const Stage stage : kStages) {
    EXPECT_EQ(warned(good_values(stage), stage), Slugs{});
    const bool staging = stage == Stage::staging;
    SettingValues values = good_values(stage);
    values.set(Setting::gcp_image, std::string());
    values.set(Setting::capacity_simulated_payment, true);
    EXPECT_EQ(warned(values, stage),
              (staging ? Slugs{"gcp_image_not_pinned", "simulated_payment_forbidden"} : Slugs{}));
    values.set(Setting::billing_enabled, false);
    values.set(Setting::auth_require_github_oauth, true);
    values.set(Setting::github_oauth_client_secret, Secret());
    EXPECT_EQ(warned(values, stage), (staging ? Slugs{"gcp_image_not_pinned", "github_oauth_missing"} : Slugs{}));
  }
  SettingValues unpaid = good_values(Stage::production);
  unpaid.set(Setting::capacity_simulated_payment, true);
  unpaid.set(Setting::billing_enabled, false);
  EXPECT_TRUE(setting_violations(unpaid, {.stage = Stage::production}).empty()) << "nothing is paid for there";
}

TEST(GcpImages, AreReadInTheTwoForms) {
  const auto exact = GcpImage::parse("projects/example.com:p-1/global/images/ee-1");
  ASSERT_TRUE(exact);
  EXPECT_EQ(exact->project, "example.com:p-1");
  EXPECT_EQ(exact->name, "ee-1");
  EXPECT_FALSE(exact->is_family);
  EXPECT_TRUE(GcpImage::parse("projects/p/global/images/family/f")->is_family);
  for (const char* bad :
       {"", "ee-1", "projects/p/global/images/", "projects/p/global/images/a/b", "projects//global/images/a",
        "projects/p/regions/images/a", "projects/p/global/images/family/", "/projects/p/global/images/a",
        "projects/p/global/images/A"})
    EXPECT_FALSE(GcpImage::parse(bad)) << bad;
}

TEST(SettingGuardrails, TellEveryViolationAtOnce) {
  const auto violations = setting_violations(SettingValues({.stage = Stage::production}), {.stage = Stage::production});
  EXPECT_EQ(slugs(violations), (std::set<std::string>{"cloudflare_missing", "gcp_image_not_pinned", "gcp_missing",
                                                      "github_oauth_missing", "verifier_missing"}));
  EXPECT_EQ(violations.size(), 9U);
  for (const GuardrailViolation& violation : violations)
    EXPECT_NE(std::ranges::find(kSettingGuardrails, violation.slug), kSettingGuardrails.end()) << violation.slug;
}

Config good_config(Stage stage) {
  Config config;
  config.stage = stage;
  config.database.sqlite_path = "/var/lib/easyenclave/cp.db";
  config.bind = {.host = "127.0.0.1", .port = 8080, .unix_path = {}};
  return config;
}

// covers: S05_GRD_01, S05_GRD_12, S01_EMU_004 (the rule)
TEST(ConfigGuardrails, S05_GRD_RefuseEmulationAndAVolatileDatabaseOutsideOfDev) {
  for (const Stage stage : kStages) {
    EXPECT_TRUE(config_violations(good_config(stage)).empty());
    Config emulated = good_config(stage);
    emulated.allow_emulated_tdx = true;
#ifdef EE_EMULATOR
    const bool dev_may = stage == Stage::dev;
#else
    const bool dev_may = false;
#endif
    EXPECT_EQ(slugs(config_violations(emulated)),
              dev_may ? std::set<std::string>{} : std::set<std::string>{"emulated_tdx_forbidden"});
    EXPECT_EQ(emulated.settings_context().emulation_allowed, stage == Stage::dev);
    Config in_memory = good_config(stage);
    in_memory.database.sqlite_path = ":memory:";
    EXPECT_EQ(slugs(config_violations(in_memory)),
              stage == Stage::dev ? std::set<std::string>{} : std::set<std::string>{"volatile_database"});
  }
}

TEST(ConfigGuardrails, RefuseAPlainPublicListenerOutsideOfDev) {
  for (const Stage stage : kStages) {
    const std::set<std::string> wanted =
        stage == Stage::dev ? std::set<std::string>{} : std::set<std::string>{"plain_listener_exposed"};
    for (const std::string host : {"0.0.0.0", "10.0.0.1", "::"}) {
      Config config = good_config(stage);
      config.bind.host = host;
      EXPECT_EQ(slugs(config_violations(config)), wanted) << host;
      config.trusted_proxies = {"10.0.0.0/8"};
      EXPECT_TRUE(config_violations(config).empty());
      config.trusted_proxies.clear();
      config.tls_cert = "cert";
      config.tls_key = Secret("key");
      EXPECT_TRUE(config_violations(config).empty());
    }
    Config unix_socket = good_config(stage);
    unix_socket.bind = {.host = {}, .port = 0, .unix_path = "/run/ee.sock"};
    EXPECT_TRUE(config_violations(unix_socket).empty());
    Config v6 = good_config(stage);
    v6.bind.host = "::1";
    EXPECT_TRUE(config_violations(v6).empty());
  }
}

}  // namespace
}  // namespace ee::cp
