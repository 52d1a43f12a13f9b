#include "cp/domain/settings_registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "common/json.h"
#include "cp/domain/setting_text.h"
#include "cp/domain/settings_docs.h"

namespace ee::cp {
namespace {

const std::array<SettingsContext, 4> kContexts = {SettingsContext{.stage = Stage::dev},
                                                  {.stage = Stage::dev, .emulation_allowed = true},
                                                  {.stage = Stage::staging},
                                                  {.stage = Stage::production}};

TEST(SettingsRegistry, HasEveryKeyOnceUnderItsName) {
  constexpr std::array kNames = {
#define EE_SETTING_NAME(name) std::string_view(#name),
      EE_SETTINGS(EE_SETTING_NAME)
#undef EE_SETTING_NAME
  };
  const auto registry = settings_registry();
  ASSERT_EQ(registry.size(), kNames.size());
  std::set<std::string_view> variables;
  for (std::size_t i = 0; i < registry.size(); ++i) {
    std::string name(registry[i].key);
    name[name.find('.')] = '_';
    EXPECT_EQ(name, kNames[i]);
    EXPECT_TRUE(variables.insert(registry[i].env).second) << registry[i].env << " is used twice";
    EXPECT_EQ(find_setting(registry[i].key), &registry[i]);
    EXPECT_EQ(&setting_spec(registry[i].id), &registry[i]);
  }
  EXPECT_EQ(find_setting("no.such"), nullptr);
}

// covers: S05_SET_14
TEST(SettingsRegistry, S05_SET_14_TakesEveryDefaultBackInEveryForm) {
  for (const SettingsContext& context : kContexts) {
    for (const SettingSpec& spec : settings_registry()) {
      const SettingValue value = spec.fallback(context);
      const auto stored = parse_stored_setting(spec, stored_text(value), context);
      ASSERT_TRUE(stored) << spec.key << ": " << stored.error().detail;
      EXPECT_TRUE(*stored == value) << spec.key;
      if (!spec.is_secret()) {
        const auto shown = parse_json_setting(spec, shown_value(value), context);
        ASSERT_TRUE(shown) << spec.key << ": " << shown.error().detail;
        EXPECT_TRUE(*shown == value) << spec.key;
      }
      std::string variable = stored_text(value);
      if (const auto* items = std::get_if<std::vector<std::string>>(&value)) {
        variable.clear();
        for (const std::string& item : *items) variable += (variable.empty() ? "" : ",") + item;
      }
      const auto from_env = parse_env_setting(spec, variable, context);
      ASSERT_TRUE(from_env) << spec.key << ": " << from_env.error().detail;
      EXPECT_TRUE(*from_env == value) << spec.key;
    }
  }
}

TEST(SettingsRegistry, DescribesEverySettingInASentence) {
  for (const SettingSpec& spec : settings_registry()) {
    EXPECT_TRUE(spec.description.size() > 15 && spec.description.ends_with('.')) << spec.key;
    EXPECT_EQ(spec.description.find('|'), std::string_view::npos) << spec.key;
    const bool bounded = spec.type == SettingType::boolean || spec.type == SettingType::enumeration || spec.max > 0;
    EXPECT_TRUE(bounded) << spec.key << " has no bound";
    EXPECT_EQ(spec.type == SettingType::enumeration, spec.type != SettingType::list && !spec.allowed.empty())
        << spec.key;
  }
}

TEST(SettingsRegistry, IsWhatTheDocumentationShows) {
  const char* path = "docs/settings.md";
  if (std::getenv("EE_UPDATE_DOCS") != nullptr) std::ofstream(path) << settings_markdown();
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_TRUE(text == settings_markdown()) << "docs/settings.md is not up to date: run this test with EE_UPDATE_DOCS=1";
}

// The defaults that depend on the stage.
TEST(SettingsRegistry, FitsItsDefaultsToTheStage) {
  const SettingValues dev({.stage = Stage::dev}), emulated({.stage = Stage::dev, .emulation_allowed = true}),
      staging({.stage = Stage::staging}), production({.stage = Stage::production});
  EXPECT_EQ(dev.text(Setting::cloudflare_domain), "easyenclave.localhost");
  EXPECT_EQ(staging.text(Setting::cloudflare_domain), "stage.app.easyenclave.com");
  EXPECT_EQ(production.text(Setting::cloudflare_domain), "prod.app.easyenclave.com");
  EXPECT_EQ(dev.text(Setting::attestation_verifier_mode), "ita");
  EXPECT_EQ(emulated.text(Setting::attestation_verifier_mode), "dcap");
  EXPECT_TRUE(dev.flag(Setting::auth_password_login_enabled));
  EXPECT_FALSE(production.flag(Setting::auth_password_login_enabled));
  EXPECT_FALSE(dev.flag(Setting::agents_require_bootstrap_token));
  EXPECT_TRUE(staging.flag(Setting::agents_require_bootstrap_token));
  EXPECT_EQ(dev.text(Setting::attestation_signature_mode), "warn");
  EXPECT_EQ(production.text(Setting::attestation_signature_mode), "strict");
}

// covers: S05_SET_03
TEST(SettingValuesDeathTest, S05_SET_03_GivesTypedValuesAndStopsAtAWrongType) {
  SettingValues values({.stage = Stage::dev});
  EXPECT_EQ(values.integer(Setting::agents_stale_hours), 24);
  EXPECT_EQ(values.list(Setting::attestation_allowed_tcb_statuses), std::vector<std::string>{"UpToDate"});
  EXPECT_TRUE(values.secret(Setting::intel_ta_api_key).empty());
  values.set(Setting::agents_stale_hours, std::int64_t{7});
  EXPECT_EQ(values.integer(Setting::agents_stale_hours), 7);
  EXPECT_DEATH(values.text(Setting::agents_stale_hours), "invariant broken");
  EXPECT_DEATH(values.flag(Setting::intel_ta_api_key), "invariant broken");
}

struct BadValue {
  const char* key;
  const char* json;
  const char* code;
};

TEST(SettingText, RefusesEachValueWithItsCode) {
  const BadValue rows[] = {
      {"agents.stale_hours", "\"24\"", "wrong_type"},
      {"agents.stale_hours", "24.0", "wrong_type"},
      {"agents.stale_hours", "null", "wrong_type"},
      {"agents.stale_hours", "0", "below_min"},
      {"agents.stale_hours", "721", "above_max"},
      {"attestation.tcb_mode", "\"lax\"", "not_in_enum"},
      {"attestation.tcb_mode", "1", "wrong_type"},
      {"attestation.require_sept_ve_disable", "1", "wrong_type"},
      {"attestation.require_sept_ve_disable", "\"true\"", "wrong_type"},
      {"attestation.allowed_tcb_statuses", "\"UpToDate\"", "wrong_type"},
      {"attestation.allowed_tcb_statuses", "[1]", "wrong_type"},
      {"attestation.allowed_tcb_statuses", "[]", "below_min"},
      {"attestation.allowed_tcb_statuses", "[\"Revoked\"]", "not_in_enum"},
      {"attestation.allowed_tcb_statuses", "[\"Unknown\"]", "not_in_enum"},
      {"attestation.allowed_tcb_statuses", "[\"uptodate\"]", "not_in_enum"},
      {"attestation.allowed_tcb_statuses", "[\"UpToDate\",\"UpToDate\"]", "bad_format"},
      {"attestation.denied_advisories", "[\"INTEL-SA-1\"]", "bad_format"},
      {"attestation.denied_advisories", "[\"INTEL-SA-0061x\"]", "bad_format"},
      {"attestation.agent_refresh_seconds", "299", "below_min"},
      {"attestation.agent_refresh_seconds", "86401", "above_max"},
      {"intel_ta.allowed_algs", "[\"HS256\"]", "not_in_enum"},
      {"intel_ta.policy_ids", "[\"x\"]", "bad_format"},
      {"intel_ta.api_url", "\"https://api.example.com/appraisal/v2\"", "bad_format"},
      {"intel_ta.api_url", "\"https://api.example.com/appraisal/v1/attest/\"", "bad_format"},
      {"intel_ta.api_url", "\"ftp://api.example.com\"", "bad_format"},
      {"intel_ta.api_url", "\"https://u:p@api.example.com\"", "bad_format"},
      {"intel_ta.api_url", "\"https://api.example.com?x=1\"", "bad_format"},
      {"intel_ta.api_url", "\"\"", "bad_format"},
      {"intel_ta.api_key", "\"with space\"", "bad_format"},
      {"intel_ta.audience", "\"a\\nb\"", "bad_format"},
      {"cloudflare.account_id", "\"ABCDEF\"", "bad_format"},
      {"cloudflare.domain", "\"Example.com\"", "bad_format"},
      {"cloudflare.domain", "\"a..b\"", "bad_format"},
      {"cloudflare.domain", "\"example.com.\"", "bad_format"},
      {"auth.admin_password_hash", "\"hunter2\"", "bad_format"},
      {"auth.admin_password_hash", "\"$2b$12$abcdefghijklmnopqrstuv\"", "bad_format"},
      {"auth.admin_github_ids", "[\"0\"]", "bad_format"},
      {"auth.admin_github_ids", "[\"octocat\"]", "bad_format"},
      {"agents.direct_url_cidrs", "[\"10.0.0.1/8\"]", "bad_format"},
      {"agents.reserved_labels", "[\"-x\"]", "bad_format"},
      {"agents.disconnect_poweroff_seconds", "59", "below_min"},
      {"ops.cors_origins", "[\"*\"]", "bad_format"},
      {"ops.cors_origins", "[\"https://a.example/\"]", "bad_format"},
  };
  for (const BadValue& row : rows) {
    const SettingSpec* spec = find_setting(row.key);
    ASSERT_NE(spec, nullptr) << row.key;
    const auto parsed = parse_json_setting(*spec, *json::parse(row.json), {.stage = Stage::production});
    ASSERT_FALSE(parsed) << row.key << " " << row.json;
    EXPECT_EQ(parsed.error().code, row.code) << row.key << " " << row.json << ": " << parsed.error().detail;
    EXPECT_EQ(parsed.error().detail.find("hunter2"), std::string::npos);
  }
  const SettingSpec& audience = setting_spec(Setting::intel_ta_audience);
  EXPECT_EQ(parse_json_setting(audience, boost::json::value(std::string(201, 'a').c_str()), {}).error().code,
            "too_long");
  EXPECT_TRUE(parse_json_setting(audience, boost::json::value(std::string(200, 'a').c_str()), {}));
}

TEST(SettingText, AcceptsWhatIsForDevelopmentOnlyThere) {
  const std::pair<Setting, SettingValue> rows[] = {{Setting::attestation_agent_refresh_seconds, std::int64_t{0}},
                                                   {Setting::cloudflare_tunnel_mode, std::string("none")}};
  for (const auto& [id, value] : rows) {
    const SettingSpec& spec = setting_spec(id);
    EXPECT_TRUE(parse_json_setting(spec, shown_value(value), {.stage = Stage::dev})) << spec.key;
    EXPECT_FALSE(parse_json_setting(spec, shown_value(value), {.stage = Stage::staging})) << spec.key;
    EXPECT_FALSE(parse_json_setting(spec, shown_value(value), {.stage = Stage::production})) << spec.key;
  }
  const SettingSpec& signatures = setting_spec(Setting::attestation_signature_mode);
  EXPECT_TRUE(parse_env_setting(signatures, "disabled", {.stage = Stage::staging}));
  EXPECT_FALSE(parse_env_setting(signatures, "disabled", {.stage = Stage::production}));
  const SettingSpec& signup = setting_spec(Setting::auth_signup_mode);
  EXPECT_TRUE(parse_env_setting(signup, "open", {.stage = Stage::staging}));
  EXPECT_FALSE(parse_env_setting(signup, "open", {.stage = Stage::production}));
}

TEST(SettingText, ReadsListsOfBothForms) {
  const SettingSpec& spec = setting_spec(Setting::agents_reserved_labels);
  const SettingValue wanted = std::vector<std::string>{"a", "b-c"};
  EXPECT_TRUE(*parse_env_setting(spec, "a, b-c", {}) == wanted);
  EXPECT_TRUE(*parse_stored_setting(spec, R"(["a","b-c"])", {}) == wanted);
  EXPECT_EQ(stored_text(wanted), R"(["a","b-c"])");
  EXPECT_FALSE(parse_env_setting(spec, "a,,b", {}));
  EXPECT_FALSE(parse_stored_setting(spec, "a,b", {}));
  EXPECT_TRUE(*parse_stored_setting(spec, "[]", {}) == SettingValue(std::vector<std::string>()));
}

TEST(SettingText, KeepsTheLinesOfKeysOnly) {
  const std::string pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
  for (const Setting id :
       {Setting::cosign_public_key, Setting::registry_credentials, Setting::gcp_service_account_key}) {
    EXPECT_TRUE(parse_env_setting(setting_spec(id), pem, {})) << setting_spec(id).key;
    EXPECT_FALSE(parse_env_setting(setting_spec(id), pem + '\x1b', {})) << setting_spec(id).key;
  }
  EXPECT_EQ(std::get<std::string>(*parse_env_setting(setting_spec(Setting::cosign_public_key), pem, {})), pem);
  EXPECT_FALSE(parse_env_setting(setting_spec(Setting::cosign_identity), "a\nb", {}));
}

TEST(SettingConflicts, NameTheRuleThatIsBroken) {
  struct Row {
    Setting id;
    std::int64_t value;
    Setting named;
    const char* code;
  };
  EXPECT_TRUE(setting_conflicts(SettingValues({.stage = Stage::production})).empty());
  for (const Row& row :
       {Row{Setting::agents_health_timeout_seconds, 30, Setting::agents_health_timeout_seconds, "above_max"},
        Row{Setting::agents_health_interval_seconds, 31, Setting::agents_silence_seconds, "below_min"},
        Row{Setting::agents_silence_seconds, 89, Setting::agents_silence_seconds, "below_min"},
        Row{Setting::agents_lost_after_seconds, 90, Setting::agents_lost_after_seconds, "below_min"},
        Row{Setting::attestation_agent_max_age_seconds, 10799, Setting::attestation_agent_max_age_seconds,
            "below_min"}}) {
    SettingValues values({.stage = Stage::production});
    values.set(row.id, row.value);
    const auto found = setting_conflicts(values);
    ASSERT_EQ(found.size(), 1U) << setting_spec(row.id).key;
    EXPECT_EQ(found[0].id, row.named);
    EXPECT_EQ(found[0].problem.code, row.code);
  }
  SettingValues edge({.stage = Stage::production});
  edge.set(Setting::agents_health_timeout_seconds, std::int64_t{29});
  edge.set(Setting::agents_lost_after_seconds, std::int64_t{91});
  edge.set(Setting::attestation_agent_max_age_seconds, std::int64_t{10800});
  EXPECT_TRUE(setting_conflicts(edge).empty());
}

}  // namespace
}  // namespace ee::cp
