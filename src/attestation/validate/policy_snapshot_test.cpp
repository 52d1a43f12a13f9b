#include "attestation/validate/policy_snapshot.h"

#include <gtest/gtest.h>

#include <functional>
#include <type_traits>

#include "tests/support/policy_fixture.h"

namespace ee::attestation {
namespace {

PolicySettings good_settings() {
  return {.verifier_mode = "both",
          .tcb_mode = "strict",
          .rtmr_mode = "warn",
          .allowed_tcb_statuses = {"UpToDate", "SWHardeningNeeded"},
          .denied_advisories = {"INTEL-SA-00615"},
          .event_log_mode = "optional",
          .ita_minter = "control_plane",
          .require_sept_ve_disable = true,
          .allow_migratable = false,
          .allow_service_td = false,
          .emulation_allowed = false,
          .ita_api_key_set = true,
          .ita_issuer_set = true,
          .ita_jwks_url_set = true,
          .settings_version = 41,
          .trusted_mrtd_version = 7};
}

std::string frozen(const std::function<void(PolicySettings&)>& change) {
  PolicySettings settings = good_settings();
  change(settings);
  const auto policy = freeze_policy(settings);
  if (policy) return "ok";
  EXPECT_EQ(slug(policy.error().code), "policy_invalid");
  return policy.error().detail;
}

// covers: S01_POL_003
TEST(FreezePolicy, RefusesEveryUnknownValue) {
  EXPECT_EQ(frozen([](PolicySettings&) {}), "ok");
  for (const std::string text : {"", "Strict", "off", "strict ", "none"}) {
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.tcb_mode = text; }), "attestation.tcb_mode");
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.rtmr_mode = text; }), "attestation.rtmr_mode");
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.verifier_mode = text; }), "attestation.verifier_mode");
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.event_log_mode = text; }), "attestation.event_log_mode");
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.ita_minter = text; }), "attestation.ita_minter");
  }
}

TEST(FreezePolicy, RefusesListsThatAllowTooMuchOrNothing) {
  using List = std::vector<std::string>;
  for (const List& list :
       {List{}, List{"Revoked"}, List{"UpToDate", "Unknown"}, List{"uptodate"}, List{""}, List(9, "UpToDate")})
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.allowed_tcb_statuses = list; }), "attestation.allowed_tcb_statuses");
  EXPECT_EQ(frozen([](PolicySettings& s) {
              s.allowed_tcb_statuses = {"UpToDate",
                                        "SWHardeningNeeded",
                                        "ConfigurationNeeded",
                                        "ConfigurationAndSWHardeningNeeded",
                                        "TDRelaunchAdvised",
                                        "TDRelaunchAdvisedConfigurationNeeded",
                                        "OutOfDate",
                                        "OutOfDateConfigurationNeeded"};
            }),
            "ok");
  for (const List& list : {List{"INTEL-SA-1"}, List{"intel-sa-00001"}, List{"INTEL-SA-0000x"}, List{"INTEL-SA-000001"},
                           List(201, "INTEL-SA-00001")})
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.denied_advisories = list; }), "attestation.denied_advisories");
  EXPECT_EQ(frozen([](PolicySettings& s) { s.denied_advisories.clear(); }), "ok");
}

TEST(FreezePolicy, WantsTheVerifierToBeConfigured) {
  const std::string missing = "attestation.verifier_mode: verifier_missing";
  for (const std::string mode : {"ita", "both"}) {
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.verifier_mode = mode, s.ita_api_key_set = false; }), missing);
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.verifier_mode = mode, s.ita_issuer_set = false; }), missing);
    EXPECT_EQ(frozen([&](PolicySettings& s) { s.verifier_mode = mode, s.ita_jwks_url_set = false; }), missing);
    EXPECT_EQ(
        frozen([&](PolicySettings& s) { s.verifier_mode = mode, s.ita_minter = "agent", s.ita_api_key_set = false; }),
        "ok");
  }
  EXPECT_EQ(frozen([](PolicySettings& s) {
              s.verifier_mode = "dcap", s.ita_api_key_set = s.ita_issuer_set = s.ita_jwks_url_set = false;
            }),
            "ok");
}

// covers: S01_POL_008
TEST(PolicySnapshot, HasItsWholeContentAsJson) {
  const auto policy = freeze_policy(good_settings());
  ASSERT_TRUE(policy);
  EXPECT_EQ(to_json(*policy, "0190a000-0000-7000-8000-000000000001"),
            R"({"verifier_mode":"both","nonce":"required","tcb_mode":"strict","rtmr_mode":"warn",)"
            R"("allowed_tcb_statuses":["UpToDate","SWHardeningNeeded"],"denied_advisories":["INTEL-SA-00615"],)"
            R"("event_log_mode":"optional","require_sept_ve_disable":true,"allow_migratable":false,)"
            R"("allow_service_td":false,"ita_minter":"control_plane","emulation_allowed":false,)"
            R"("settings_version":41,"trusted_mrtd_version":7,)"
            R"("rtmr_profile_id":"0190a000-0000-7000-8000-000000000001"})");
  EXPECT_TRUE(to_json(*policy, std::nullopt).ends_with(R"("rtmr_profile_id":null})"));
}

TEST(PolicySnapshot, CannotBeMadeWithoutItsPolicies) {
  static_assert(!std::is_default_constructible_v<PolicySnapshot>);
  static_assert(!std::is_default_constructible_v<Stated<Enforcement>>);
  static_assert(!std::is_constructible_v<Stated<bool>, int>, "and not from something like it");
  static_assert(!std::is_default_constructible_v<Facts>);
}

}  // namespace
}  // namespace ee::attestation
