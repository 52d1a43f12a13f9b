#include "attestation/verify/tcb_evaluation.h"

#include <gtest/gtest.h>

#include "attestation/verify/chain.h"
#include "attestation/verify/signed_json.h"
#include "tests/support/recorded_collateral.h"

namespace ee::attestation {
namespace {

using enum TcbStatus;

TcbInfo recorded_info() {
  return *parse_tcb_info(testing::read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json").tcb_info)->contents;
}
std::string outcome(const Result<TcbVerdict>& verdict) {
  return std::string(verdict ? to_string(verdict->status) : slug(verdict.error().code));
}

// covers: S01_DCAP_008
TEST(EvaluatePlatform, FollowsTheExamplesOfTheSpecification) {
  EE_NEED_VECTORS();
  const TcbInfo info = recorded_info();
  const PckExtension platform{
      .ppid = {}, .components = {3, 3, 2, 2, 4, 1, 0, 5}, .pcesvn = 11, .cpusvn = {}, .pceid = {}, .fmspc = {}};
  EXPECT_EQ(outcome(evaluate_platform(info, platform, ByteArray<16>{6, 1, 3})), "UpToDate");
  EXPECT_EQ(outcome(evaluate_platform(info, platform, ByteArray<16>{3, 1, 3})), "OutOfDate");
  // The same module without an identity of its own is judged by the components: 5, 0, 2 are needed.
  EXPECT_EQ(outcome(evaluate_platform(info, platform, ByteArray<16>{6, 0, 3})), "UpToDate");
  EXPECT_EQ(outcome(evaluate_platform(info, platform, ByteArray<16>{4, 0, 3})), "tcb_not_supported");
}

// covers: S01_DCAP_013
TEST(EvaluatePlatform, FindsNoLevelForTheRealPlatformOf2023) {
  EE_NEED_VECTORS();
  const std::string body = testing::read_vector_text("go-tdx-guest/sample_tcbInfo_response");
  const auto info = parse_tcb_info(split_signed_json(body, "tcbInfo")->document);
  ASSERT_TRUE(info && info->contents);
  const Quote quote = testing::read_recorded_quote("go-tdx-guest/tdx_prod_quote_SPR_E4.dat", TrailingPolicy::ignore);
  const auto chain = verify_pck_chain(quote.pck_chain_pem(), intel_anchor(), testing::at("2023-06-20T00:00:00Z"));
  ASSERT_TRUE(chain);
  EXPECT_TRUE(check_platform(*info->contents, chain->platform));
  EXPECT_EQ(outcome(evaluate_platform(*info->contents, chain->platform, quote.tee_tcb_svn())), "tcb_not_supported");
}

/// A platform at {5, 5, ..}, PCESVN 10, and one level that it reaches exactly.
class Levels : public ::testing::Test {
 protected:
  Levels() {
    platform_.components.fill(5);
    platform_.pcesvn = 10;
    exact_.sgx_components.fill(5);
    exact_.pcesvn = 10;
    exact_.tdx_components = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
    exact_.verdict.status = UpToDate;
    info_.levels = {exact_};
    info_.module_identities = {{.version = 1, .levels = {{.isvsvn = 1, .verdict = {.status = UpToDate}}}}};
  }
  bool matches(const ByteArray<16>& svn) const { return matching_platform_level(info_, platform_, svn) != nullptr; }
  static ByteArray<16> svns(std::uint8_t module_version) {
    ByteArray<16> svn;
    svn.fill(5);
    svn[1] = module_version;
    return svn;
  }
  TcbInfo info_;
  PckExtension platform_{};
  TcbLevel exact_;
};

// covers: S01_DCAP_008
TEST_F(Levels, NeedEveryComponentAndPcesvn) {
  info_.levels[0].tdx_components[1] = 0;
  EXPECT_TRUE(matches(svns(0)));
  for (std::size_t i = 0; i < 16; ++i) {
    --platform_.components[i];
    EXPECT_FALSE(matches(svns(0))) << i;
    platform_.components[i] = 255;
    EXPECT_TRUE(matches(svns(0))) << i;
    platform_.components[i] = 5;
  }
  platform_.pcesvn = 9;
  EXPECT_FALSE(matches(svns(0)));
  platform_.pcesvn = 256;
  EXPECT_TRUE(matches(svns(0)));
}

// covers: S01_DCAP_008
TEST_F(Levels, CountTheModulesBytesOnlyWithoutAnIdentity) {
  for (std::size_t i = 0; i < 16; ++i) {
    ByteArray<16> svn = svns(1);
    if (i != 1) svn[i] = 4;
    EXPECT_EQ(matches(svn), i < 2) << i;  // 0 and 1 are the identity's
  }
  info_.levels[0].tdx_components[1] = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    if (i == 1) continue;
    ByteArray<16> svn = svns(0);
    svn[i] = 4;
    EXPECT_FALSE(matches(svn)) << i;
  }
}

// covers: S01_DCAP_008
TEST_F(Levels, GiveTheFirstThatIsReached) {
  TcbLevel higher = exact_;
  higher.pcesvn = 11;
  TcbLevel lower = exact_;
  lower.sgx_components.fill(1);
  lower.verdict.status = OutOfDate;
  info_.levels = {higher, exact_, lower};
  EXPECT_EQ(matching_platform_level(info_, platform_, svns(1))->verdict.status, UpToDate);
  platform_.components[15] = 4;
  EXPECT_EQ(matching_platform_level(info_, platform_, svns(1))->verdict.status, OutOfDate);
  platform_.components[15] = 0;
  EXPECT_EQ(matching_platform_level(info_, platform_, svns(1)), nullptr);
}

// covers: S01_DCAP_011
TEST_F(Levels, OfTheModuleAreItsOwn) {
  info_.module_identities[0].levels = {{.isvsvn = 5, .verdict = {.status = UpToDate}},
                                       {.isvsvn = 3, .verdict = {.status = OutOfDate, .advisories = {"INTEL-SA-2"}}}};
  info_.levels[0].verdict.advisories = {"INTEL-SA-3", "INTEL-SA-1", "INTEL-SA-2"};
  const auto with = [&](std::uint8_t isvsvn) {
    ByteArray<16> svn = svns(1);
    svn[0] = isvsvn;
    return evaluate_platform(info_, platform_, svn);
  };
  EXPECT_EQ(outcome(with(5)), "UpToDate");
  EXPECT_EQ(outcome(with(4)), "OutOfDate");
  EXPECT_EQ(outcome(with(3)), "OutOfDate");
  EXPECT_EQ(outcome(with(2)), "tcb_not_supported");
  EXPECT_EQ(with(3)->advisories, (std::vector<std::string>{"INTEL-SA-1", "INTEL-SA-2", "INTEL-SA-3"}));
  EXPECT_EQ(outcome(evaluate_platform(info_, platform_, svns(2))), "tdx_module_unsupported");
}

// covers: S01_DCAP_007
TEST_F(Levels, AreForOneFmspcAndPceid) {
  EXPECT_TRUE(check_platform(info_, platform_));
  platform_.fmspc[5] = 1;
  EXPECT_EQ(check_platform(info_, platform_).error().code, ErrorCode::tcb_info_mismatch);
  platform_.fmspc[5] = 0;
  platform_.pceid[0] = 1;
  EXPECT_EQ(check_platform(info_, platform_).error().code, ErrorCode::tcb_info_mismatch);
}

// covers: S01_DCAP_011
TEST(CheckModule, ComparesSignerAndAttributesOfTheRightIdentity) {
  TcbInfo info;
  info.module = {.mrsigner = {1}, .attributes = {0x01}, .attributes_mask = {0x0f}};
  info.module_identities = {{.version = 3, .module = {.mrsigner = {3}, .attributes_mask = {0xff}}}};
  const auto outcome = [&](std::uint8_t version, ByteArray<48> mrsigner, std::uint64_t attributes) {
    const ByteArray<16> svn = {0, version};
    const auto good = check_module(info, {.tee_tcb_svn = svn, .mrsignerseam = mrsigner, .seam_attributes = attributes});
    return good ? std::string("ok") : std::string(slug(good.error().code));
  };
  EXPECT_EQ(outcome(0, {1}, 0x01), "ok");
  EXPECT_EQ(outcome(3, {3}, 0), "ok");
  EXPECT_EQ(outcome(1, {1}, 0x01), "tdx_module_unsupported");
  EXPECT_EQ(outcome(0, {3}, 0x01), "tdx_module_mismatch");
  EXPECT_EQ(outcome(3, {1}, 0), "tdx_module_mismatch");
  EXPECT_EQ(outcome(0, {1}, 0x00), "tdx_module_mismatch");
  EXPECT_EQ(outcome(0, {1}, 0x03), "tdx_module_mismatch");
  EXPECT_EQ(outcome(0, {1}, 0x11), "tdx_module_mismatch") << "a bit outside the mask";
  EXPECT_EQ(outcome(0, {1}, 0x8000000000000001), "tdx_module_mismatch") << "the last byte, outside the mask";
  EXPECT_EQ(outcome(3, {3}, 0x0100), "tdx_module_mismatch");
}

constexpr TcbStatus kPlatform[] = {UpToDate,
                                   SWHardeningNeeded,
                                   ConfigurationNeeded,
                                   ConfigurationAndSWHardeningNeeded,
                                   OutOfDate,
                                   OutOfDateConfigurationNeeded,
                                   Revoked};

// covers: S01_DCAP_009
TEST(Converge, HasTheCellsOfTheSpecification) {
  for (const TcbStatus platform : kPlatform) {
    EXPECT_EQ(converge(Revoked, platform), Revoked) << to_string(platform);
    EXPECT_EQ(converge(UpToDate, platform), platform) << to_string(platform);
  }
  EXPECT_EQ(converge(OutOfDate, UpToDate), OutOfDate);
  EXPECT_EQ(converge(OutOfDate, SWHardeningNeeded), OutOfDate);
  EXPECT_EQ(converge(OutOfDate, ConfigurationNeeded), OutOfDateConfigurationNeeded);
  EXPECT_EQ(converge(OutOfDate, ConfigurationAndSWHardeningNeeded), OutOfDateConfigurationNeeded);
  EXPECT_EQ(converge(OutOfDate, OutOfDate), OutOfDate);
  EXPECT_EQ(converge(OutOfDate, OutOfDateConfigurationNeeded), OutOfDateConfigurationNeeded);
  EXPECT_EQ(converge(OutOfDate, Revoked), Revoked);
}

// The result is never better than the platform's own status, nor than what the part allows.
TEST(Converge, NeverImproves) {
  constexpr TcbStatus kAll[] = {UpToDate,
                                SWHardeningNeeded,
                                ConfigurationNeeded,
                                ConfigurationAndSWHardeningNeeded,
                                TDRelaunchAdvised,
                                TDRelaunchAdvisedConfigurationNeeded,
                                OutOfDate,
                                OutOfDateConfigurationNeeded,
                                Unknown,
                                Revoked};
  for (const TcbStatus part : {UpToDate, OutOfDate, Revoked})
    for (const TcbStatus platform : kAll) EXPECT_GE(converge(part, platform), std::max(part, platform));
}

// covers: S01_DCAP_010
TEST(WithRelaunch, HasTheCellsOfTheSpecification) {
  const auto good = [](TcbStatus status) {
    return status == UpToDate || status == SWHardeningNeeded || status == ConfigurationNeeded ||
           status == ConfigurationAndSWHardeningNeeded;
  };
  for (const TcbStatus launch : kPlatform) {
    for (const TcbStatus current : kPlatform) {
      const TcbStatus result = with_relaunch(launch, current);
      if ((launch != OutOfDate && launch != OutOfDateConfigurationNeeded) || !good(current)) {
        EXPECT_EQ(result, launch) << to_string(launch) << " " << to_string(current);
      }
    }
  }
  EXPECT_EQ(with_relaunch(OutOfDate, UpToDate), TDRelaunchAdvised);
  EXPECT_EQ(with_relaunch(OutOfDate, SWHardeningNeeded), TDRelaunchAdvised);
  EXPECT_EQ(with_relaunch(OutOfDate, ConfigurationNeeded), TDRelaunchAdvisedConfigurationNeeded);
  EXPECT_EQ(with_relaunch(OutOfDate, ConfigurationAndSWHardeningNeeded), TDRelaunchAdvisedConfigurationNeeded);
  for (const TcbStatus current : {UpToDate, SWHardeningNeeded, ConfigurationNeeded, ConfigurationAndSWHardeningNeeded})
    EXPECT_EQ(with_relaunch(OutOfDateConfigurationNeeded, current), TDRelaunchAdvisedConfigurationNeeded);
}

TEST(Unite, SortsAndKeepsOneOfEach) {
  std::vector<std::string> advisories = {"b", "a", "b"};
  unite(advisories, {"c", "a"});
  EXPECT_EQ(advisories, (std::vector<std::string>{"a", "b", "c"}));
}

}  // namespace
}  // namespace ee::attestation
