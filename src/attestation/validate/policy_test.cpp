#include "attestation/validate/policy.h"

#include <gtest/gtest.h>

#include <functional>
#include <tuple>

#include "tests/support/policy_fixture.h"

namespace ee::attestation {
namespace {

using policy_test::filled;
using policy_test::good_facts;
using policy_test::good_profile;
using policy_test::good_trust;
using policy_test::kNow;
using policy_test::reason_of;
using policy_test::strict_policy;
using policy_test::texts_of;

constexpr std::uint64_t bit(int number) { return std::uint64_t{1} << number; }

constexpr std::array kModes = {Enforcement::strict, Enforcement::warn, Enforcement::disabled};

std::string attributes_verdict(std::uint64_t attributes, const PolicySnapshot& policy = strict_policy(),
                               bool has_service_td = false) {
  Facts facts = good_facts();
  facts.td_attributes = attributes;
  facts.has_service_td = has_service_td;
  return reason_of(check_td_attributes(facts, policy).reason);
}

// covers: S01_POL_001
TEST(TdAttributes, RefuseADebugTdInEveryModeAndEnvironment) {
  for (const Enforcement mode : kModes) {
    for (const bool lenient : {false, true}) {
      PolicySnapshot policy = strict_policy();
      policy.tcb_mode = mode;
      policy.rtmr_mode = mode;
      policy.require_sept_ve_disable = !lenient;
      policy.allow_migratable = lenient;
      policy.allow_service_td = lenient;
      policy.emulation_allowed = lenient;
      EXPECT_EQ(attributes_verdict(bit(28) | bit(0), policy), "td_debug_enabled");
      Facts facts = good_facts();
      facts.td_attributes = bit(28) | bit(0);
      facts.emulated = lenient;
      EXPECT_EQ(reason_of(evaluate_policy(facts, policy, good_trust()).reason), "td_debug_enabled");
    }
  }
}

// covers: S01_POL_002
TEST(TdAttributes, FollowTheTable) {
  EXPECT_EQ(attributes_verdict(bit(28)), "ok");
  for (int reserved = 1; reserved <= 7; ++reserved)
    EXPECT_EQ(attributes_verdict(bit(28) | bit(reserved)), "td_attributes_refused") << reserved;
  for (const int recorded : {8, 27, 30, 31, 62, 63})
    EXPECT_EQ(attributes_verdict(bit(28) | bit(recorded)), "ok") << recorded;

  PolicySnapshot no_sept = strict_policy();
  no_sept.require_sept_ve_disable = false;
  EXPECT_EQ(attributes_verdict(0), "td_attributes_refused");
  EXPECT_EQ(attributes_verdict(0, no_sept), "ok");

  PolicySnapshot migratable = strict_policy();
  migratable.allow_migratable = true;
  EXPECT_EQ(attributes_verdict(bit(28) | bit(29)), "td_attributes_refused");
  EXPECT_EQ(attributes_verdict(bit(28) | bit(29), migratable), "ok");

  PolicySnapshot service_td = strict_policy();
  service_td.allow_service_td = true;
  EXPECT_EQ(attributes_verdict(bit(28), strict_policy(), true), "td_attributes_refused");
  EXPECT_EQ(attributes_verdict(bit(28), service_td, true), "ok");
}

std::string mrtd_verdict(const std::function<void(Facts&, TrustStore&)>& change) {
  Facts facts = good_facts();
  TrustStore trust = good_trust();
  change(facts, trust);
  return reason_of(check_mrtd(facts, trust).reason);
}

// covers: S01_POL_006
TEST(Mrtd, MustBeTrustedCurrentAndOfTheWantedKind) {
  EXPECT_EQ(mrtd_verdict([](Facts&, TrustStore&) {}), "ok");
  EXPECT_EQ(mrtd_verdict([](Facts& facts, TrustStore&) { facts.mrtd.reset(); }), "mrtd_missing");
  EXPECT_EQ(mrtd_verdict([](Facts& facts, TrustStore&) { (*facts.mrtd)[47] ^= 1; }), "mrtd_untrusted");
  EXPECT_EQ(mrtd_verdict([](Facts&, TrustStore& trust) { trust.mrtds.clear(); }), "mrtd_untrusted");
  EXPECT_EQ(mrtd_verdict([](Facts&, TrustStore& trust) { trust.mrtds[0].enabled = false; }), "mrtd_untrusted");
  EXPECT_EQ(mrtd_verdict([](Facts&, TrustStore& trust) { trust.mrtds[0].expires_at = kNow; }), "mrtd_untrusted");
  EXPECT_EQ(mrtd_verdict([](Facts&, TrustStore& trust) { trust.mrtds[0].expires_at = kNow + Milliseconds(1); }), "ok");
  EXPECT_EQ(mrtd_verdict([](Facts& facts, TrustStore&) { facts.wanted_kind = MrtdKind::control_plane; }),
            "mrtd_wrong_kind");
  EXPECT_EQ(mrtd_verdict([](Facts&, TrustStore& trust) { trust.mrtds[0].kind = MrtdKind::control_plane; }),
            "mrtd_wrong_kind");
  EXPECT_EQ(mrtd_verdict([](Facts& facts, TrustStore& trust) {
              facts.wanted_kind = MrtdKind::control_plane;
              trust.mrtds[0].enabled = false;
            }),
            "mrtd_untrusted")
      << "what is disabled has no kind";
}

TEST(Mrtd, OfAllZerosIsNeverTrusted) {
  EXPECT_EQ(mrtd_verdict([](Facts& facts, TrustStore& trust) {
              facts.mrtd = Measurement{};
              trust.mrtds[0].mrtd = Measurement{};
            }),
            "mrtd_untrusted");
}

TEST(Mrtd, NamedForBothKindsByTheEnvironmentServesBoth) {
  const auto both = [](MrtdKind wanted) {
    return mrtd_verdict([wanted](Facts& facts, TrustStore& trust) {
      facts.wanted_kind = wanted;
      trust.mrtds.push_back({.mrtd = filled(1), .kind = MrtdKind::control_plane, .source = TrustSource::environment});
    });
  };
  EXPECT_EQ(both(MrtdKind::agent), "ok");
  EXPECT_EQ(both(MrtdKind::control_plane), "ok");
}

struct TcbRow {
  const char* name;
  TcbStatus status;
  std::vector<std::string> advisories;
  std::array<std::string, 3> expected;  ///< strict, warn, disabled: reason, and warnings behind a slash
};

std::string tcb_verdict(const TcbRow& row, Enforcement mode) {
  Facts facts = good_facts();
  facts.tcb_status = row.status;
  facts.advisories = row.advisories;
  PolicySnapshot policy = strict_policy();
  policy.tcb_mode = mode;
  policy.allowed_tcb_statuses = std::vector{TcbStatus::UpToDate, TcbStatus::SWHardeningNeeded};
  policy.denied_advisories = std::vector<std::string>{"INTEL-SA-00001", "INTEL-SA-00002"};
  const Verdict verdict = check_tcb(facts, policy);
  return reason_of(verdict.reason) + "/" + texts_of(verdict.warnings);
}

// covers: S01_TCB_001..006
TEST(Tcb, FollowsTheMatrix) {
  const std::string off = "ok/tcb_check_disabled";
  const std::array<std::string, 3> unacceptable = {"tcb_not_acceptable/", "ok/tcb_not_acceptable", off};
  const TcbRow rows[] = {
      {"revoked", TcbStatus::Revoked, {}, {"tcb_revoked/", "tcb_revoked/", "tcb_revoked/"}},
      {"revoked with a denied advisory",
       TcbStatus::Revoked,
       {"INTEL-SA-00001"},
       {"tcb_revoked/", "tcb_revoked/", "tcb_revoked/"}},
      {"unknown", TcbStatus::Unknown, {}, unacceptable},
      {"out of date", TcbStatus::OutOfDate, {}, unacceptable},
      {"out of date, to be configured", TcbStatus::OutOfDateConfigurationNeeded, {}, unacceptable},
      {"relaunch", TcbStatus::TDRelaunchAdvised, {}, unacceptable},
      {"relaunch, to be configured", TcbStatus::TDRelaunchAdvisedConfigurationNeeded, {}, unacceptable},
      {"to be configured", TcbStatus::ConfigurationNeeded, {}, unacceptable},
      {"to be configured and hardened", TcbStatus::ConfigurationAndSWHardeningNeeded, {}, unacceptable},
      {"out of date with a denied advisory",
       TcbStatus::OutOfDate,
       {"INTEL-SA-00002"},
       {"tcb_not_acceptable/", "ok/tcb_not_acceptable,tcb_advisory_denied", off}},
      {"denied advisory",
       TcbStatus::UpToDate,
       {"INTEL-SA-00009", "INTEL-SA-00002"},
       {"tcb_advisory_denied/", "ok/tcb_advisory_denied", off}},
      {"other advisory", TcbStatus::UpToDate, {"INTEL-SA-00009"}, {"ok/", "ok/", off}},
      {"to be hardened, which is allowed", TcbStatus::SWHardeningNeeded, {}, {"ok/", "ok/", off}},
      {"up to date", TcbStatus::UpToDate, {}, {"ok/", "ok/", off}},
  };
  for (const TcbRow& row : rows)
    for (std::size_t mode = 0; mode < kModes.size(); ++mode)
      EXPECT_EQ(tcb_verdict(row, kModes[mode]), row.expected[mode]) << row.name << " " << mode;
}

struct RtmrRow {
  const char* name;
  std::function<void(Facts&, TrustStore&)> change;
  std::array<std::string, 3> expected;
};

std::string rtmr_verdict(const RtmrRow& row, Enforcement mode) {
  Facts facts = good_facts();
  TrustStore trust = good_trust();
  row.change(facts, trust);
  PolicySnapshot policy = strict_policy();
  policy.rtmr_mode = mode;
  const RtmrVerdict verdict = check_rtmrs(facts, policy, trust);
  return reason_of(verdict.reason) + "/" + texts_of(verdict.warnings);
}

// covers: S01_RTMR_001..007
TEST(Rtmrs, FollowTheMatrix) {
  const std::string off = "ok/rtmr_check_disabled";
  const std::array<std::string, 3> no_baseline = {"rtmr_no_baseline/", "ok/rtmr_no_baseline", off};
  const std::array<std::string, 3> mismatch = {"rtmr_mismatch/", "ok/rtmr_mismatch", off};
  const std::array<std::string, 3> good = {"ok/", "ok/", off};
  const RtmrRow rows[] = {
      {"no profile", [](Facts&, TrustStore& trust) { trust.profiles.clear(); }, no_baseline},
      {"another MRTD's", [](Facts&, TrustStore& trust) { trust.profiles[0].mrtd = filled(2); }, no_baseline},
      {"disabled", [](Facts&, TrustStore& trust) { trust.profiles[0].enabled = false; }, no_baseline},
      {"expired", [](Facts&, TrustStore& trust) { trust.profiles[0].expires_at = kNow; }, no_baseline},
      {"another size's", [](Facts& facts, TrustStore&) { facts.node_size = "llm"; }, no_baseline},
      {"no size", [](Facts& facts, TrustStore&) { facts.node_size.clear(); }, no_baseline},
      {"no register", [](Facts&, TrustStore& trust) { trust.profiles[0].rtmrs = {}; }, no_baseline},
      {"claimed size of another machine",
       [](Facts& facts, TrustStore& trust) {
         trust.profiles.push_back(good_profile());
         trust.profiles[1].node_size = "llm";
         trust.profiles[1].rtmrs[0] = filled(99);
         facts.node_size = "llm";
       },
       mismatch},
      {"RTMR0", [](Facts& facts, TrustStore&) { facts.rtmrs[0][0] ^= 1; }, mismatch},
      {"RTMR1", [](Facts& facts, TrustStore&) { facts.rtmrs[1][47] ^= 1; }, mismatch},
      {"RTMR2", [](Facts& facts, TrustStore&) { facts.rtmrs[2][20] ^= 1; }, mismatch},
      {"RTMR3, which is expected", [](Facts&, TrustStore& trust) { trust.profiles[0].rtmrs[3] = filled(99); },
       mismatch},
      {"RTMR3, which is not checked", [](Facts& facts, TrustStore&) { facts.rtmrs[3] = filled(99); }, good},
      {"not yet expired", [](Facts&, TrustStore& trust) { trust.profiles[0].expires_at = kNow + Milliseconds(1); },
       good},
      {"profile for all sizes",
       [](Facts& facts, TrustStore& trust) {
         trust.profiles[0].node_size.reset();
         facts.node_size = "llm";
       },
       good},
      {"second profile",
       [](Facts&, TrustStore& trust) {
         trust.profiles.insert(trust.profiles.begin(), good_profile());
         trust.profiles[0].rtmrs[2] = filled(99);
       },
       good},
      {"match", [](Facts&, TrustStore&) {}, good},
  };
  for (const RtmrRow& row : rows)
    for (std::size_t mode = 0; mode < kModes.size(); ++mode)
      EXPECT_EQ(rtmr_verdict(row, kModes[mode]), row.expected[mode]) << row.name << " " << mode;
}

TEST(Rtmrs, NameTheRegistersOfTheNearestProfile) {
  TrustStore trust = good_trust();
  trust.profiles[0].rtmrs = {filled(90), filled(91), filled(92), std::nullopt};
  for (const auto& [name, rtmr1, rtmr2] :
       {std::tuple{"b near", 11, 92}, std::tuple{"a near", 91, 12}, std::tuple{"far", 91, 92}}) {
    RtmrProfile profile = good_profile();
    profile.id = std::string("id of ") + name;
    profile.name = name;
    profile.rtmrs = {filled(10), filled(static_cast<std::uint8_t>(rtmr1)), filled(static_cast<std::uint8_t>(rtmr2)),
                     std::nullopt};
    trust.profiles.push_back(profile);
  }
  const auto verdict = check_rtmrs(good_facts(), strict_policy(), trust);
  ASSERT_TRUE(verdict.mismatch);
  EXPECT_EQ(*verdict.mismatch,
            (RtmrMismatch{.profile_id = "id of a near", .profile_name = "a near", .registers = {1}}));
  EXPECT_EQ(details_json(*verdict.mismatch), R"({"rtmr_profile":"a near","registers":[1]})");
}

}  // namespace
}  // namespace ee::attestation
