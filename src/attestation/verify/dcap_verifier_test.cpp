#include "attestation/verify/dcap_verifier.h"

#include <thread>

#include "attestation/quote/layout.h"
#include "attestation/verify/dcap_fixture.h"
#include "tests/support/recorded_collateral.h"

namespace ee::attestation {
namespace {

using dcap_test::crl;
using dcap_test::EmulatedEvidence;
using dcap_test::judge;
using dcap_test::kDev;
using dcap_test::kIssued;
using dcap_test::kNow;
using dcap_test::kPlatformCa;
using dcap_test::replaced;
using dcap_test::text_of_result;
using testing::at;

// covers: S01_DCAP_004
TEST(DcapVerifier, RefusesAChainToAForeignRoot) {
  EmulatedEvidence foreign;
  foreign.options.key_label = "somebody else";
  EXPECT_EQ(judge(foreign), "pck_chain_untrusted");
}

// covers: S01_DCAP_005
// covers: S01_DCAP_005
// covers: S01_DCAP_005
// covers: S01_DCAP_005, S01_DCAP_002
// covers: S01_DCAP_006
// covers: S01_DCAP_007
// covers: S01_DCAP_008, S01_DCAP_009
TEST(DcapVerifier, JudgesPlatformModuleAndQeTogether) {
  EmulatedEvidence evidence;
  const auto status = [&](TcbStatus platform, TcbStatus module, TcbStatus qe) {
    evidence.options.levels[0].status = platform;
    evidence.options.module_levels = {{.isvsvn = 1, .status = module}};
    evidence.options.qe_levels = {{.isvsvn = 1, .status = qe}};
    return judge(evidence);
  };
  using enum TcbStatus;
  EXPECT_EQ(status(UpToDate, UpToDate, UpToDate), "UpToDate");
  EXPECT_EQ(status(SWHardeningNeeded, UpToDate, UpToDate), "SWHardeningNeeded");
  EXPECT_EQ(status(SWHardeningNeeded, OutOfDate, UpToDate), "OutOfDate");
  EXPECT_EQ(status(ConfigurationNeeded, UpToDate, OutOfDate), "OutOfDateConfigurationNeeded");
  EXPECT_EQ(status(ConfigurationAndSWHardeningNeeded, OutOfDate, OutOfDate), "OutOfDateConfigurationNeeded");
  EXPECT_EQ(status(OutOfDate, UpToDate, UpToDate), "OutOfDate");
  EXPECT_EQ(status(UpToDate, Revoked, UpToDate), "Revoked");
  EXPECT_EQ(status(UpToDate, UpToDate, Revoked), "Revoked");
  EXPECT_EQ(status(Revoked, UpToDate, UpToDate), "Revoked");
}

TEST(DcapVerifier, UnitesTheAdvisoriesOfAllThree) {
  EmulatedEvidence evidence;
  evidence.options.levels[0].advisories = {"INTEL-SA-00003", "INTEL-SA-00001"};
  evidence.options.module_levels = {{.isvsvn = 1, .status = TcbStatus::OutOfDate, .advisories = {"INTEL-SA-00002"}}};
  evidence.options.qe_levels = {{.isvsvn = 1, .status = TcbStatus::UpToDate, .advisories = {"INTEL-SA-00001"}}};
  const auto result = DcapVerifier().verify(evidence.quote(), evidence.collateral(), kDev, kNow);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->advisories, (std::vector<std::string>{"INTEL-SA-00001", "INTEL-SA-00002", "INTEL-SA-00003"}));
}

// covers: S01_DCAP_010
TEST(DcapVerifier, AdvisesToRelaunchWhenTheModuleWasUpdatedSince) {
  EmulatedEvidence evidence;
  evidence.spec.form = QuoteForm::v5_td_1_5;
  evidence.spec.tee_tcb_svn = kOutOfDateTcbSvn;
  EXPECT_EQ(judge(evidence), "TDRelaunchAdvised");
  evidence.options.levels[0].status = TcbStatus::ConfigurationNeeded;
  EXPECT_EQ(judge(evidence), "TDRelaunchAdvisedConfigurationNeeded");
  evidence.options.levels[0].status = TcbStatus::UpToDate;
  evidence.spec.tee_tcb_svn2 = kOutOfDateTcbSvn;
  EXPECT_EQ(judge(evidence), "OutOfDate");
  evidence.spec.tee_tcb_svn2 = kUnsupportedTcbSvn;
  EXPECT_EQ(judge(evidence), "tcb_not_supported");
  evidence.spec.tee_tcb_svn2 = {5, 9, 2};
  EXPECT_EQ(judge(evidence), "tdx_module_unsupported");
  // Relaunching does not help while the QE is out of date.
  evidence.spec.tee_tcb_svn2 = {5, 1, 2};
  evidence.options.qe_levels = {{.isvsvn = 1, .status = TcbStatus::OutOfDate}};
  EXPECT_EQ(judge(evidence), "OutOfDate");
}

// covers: S01_DCAP_011
TEST(DcapVerifier, RefusesATdxModuleThatIsNotIntels) {
  EmulatedEvidence evidence;
  evidence.spec.tee_tcb_svn = {5, 7, 2};
  EXPECT_EQ(judge(evidence), "tdx_module_unsupported");
  evidence.spec.tee_tcb_svn = {5, 0, 2};
  EXPECT_EQ(judge(evidence), "UpToDate") << "tdxModule and components 0 and 1";
  evidence.spec.tee_tcb_svn = {4, 0, 2};
  EXPECT_EQ(judge(evidence), "tcb_not_supported");
  evidence.spec.tee_tcb_svn = {5, 1, 1};
  EXPECT_EQ(judge(evidence), "tcb_not_supported") << "component 2";
  evidence.spec.tee_tcb_svn = {5, 1, 2};
  evidence.spec.seam_attributes = std::uint64_t{1} << 63;
  EXPECT_EQ(judge(evidence), "tdx_module_mismatch");
  evidence.spec.seam_attributes = 0;
  evidence.change_tcb_info = [](std::string& json) {
    const std::size_t identity = json.find("TDX_01");
    const std::size_t mrsigner = json.find("\"mrsigner\":\"0", identity);
    json[mrsigner + 12] = '1';
  };
  EXPECT_EQ(judge(evidence), "tdx_module_mismatch");
  evidence.options.module_levels = {{.isvsvn = 6}};
  evidence.change_tcb_info = nullptr;
  EXPECT_EQ(judge(evidence), "tcb_not_supported");
}

// covers: S01_DCAP_012
TEST(DcapVerifier, RefusesAnotherQuotingEnclave) {
  using namespace layout::qe_report;
  EmulatedEvidence evidence;
  const auto with = [&](std::size_t offset, std::uint8_t flip) {
    evidence.change_qe_report = [=](ByteArray<384>& report) { report[offset] ^= flip; };
    return judge(evidence);
  };
  EXPECT_EQ(with(MrSigner::offset, 1), "qe_identity_mismatch");
  EXPECT_EQ(with(IsvProdId::offset, 1), "qe_identity_mismatch");
  EXPECT_EQ(with(MiscSelect::offset, 1), "qe_identity_mismatch");
  EXPECT_EQ(with(Attributes::offset, 0x02), "qe_identity_mismatch") << "debug";
  EXPECT_EQ(with(Attributes::offset, 0x04), "UpToDate") << "outside the mask";
  EXPECT_EQ(with(IsvSvn::offset, 4 ^ 3), "tcb_not_supported");
  EXPECT_EQ(with(IsvSvn::offset, 4 ^ 5), "UpToDate");
  EXPECT_EQ(with(ReportData::offset, 1), "qe_report_binding_invalid");
  EXPECT_EQ(with(ReportData::offset + 32, 1), "qe_report_binding_invalid") << "the second half must be zero";
  EXPECT_EQ(with(ReportData::offset + 63, 1), "qe_report_binding_invalid");
}

// covers: S01_DCAP_018
TEST(DcapVerifier, NeverSeesOtherCertificationData) {
  const ByteVector good = EmulatedEvidence().raw_quote();
  const std::size_t outer =
      layout::header::kSize + layout::body::kSize10 + layout::signature_data::CertificationType::offset;
  const std::size_t inner = layout::header::kSize + layout::body::kSize10 + layout::signature_data::kFixedEnd + 32;
  ASSERT_EQ(good[outer], 6);
  ASSERT_EQ(good[inner], 5);
  for (const int other : {0, 1, 2, 3, 4, 5, 7, 8}) {
    const auto type = static_cast<std::uint8_t>(other);
    ByteVector changed = good;
    changed[outer] = type;
    EXPECT_EQ(parse_quote(changed, TrailingPolicy::zeros).error().code, ErrorCode::quote_certification_unsupported);
    changed = good;
    changed[inner] = type == 5 ? 6 : type;
    EXPECT_EQ(parse_quote(changed, TrailingPolicy::zeros).error().code, ErrorCode::quote_certification_unsupported);
  }
}

/// Counts what it is asked.
class CountingSource final : public CollateralSource {
 public:
  explicit CountingSource(Result<Collateral> answer) : answer_(std::move(answer)) {}
  Result<Collateral> get(const std::string& fmspc, CaKind ca, UtcTime, std::stop_token) override {
    asked.push_back(fmspc + " " + std::string(to_string(ca)));
    return answer_;
  }
  std::vector<std::string> asked;

