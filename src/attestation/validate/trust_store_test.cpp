#include "attestation/validate/trust_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "attestation/validate/emulated_trust.h"
#include "tests/support/emulator.h"
#include "tests/support/policy_fixture.h"

namespace ee::attestation {
namespace {

using policy_test::filled;
using policy_test::good_facts;
using policy_test::good_profile;
using policy_test::reason_of;
using policy_test::strict_policy;

std::string hex(std::uint8_t value) { return to_hex(filled(value)); }

TrustStore environment() { return parse_environment_trust(hex(1), "", "").value(); }

std::string verdict(const TrustStore& trust) { return reason_of(check_mrtd(good_facts(), trust).reason); }

// covers: S01_POL_005
TEST(MergeTrust, LetsADatabaseRowReplaceTheEnvironments) {
  EXPECT_EQ(verdict(merge_trust({}, environment())), "ok");
  TrustStore database{.mrtds = {{.mrtd = filled(1), .enabled = false}}};
  EXPECT_EQ(verdict(merge_trust(database, environment())), "mrtd_untrusted");
  database.mrtds[0].enabled = true;
  EXPECT_EQ(verdict(merge_trust(database, environment())), "ok");
  database.mrtds[0].kind = MrtdKind::control_plane;
  EXPECT_EQ(verdict(merge_trust(database, environment())), "mrtd_wrong_kind");
  database.mrtds[0].expires_at = policy_test::kNow;
  EXPECT_EQ(verdict(merge_trust(database, environment())), "mrtd_untrusted");
  database.mrtds[0].mrtd = filled(2);
  EXPECT_EQ(verdict(merge_trust(database, environment())), "ok") << "a row for another MRTD replaces nothing";
}

TEST(MergeTrust, UnitesProfilesAndReplacesThoseOfTheSameName) {
  TrustStore environment{.profiles = {good_profile()}};
  TrustStore database{.profiles = {good_profile()}};
  database.profiles[0].enabled = false;
  EXPECT_EQ(merge_trust(database, environment).profiles.size(), 1U);
  EXPECT_EQ(reason_of(check_rtmrs(good_facts(), strict_policy(), merge_trust(database, environment)).reason),
            "rtmr_no_baseline");
  database.profiles[0].name = "another";
  EXPECT_EQ(reason_of(check_rtmrs(good_facts(), strict_policy(), merge_trust(database, environment)).reason), "ok");
}

TEST(EnvironmentTrust, ReadsCommaLists) {
  const auto trust = parse_environment_trust(hex(1) + ", " + hex(2), hex(1), "");
  ASSERT_TRUE(trust) << trust.error().detail;
  ASSERT_EQ(trust->mrtds.size(), 3U);
  EXPECT_EQ(trust->mrtds[1].mrtd, filled(2));
  EXPECT_EQ(trust->mrtds[1].kind, MrtdKind::agent);
  EXPECT_EQ(trust->mrtds[2].kind, MrtdKind::control_plane);
  EXPECT_EQ(trust->mrtds[2].source, TrustSource::environment);
  EXPECT_TRUE(parse_environment_trust("", " ", "")->mrtds.empty());
}

TEST(EnvironmentTrust, RefusesWhatIsNoMrtd) {
  for (const std::string& list : {hex(1) + ",", "," + hex(1), hex(1).substr(1), hex(1) + "0", "x" + hex(1).substr(1),
                                  std::string(96, '0'), hex(1) + ";" + hex(2), hex(1) + " " + hex(2)}) {
    const auto trust = parse_environment_trust(list, "", "");
    ASSERT_FALSE(trust) << list;
    EXPECT_EQ(slug(trust.error().code), "invalid_request");
    EXPECT_TRUE(trust.error().detail.starts_with("TRUSTED_AGENT_MRTDS: entry "));
  }
  EXPECT_FALSE(parse_environment_trust("", "x", ""));
}

TEST(EnvironmentTrust, ReadsProfiles) {
  const auto trust = parse_environment_trust(
      "", "",
      R"([{"mrtd":")" + hex(1) + R"(","name":"image 1","node_size":"tiny","rtmr0":")" + hex(10) + R"(","rtmr1":")" +
          hex(11) + R"("},{"mrtd":")" + hex(2) + R"(","name":"any","node_size":null,"rtmr2":")" + hex(12) + R"("}])");
  ASSERT_TRUE(trust) << trust.error().detail;
  ASSERT_EQ(trust->profiles.size(), 2U);
  EXPECT_EQ(trust->profiles[0].mrtd, filled(1));
  EXPECT_EQ(trust->profiles[0].node_size, "tiny");
  EXPECT_EQ(trust->profiles[0].rtmrs[1], filled(11));
  EXPECT_FALSE(trust->profiles[0].rtmrs[2]);
  EXPECT_FALSE(trust->profiles[1].node_size);
  EXPECT_EQ(trust->profiles[1].rtmrs[2], filled(12));
  EXPECT_NE(trust->profiles[0].id, trust->profiles[1].id);
}

