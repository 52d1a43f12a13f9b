#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/fake_log.h"
#include "common/problem.h"
#include "cp/service/settings_fixture.h"

namespace ee::cp::settings_tests {
namespace {

// covers: S05_SET_09 (service), S05_SET_10
TEST_F(SettingsTest, ShowsEverySettingWithAllThatIsKnownOfIt) {
  start();
  const auto all = service_->list("", "");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), settings_registry().size());
  EXPECT_EQ(service_->list("agents", "")->size(), 15U);
  EXPECT_EQ(service_->list("", "agents.stale")->size(), 1U);
  EXPECT_EQ(service_->list("agents", "cloudflare.")->size(), 0U);
  EXPECT_EQ(service_->list("no_group", "").error().code, ErrorCode::invalid_request);
  EXPECT_EQ(service_->get("no.key").error().code, ErrorCode::setting_unknown);
  EXPECT_EQ(put("no.key", "1").error().code, ErrorCode::setting_unknown);
  EXPECT_EQ(service_->reset("no.key", {}, kAdmin).error().code, ErrorCode::setting_unknown);
  clock_.set_utc(from_unix_ms(1767225600000));
  ASSERT_TRUE(put("agents.health_interval_seconds", "20"));
  EXPECT_EQ(json::write(*service_->get("agents.health_interval_seconds")),
            R"({"key":"agents.health_interval_seconds","group":"agents","type":"sec","value":20,"default":30,)"
            R"("source":"database",)"
            R"("env":"EE_AGENT_HEALTH_INTERVAL_SECONDS","is_secret":false,"is_set":true,"fingerprint":null,)"
            R"("restart_required":false,)"
            R"("min":5,"max":600,"enum":null,"unit":"seconds","description":"How often agents send a heartbeat.",)"
            R"("version":1,)"
            R"("updated_by":"admin:0190a000-0000-7000-8000-000000000009","updated_at":"2026-01-01T00:00:00.000Z"})");
  const auto mode = service_->get("attestation.tcb_mode");
  EXPECT_EQ(mode->enum_, (std::vector<std::string>{"strict", "warn", "disabled"}));
  EXPECT_FALSE(mode->is_set);
}

// covers: S05_SET_11
TEST_F(SettingsTest, HoldsWritersToTheVersionTheyRead) {
  start();
  EXPECT_EQ(put("agents.stale_hours", "7", 1).error().code, ErrorCode::version_mismatch);
  EXPECT_EQ(put("agents.stale_hours", "7", 0)->version, 1);
  EXPECT_EQ(put("agents.stale_hours", "8", 0).error().code, ErrorCode::version_mismatch);
  EXPECT_EQ(put("agents.stale_hours", "8", 1)->version, 2);
  EXPECT_EQ(service_->reset("agents.stale_hours", 1, kAdmin).error().code, ErrorCode::version_mismatch);
  EXPECT_EQ(service_->reset("agents.stale_hours", 2, kAdmin)->version, 0);
  EXPECT_EQ(stale_hours(), 24);
}

TEST_F(SettingsTest, OfTwoWritersWithOneVersionOneWins) {
  start();
  std::atomic<int> won = 0, lost = 0;
  {
    std::vector<std::jthread> writers;
    for (int i = 1; i <= 4; ++i)
      writers.emplace_back([&, i] {
        const auto done = put("agents.stale_hours", std::to_string(i), 0);
        ++(done ? won : lost);
        EXPECT_TRUE(done || done.error().code == ErrorCode::version_mismatch);
      });
  }
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 3);
  EXPECT_EQ(service_->get("agents.stale_hours")->version, 1);
}