 private:
  Result<Collateral> answer_;
};

// covers: S01_DCAP_016
TEST(DcapVerifier, AsksForCollateralOnlyAfterTheOfflineChecks) {
  const auto asked_for = [](const EmulatedEvidence& evidence, const char* wanted, TrustAnchors anchors = kDev,
                            UtcTime now = kNow) {
    CountingSource source(evidence.collateral());
    EXPECT_EQ(text_of_result(DcapVerifier().verify(evidence.quote(), source, anchors, now, {})), wanted);
    return source.asked;
  };
  EmulatedEvidence evidence;
  EXPECT_EQ(asked_for(evidence, "UpToDate"), std::vector<std::string>{"ee0000000001 platform"});
  EXPECT_TRUE(asked_for(evidence, "quote_emulated_refused", {}).empty());
  EXPECT_TRUE(asked_for(evidence, "pck_certificate_expired", kDev, at("2050-01-01T00:00:00Z")).empty());
  evidence.spec.fault = QuoteFault::broken_signature;
  EXPECT_TRUE(asked_for(evidence, "quote_signature_invalid").empty());
  evidence.spec.fault = QuoteFault::broken_qe_signature;
  EXPECT_TRUE(asked_for(evidence, "qe_report_signature_invalid").empty());
  evidence.spec.fault = QuoteFault::broken_qe_binding;
  EXPECT_TRUE(asked_for(evidence, "qe_report_binding_invalid").empty());
  evidence.spec.fault = QuoteFault::none;
  evidence.spec.qe_vendor_id = kIntelQeVendorId;
  EXPECT_TRUE(asked_for(evidence, "pck_chain_untrusted").empty());
  EmulatedEvidence foreign;
  foreign.options.key_label = "somebody else";
  EXPECT_TRUE(asked_for(foreign, "pck_chain_untrusted").empty());
}

TEST(DcapVerifier, PassesTheSourcesErrorOn) {
  CountingSource source(fail(ErrorCode::fmspc_unknown));
  EXPECT_EQ(text_of_result(DcapVerifier().verify(EmulatedEvidence().quote(), source, kDev, kNow, {})), "fmspc_unknown");
}

// Each fault is added to those after it in the order of the algorithm: the earliest gives the code.
TEST(DcapVerifier, ChecksInTheFixedOrder) {
  EmulatedEvidence evidence;
  const auto root = evidence.key("root"), ca = evidence.key("platform CA");
  const UtcTime until = kIssued + std::chrono::days(30);
  evidence.spec.tee_tcb_svn = {5, 1, 1};
  EXPECT_EQ(judge(evidence), "tcb_not_supported");
  evidence.spec.seam_attributes = 1;
  EXPECT_EQ(judge(evidence), "tdx_module_mismatch");
  evidence.change_tcb_info = [](std::string& json) { json = replaced(json, "\"tcbType\":0", "\"tcbType\":1"); };
  EXPECT_EQ(judge(evidence), "tcb_info_mismatch");
  evidence.change_qe_report = [](ByteArray<384>& report) { report[layout::qe_report::MrSigner::offset] ^= 1; };
  EXPECT_EQ(judge(evidence), "qe_identity_mismatch");
  evidence.change_qe_identity = [](std::string& json) {
    json = replaced(json, "\"nextUpdate\":\"20", "\"nextUpdate\":\"19");
    json = replaced(json, "\"nextUpdate\":\"19", "\"nextUpdate\":\"2000-01-01T00:00:00Z\",\"x\":\"19");
  };
  EXPECT_EQ(judge(evidence), "collateral_expired");
  evidence.change_collateral = [](EmulatedCollateral& all) { all.qe_identity_signature[3] ^= 1; };
  EXPECT_EQ(judge(evidence), "qe_identity_signature_invalid");
  evidence.change_collateral = [](EmulatedCollateral& all) {
    all.qe_identity_signature[3] ^= 1;
    all.tcb_info_signature[3] ^= 1;
  };
  EXPECT_EQ(judge(evidence), "tcb_info_signature_invalid");
  evidence.options.revoke_tcb_signer = true;
  EXPECT_EQ(judge(evidence), "pck_revoked");
  evidence.change_collateral = [&](EmulatedCollateral& all) { all.pck_crl = crl(kPlatformCa, ca, kIssued, kNow); };
  EXPECT_EQ(judge(evidence), "collateral_expired");
  evidence.change_collateral = [&](EmulatedCollateral& all) {
    all.root_ca_crl = crl(kEmulatorRootName, root, kIssued, kNow);
    all.pck_crl = crl(kPlatformCa, root, kIssued, until);
  };
  EXPECT_EQ(judge(evidence), "crl_invalid");
  evidence.spec.fault = QuoteFault::broken_signature;
  EXPECT_EQ(judge(evidence), "quote_signature_invalid");
  evidence.spec.fault = QuoteFault::broken_qe_binding;
  EXPECT_EQ(judge(evidence), "qe_report_binding_invalid");
  evidence.spec.fault = QuoteFault::broken_qe_signature;
  EXPECT_EQ(judge(evidence), "qe_report_signature_invalid");
  EXPECT_EQ(judge(evidence, at("2050-01-01T00:00:00Z")), "pck_certificate_expired");
  EXPECT_EQ(text_of_result(DcapVerifier().verify(evidence.quote(), evidence.collateral(), {}, kNow)),
            "quote_emulated_refused");
}

TEST(DcapVerifier, KeepsWhatItLearnedUnderEachAnchorApart) {
  EE_NEED_VECTORS();
  const DcapVerifier verifier;
  const UtcTime now = at("2025-07-01T00:00:00Z");
  EmulatedEvidence emulated;
  emulated.options.issued_at = at("2025-06-30T00:00:00Z");
  const Quote real = testing::read_recorded_quote("dcap-qvl/tdx_quote");
  const Collateral intels = testing::read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json").items();
  ASSERT_EQ(text_of_result(verifier.verify(real, intels, kDev, now)), "UpToDate");
  ASSERT_EQ(text_of_result(verifier.verify(emulated.quote(), emulated.collateral(), kDev, now)), "UpToDate");
  const Collateral emulators = emulated.collateral();
  EXPECT_EQ(text_of_result(verifier.verify(real, emulators, kDev, now)), "crl_invalid");
  EXPECT_EQ(text_of_result(verifier.verify(emulated.quote(), intels, kDev, now)), "crl_invalid");
  // Piece by piece: no published key may stand in for Intel's.
  for (int piece = 0; piece < 4; ++piece) {
    Collateral mixed = intels;
    if (piece == 0) mixed.root_crl = emulators.root_crl;
    if (piece == 1) mixed.pck_crl = emulators.pck_crl;
    if (piece == 2) mixed.tcb_info = emulators.tcb_info;
    if (piece == 3) mixed.qe_identity = emulators.qe_identity;
    const char* const wanted[] = {"crl_invalid", "crl_invalid", "tcb_info_signature_invalid",
                                  "qe_identity_signature_invalid"};
    EXPECT_EQ(text_of_result(verifier.verify(real, mixed, kDev, now)), wanted[piece]);
  }
  // A real quote is never the emulator's business, and an emulated one never Intel's.
  emulated.spec.qe_vendor_id = kIntelQeVendorId;
  EXPECT_EQ(text_of_result(verifier.verify(emulated.quote(), emulators, kDev, now)), "pck_chain_untrusted");
}

TEST(DcapVerifier, MayBeUsedByManyThreads) {
  const DcapVerifier verifier;
  std::vector<EmulatedEvidence> evidence(3);
  evidence[1].spec.tee_tcb_svn = kOutOfDateTcbSvn;
  evidence[2].spec.fault = QuoteFault::broken_signature;
  const std::vector<std::string> wanted = {"UpToDate", "OutOfDate", "quote_signature_invalid"};
  const Collateral collateral = evidence[0].collateral();
  std::vector<Quote> quotes;
  quotes.reserve(evidence.size());
  for (const EmulatedEvidence& each : evidence) quotes.push_back(each.quote());
  std::vector<int> wrong(4, 0);
  std::vector<std::jthread> threads;
  threads.reserve(wrong.size());
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 60; ++i) {
        const std::size_t which = (i + t) % quotes.size();
        if (text_of_result(verifier.verify(quotes[which], collateral, kDev, kNow)) != wanted[which]) ++wrong[t];
      }
    });
  threads.clear();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace ee::attestation