TEST(EnvironmentTrust, RefusesBadProfiles) {
  const std::string good = R"({"mrtd":")" + hex(1) + R"(","name":"n","rtmr0":")" + hex(10) + R"("})";
  ASSERT_TRUE(parse_environment_trust("", "", "[" + good + "]"));
  for (const std::string& text :
       {good, "[" + good, "[" + good + "]]", std::string("[1]"), std::string("[{}]"), std::string("null"),
        R"([{"mrtd":")" + hex(1) + R"(","name":"n"}])", R"([{"mrtd":")" + hex(1) + R"(","name":"n","rtmr0":null}])",
        R"([{"mrtd":")" + hex(1) + R"(","name":"","rtmr0":")" + hex(10) + R"("}])",
        R"([{"mrtd":")" + hex(1) + R"(","name":"n","rtmr0":"aa"}])",
        R"([{"mrtd":")" + hex(1) + R"(","name":"n","rtmr4":")" + hex(10) + R"("}])",
        R"([{"mrtd":")" + hex(0) + R"(","name":"n","rtmr0":")" + hex(10) + R"("}])",
        "[" + good + std::string(64UL * 1024, ' ') + "]"})
    EXPECT_FALSE(parse_environment_trust("", "", text)) << text.substr(0, 200);
}

TEST(EmulatedTrust, AcceptsEmulatedAgentsAndControlPlanesAndNoOneElse) {
  const TrustStore trust = emulated_trust(testing::emulation_allowed());
  PolicySnapshot policy = strict_policy();
  policy.emulation_allowed = true;
  const auto verdict_of = [&](EmulatedQuoteSpec spec, MrtdKind kind) {
    const auto quote = parse_quote(testing::emulated_quote(spec), TrailingPolicy::zeros);
    Facts facts = facts_of(*quote, policy_test::kNow, kind, "tiny");
    facts.tcb_status = TcbStatus::UpToDate;
    return reason_of(evaluate_policy(facts, policy, trust).reason);
  };
  EmulatedQuoteSpec agent;
  EmulatedQuoteSpec control_plane{.measurements = EmulatedMeasurements::defaults(EmulatedRole::control_plane)};
  EXPECT_EQ(verdict_of(agent, MrtdKind::agent), "ok");
  EXPECT_EQ(verdict_of(control_plane, MrtdKind::control_plane), "ok");
  EXPECT_EQ(verdict_of(control_plane, MrtdKind::agent), "mrtd_wrong_kind");
  agent.measurements.rtmrs[3] = filled(1);
  EXPECT_EQ(verdict_of(agent, MrtdKind::agent), "ok") << "RTMR3 is free";
  agent.measurements.rtmrs[1] = filled(1);
  EXPECT_EQ(verdict_of(agent, MrtdKind::agent), "rtmr_mismatch");
}

}  // namespace
}  // namespace ee::attestation