TEST_F(SettingsTest, RefusesABadValueWithItsCode) {
  start();
  const std::pair<const char*, const char*> rows[] = {
      {"\"7\"", "wrong_type"}, {"0", "below_min"}, {"721", "above_max"}};
  for (const auto& [value, code] : rows) {
    const auto refused = put("agents.stale_hours", value);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::setting_invalid);
    EXPECT_EQ(refused.error().fields.at(0).field, "value");
    EXPECT_EQ(refused.error().fields.at(0).code, code);
  }
  const auto conflict = put("agents.health_interval_seconds", "60");
  EXPECT_EQ(conflict.error().code, ErrorCode::setting_invalid);
  EXPECT_NE(conflict.error().detail.find("agents.silence_seconds must be at least 180"), std::string::npos);
  EXPECT_EQ(service_->snapshot()->version(), 0) << "nothing was stored";
  // The other side of the rule is moved first, then it fits.
  ASSERT_TRUE(put("agents.lost_after_seconds", "240"));
  ASSERT_TRUE(put("agents.silence_seconds", "180"));
  ASSERT_TRUE(put("agents.health_interval_seconds", "60"));
  EXPECT_EQ(service_->reset("agents.silence_seconds", {}, kAdmin).error().code, ErrorCode::setting_invalid);
}

// covers: S05_SET_12, S05_SET_13 (service)
TEST_F(SettingsTest, KeepsSecretsOutOfAnswersLogsAuditAndProblems) {
  CaptureLogs logs;
  start();
  const std::string secret = "Hunter2-of-no-known-shape";
  const auto first = put("intel_ta.api_key", "\"" + secret + "\"");
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->value.is_null() && first->default_.is_null());
  EXPECT_TRUE(first->is_set && first->is_secret);
  ASSERT_TRUE(first->fingerprint);
  EXPECT_EQ(first->fingerprint->size(), 8U);
  EXPECT_EQ(service_->get("intel_ta.api_key")->fingerprint, first->fingerprint);
  EXPECT_NE(put("intel_ta.api_key", "\"" + secret + "x\"")->fingerprint, first->fingerprint);
  EXPECT_EQ(service_->snapshot()->secret(Setting::intel_ta_api_key).reveal(), secret + "x");
  const auto refused = put("intel_ta.api_key", "\"" + secret + " with a space\"");
  ASSERT_FALSE(refused);
  const auto refused_type = put("auth.admin_password_hash", "\"" + secret + "\"");
  ASSERT_FALSE(refused_type);
  const auto cleared = service_->reset("intel_ta.api_key", {}, kAdmin);
  EXPECT_FALSE(cleared->is_set);
  EXPECT_EQ(cleared->fingerprint, std::nullopt);
  std::string everything =
      audit_text() + problem_json(refused.error(), "r") + problem_json(refused_type.error(), "r") + metrics_.text();
  everything += refused.error().detail + refused_type.error().detail + json::write(*first);
  const auto all = service_->list("", "");
  for (const SettingView& view : *all) everything += json::write(view);
  for (const std::string& line : logs->lines()) everything += line;
  EXPECT_EQ(everything.find("Hunter2"), std::string::npos);
  EXPECT_NE(
      audit_text().find(
          "setting_changed admin:0190a000-0000-7000-8000-000000000009 intel_ta.api_key ok - {\"value\":\"changed\"}"),
      std::string::npos)
      << audit_text();
  EXPECT_EQ(test_database_.value<std::int64_t>("SELECT COUNT(*) FROM settings"), 0);
}

TEST_F(SettingsTest, MarksStoredSecrets) {
  start();
  ASSERT_TRUE(put("intel_ta.api_key", "\"abc\""));
  ASSERT_TRUE(put("intel_ta.audience", "\"abc\""));
  EXPECT_EQ(test_database_.value<std::int64_t>("SELECT is_secret FROM settings WHERE key = 'intel_ta.api_key'"), 1);
  EXPECT_EQ(test_database_.value<std::int64_t>("SELECT is_secret FROM settings WHERE key = 'intel_ta.audience'"), 0);
}

TEST_F(SettingsTest, AuditsEachChangeWithBeforeAndAfter) {
  start();
  ASSERT_TRUE(put("agents.stale_hours", "7"));
  ASSERT_TRUE(service_->reset("agents.stale_hours", {}, kAdmin));
  EXPECT_EQ(
      audit_text(),
      "setting_changed admin:0190a000-0000-7000-8000-000000000009 agents.stale_hours ok - {\"before\":24,\"after\":7}\n"
      "setting_reset admin:0190a000-0000-7000-8000-000000000009 agents.stale_hours ok - {\"before\":7,\"after\":24}\n");
}

// covers: S05_GRD_10
TEST_F(SettingsTest, S05_GRD_10_RefusesAGuardedValueAtRunTime) {
  start(Stage::production);
  EXPECT_TRUE(service_->start_violations().empty());
  struct Row {
    const char* key;
    const char* json;
    const char* slug;
  };
  for (const Row& row :
       {Row{"attestation.tcb_mode", "\"warn\"", "strict_policy_required"},
        Row{"attestation.rtmr_mode", "\"disabled\"", "strict_policy_required"},
        Row{"attestation.cp_to_agent_mode", "\"optional\"", "strict_policy_required"},
        Row{"attestation.allow_migratable", "true", "strict_policy_required"},
        Row{"agents.require_bootstrap_token", "false", "strict_policy_required"},
        Row{"intel_ta.api_key", "\"\"", "verifier_missing"}, Row{"cloudflare.api_token", "\"\"", "cloudflare_missing"},
        Row{"cloudflare.domain", "\"\"", "cloudflare_missing"},
        Row{"cloudflare.api_url", "\"http://api.cloudflare.com\"", "insecure_base_url"},
        Row{"intel_ta.jwks_url", "\"https://127.0.0.1/certs\"", "insecure_base_url"},
        Row{"gcp.project_id", "\"\"", "gcp_missing"}, Row{"gcp.auth_mode", "\"key\"", "gcp_missing"},
        Row{"gcp.image", "\"projects/cos-cloud/global/images/cos-1\"", "gcp_image_not_pinned"},
        Row{"gcp.image", "\"projects/project-1/global/images/family/ee-agent\"", "gcp_image_not_pinned"},
        Row{"capacity.simulated_payment", "true", "simulated_payment_forbidden"},
        Row{"github_oauth.client_id", "\"\"", "github_oauth_missing"},
        Row{"dcap.pcs_url", "\"http://pcs.example.com\"", "insecure_base_url"}}) {
    const auto refused = put(row.key, row.json);
    ASSERT_FALSE(refused) << row.key;
    EXPECT_EQ(refused.error().code, ErrorCode::guardrail_violation) << row.key;
    EXPECT_TRUE(refused.error().detail.starts_with(row.slug)) << refused.error().detail;
    EXPECT_NE(
        audit_text().find(std::string("guardrail_refused ") + kAdmin.name + " " + row.key + " refused " + row.slug),
        std::string::npos);
  }
  EXPECT_EQ(service_->snapshot()->version(), 0);
  EXPECT_TRUE(put("attestation.verifier_mode", "\"dcap\""));
  EXPECT_TRUE(put("intel_ta.api_key", "\"\"")) << "nobody asks Intel now";
  EXPECT_EQ(service_->reset("attestation.verifier_mode", {}, kAdmin).error().code, ErrorCode::guardrail_violation);
}

TEST_F(SettingsTest, AllowsAWeakValueInStagingOnlyWithTheSwitch) {
  Config config = config_of(Stage::staging, production_environment());
  start(config);
  EXPECT_EQ(put("attestation.tcb_mode", "\"warn\"").error().code, ErrorCode::guardrail_violation);
  service_.reset();
  config.allow_relaxed_policy = true;
  start(config);
  EXPECT_TRUE(put("attestation.tcb_mode", "\"warn\""));
  EXPECT_EQ(put("attestation.tcb_mode", "\"disabled\"").error().code, ErrorCode::guardrail_violation);
}

// Of what staging may relax the operator is told, and the log of changes keeps it (05 section 1.3).
TEST_F(SettingsTest, WarnsOfAndAuditsARelaxedPolicy) {
  Config config = config_of(Stage::staging, production_environment());
  config.allow_relaxed_policy = true;
  config.settings[Setting::attestation_rtmr_mode] = std::string("warn");
  const Actor system{.name = "system:start"};
  CaptureLogs logs;
  start(config);
  ASSERT_TRUE(service_->audit_relaxed_policies(system));
  EXPECT_EQ(audit_text(), "policy_relaxed system:start attestation.rtmr_mode ok - {\"value\":\"warn\"}\n");
  const auto warnings = [&](std::string_view of) {
    return std::ranges::count_if(logs->lines(), [&](const std::string& line) {
      return line.find("a policy is relaxed") != std::string::npos && line.find(of) != std::string::npos &&
             line.find("warn") != std::string::npos;
    });
  };
  EXPECT_EQ(warnings("attestation.rtmr_mode"), 1);
  EXPECT_EQ(metric("ee_policy_relaxed{policy=\"rtmr\"}"), 1);
  EXPECT_EQ(metric("ee_policy_relaxed{policy=\"tcb\"}"), 0);

  ASSERT_TRUE(put("attestation.tcb_mode", "\"warn\""));
  ASSERT_TRUE(put("agents.stale_hours", "7")) << "changes nothing about the policies";
  ASSERT_TRUE(put("attestation.tcb_mode", "\"strict\""));
  const std::string admin(kAdmin.name);
  EXPECT_EQ(audit_text(),
            "policy_relaxed system:start attestation.rtmr_mode ok - {\"value\":\"warn\"}\n"
            "setting_changed " +
                admin +
                " attestation.tcb_mode ok - {\"before\":\"strict\",\"after\":\"warn\"}\n"
                "policy_relaxed " +
                admin +
                " attestation.tcb_mode ok - {\"value\":\"warn\"}\n"
                "setting_changed " +
                admin +
                " agents.stale_hours ok - {\"before\":24,\"after\":7}\n"
                "setting_changed " +
                admin + " attestation.tcb_mode ok - {\"before\":\"warn\",\"after\":\"strict\"}\n");
  EXPECT_EQ(warnings("attestation.tcb_mode"), 1);
  EXPECT_EQ(metric("ee_policy_relaxed{policy=\"tcb\"}"), 0);

  service_.reset();
  start(Stage::production);
  const std::string before = audit_text();
  ASSERT_TRUE(service_->audit_relaxed_policies(system));
  EXPECT_EQ(audit_text(), before) << "nothing is relaxed";
}

// covers: S05_GRD_08
TEST_F(SettingsTest, S05_GRD_08_StagingIsToldOnceOfWhatProductionWouldRefuse) {
  CaptureLogs logs;
  start(Stage::staging);
  const auto told = [&] {
    return std::ranges::count_if(logs->lines(), [](const std::string& line) {
      return line.find("production would refuse this") != std::string::npos &&
             line.find("simulated_payment_forbidden") != std::string::npos;
    });
  };
  EXPECT_EQ(told(), 0);
  ASSERT_TRUE(put("capacity.simulated_payment", "true"));
  EXPECT_EQ(told(), 1);
  ASSERT_TRUE(put("agents.stale_hours", "7"));
  EXPECT_EQ(told(), 1) << "nothing new";
  ASSERT_TRUE(put("capacity.simulated_payment", "false"));
  ASSERT_TRUE(put("capacity.simulated_payment", "true"));
  EXPECT_EQ(told(), 2);
}

// covers: S05_GRD_11
TEST_F(SettingsTest, S05_GRD_11_DoesNotUseAGuardedRowThatWasPutStraightIntoTheDatabase) {
  CaptureLogs logs;
  start(Stage::production);
  store_by_hand("attestation.tcb_mode", "disabled");
  store_by_hand("agents.stale_hours", "7");
  clock_.advance(Milliseconds(5001));
  const auto settings = settled();
  EXPECT_EQ(settings->text(Setting::attestation_tcb_mode), "strict");
  EXPECT_EQ(settings->integer(Setting::agents_stale_hours), 7) << "the other rows count";
  EXPECT_EQ(metric("ee_guardrail_violations_total{slug=\"strict_policy_required\"}"), 1);
  EXPECT_TRUE(logs->contains("strict_policy_required"));
  EXPECT_NE(service_->get("attestation.tcb_mode")->source, SettingSource::database);
  // Told once, not at every reload.
  clock_.advance(Milliseconds(5001));
  settled();
  EXPECT_EQ(metric("ee_guardrail_violations_total{slug=\"strict_policy_required\"}"), 1);
  // A restart is refused while the row is there.
  service_.reset();
  start(Stage::production);
  ASSERT_EQ(service_->start_violations().size(), 1U);
  EXPECT_EQ(service_->start_violations()[0].slug, "strict_policy_required");
}

}  // namespace
}  // namespace ee::cp::settings_tests
