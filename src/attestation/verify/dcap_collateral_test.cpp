#include "attestation/verify/dcap_fixture.h"

// Steps 5 and 6 of the algorithm: revocation lists and signed documents that are not what they should be.
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

TEST(DcapVerifier, RefusesWhatIsRevoked) {
  EmulatedEvidence evidence;
  EXPECT_EQ(judge(evidence), "UpToDate");
  evidence.options.revoke_pck = true;
  EXPECT_EQ(judge(evidence), "pck_revoked");
  evidence.options.revoke_pck = false;
  evidence.options.revoke_platform_ca = true;
  EXPECT_EQ(judge(evidence), "pck_revoked");
  evidence.options.revoke_platform_ca = false;
  evidence.options.revoke_tcb_signer = true;
  EXPECT_EQ(judge(evidence), "pck_revoked");
}

TEST(DcapVerifier, RefusesCrlsByTheWrongIssuer) {
  const UtcTime until = kIssued + std::chrono::days(30);
  EmulatedEvidence evidence;
  const auto root = evidence.key("root"), ca = evidence.key("platform CA"), signer = evidence.key("TCB signing");
  const auto with_pck_crl = [&](ByteVector list) {
    evidence.change_collateral = [list = std::move(list)](EmulatedCollateral& all) { all.pck_crl = list; };
    return judge(evidence);
  };
  const auto with_root_crl = [&](ByteVector list) {
    evidence.change_collateral = [list = std::move(list)](EmulatedCollateral& all) { all.root_ca_crl = list; };
    return judge(evidence);
  };
  EXPECT_EQ(with_pck_crl(crl(kPlatformCa, ca, kIssued, until)), "UpToDate");
  EXPECT_EQ(with_pck_crl(crl(kPlatformCa, root, kIssued, until)), "crl_invalid");
  EXPECT_EQ(with_pck_crl(crl(kEmulatorRootName, ca, kIssued, until)), "crl_invalid");
  EXPECT_EQ(with_pck_crl(crl("Intel SGX PCK Processor CA", ca, kIssued, until)), "crl_invalid");
  EXPECT_EQ(with_pck_crl({}), "crl_invalid");
  EXPECT_EQ(with_root_crl(crl(kEmulatorRootName, root, kIssued, until)), "UpToDate");
  EXPECT_EQ(with_root_crl(crl(kEmulatorRootName, ca, kIssued, until)), "crl_invalid");
  EXPECT_EQ(with_root_crl(crl(kPlatformCa, root, kIssued, until)), "crl_invalid");
  EXPECT_EQ(with_root_crl(crl("Intel SGX Root CA", root, kIssued, until)), "crl_invalid");
  EXPECT_EQ(with_root_crl({0x30, 0x00}), "crl_invalid");
}

TEST(DcapVerifier, RefusesAPckCrlOfAnotherCaThanTheChains) {
  // A second platform CA of the same name under the same root, with a good CRL of its own that revokes nobody.
  EmulatedEvidence evidence;
  const auto root = evidence.key("root"), other = evidence.key("another CA");
  evidence.change_collateral = [&](EmulatedCollateral& all) {
    const std::string ca = emulator::make_certificate({.subject = kPlatformCa,
                                                       .issuer = kEmulatorRootName,
                                                       .serial = {0x55},
                                                       .subject_key = other,
                                                       .issuer_key = root,
                                                       .not_before = kIssued,
                                                       .not_after = kIssued + std::chrono::days(60),
                                                       .ca_path_length = 0});
    all.pck_crl_issuer_chain = ca + all.pck_crl_issuer_chain.substr(all.pck_crl_issuer_chain.rfind("-----BEGIN"));
    all.pck_crl = crl(kPlatformCa, other, kIssued, kIssued + std::chrono::days(30));
  };
  EXPECT_EQ(judge(evidence), "crl_invalid");
}

TEST(DcapVerifier, RefusesEachPieceThatIsExpiredOrFromTheFuture) {
  const auto root = EmulatedEvidence().key("root"), ca = EmulatedEvidence().key("platform CA");
  struct Window {
    UtcTime from, until;
    const char* result;
  };
  const Window windows[] = {{kNow, kNow + Seconds(1), "UpToDate"},
                            {kNow - Seconds(9), kNow, "collateral_expired"},
                            {kNow + Seconds(1), kNow + Seconds(9), "collateral_expired"}};
  for (const Window& window : windows) {
    EmulatedEvidence evidence;
    evidence.change_collateral = [&](EmulatedCollateral& all) {
      all.pck_crl = crl(kPlatformCa, ca, window.from, window.until);
    };
    EXPECT_EQ(judge(evidence), window.result) << "PCK CRL";
    evidence.change_collateral = [&](EmulatedCollateral& all) {
      all.root_ca_crl = crl(kEmulatorRootName, root, window.from, window.until);
    };
    EXPECT_EQ(judge(evidence), window.result) << "root CRL";
    const auto with_dates = [&](std::string& json) {
      json = replaced(json, to_rfc3339(kIssued).substr(0, 19), to_rfc3339(window.from).substr(0, 19));
      json = replaced(json, to_rfc3339(kIssued + std::chrono::days(30)).substr(0, 19),
                      to_rfc3339(window.until).substr(0, 19));
    };
    evidence.change_collateral = nullptr;
    evidence.change_tcb_info = with_dates;
    EXPECT_EQ(judge(evidence), window.result) << "TCB info";
    evidence.change_tcb_info = nullptr;
    evidence.change_qe_identity = with_dates;
    EXPECT_EQ(judge(evidence), window.result) << "QE identity";
  }
}

TEST(DcapVerifier, RefusesASignerOutsideItsValidity) {
  EmulatedEvidence evidence;
  const auto root = evidence.key("root"), signer = evidence.key("TCB signing");
  evidence.change_collateral = [&](EmulatedCollateral& all) {
    all.tcb_info_issuer_chain = emulator::make_certificate({.subject = "Intel SGX TCB Signing",
                                                            .issuer = kEmulatorRootName,
                                                            .serial = {0x56},
                                                            .subject_key = signer,
                                                            .issuer_key = root,
                                                            .not_before = kIssued,
                                                            .not_after = kNow}) +
                                all.tcb_info_issuer_chain.substr(all.tcb_info_issuer_chain.rfind("-----BEGIN"));
  };
  const DcapVerifier verifier;  // also from memory
  EXPECT_EQ(text_of_result(verifier.verify(evidence.quote(), evidence.collateral(), kDev, kNow)), "UpToDate");
  const Collateral collateral = evidence.collateral();
  EXPECT_EQ(text_of_result(verifier.verify(evidence.quote(), collateral, kDev, kNow)), "UpToDate");
  EXPECT_EQ(text_of_result(verifier.verify(evidence.quote(), collateral, kDev, kNow + Milliseconds(1))),
            "collateral_expired");
}

TEST(DcapVerifier, ChecksTheSignatureOverTheExactBytes) {
  EmulatedEvidence evidence;
  const auto spaced = [](std::string& json) { json = replaced(json, "\"version\":", "\"version\": "); };
  evidence.change_collateral = [&](EmulatedCollateral& all) { spaced(all.tcb_info); };
  EXPECT_EQ(judge(evidence), "tcb_info_signature_invalid");
  evidence.change_collateral = [&](EmulatedCollateral& all) { spaced(all.qe_identity); };
  EXPECT_EQ(judge(evidence), "qe_identity_signature_invalid");
  // Signed with the space in it, the same document counts: nothing is written anew before it is checked.
  evidence.change_collateral = nullptr;
  evidence.change_tcb_info = spaced;
  evidence.change_qe_identity = spaced;
  EXPECT_EQ(judge(evidence), "UpToDate");
}

TEST(DcapVerifier, RefusesDocumentsBySomebodyElse) {
  EmulatedEvidence evidence;
  const auto pck = evidence.key("PCK");
  evidence.change_collateral = [&](EmulatedCollateral& all) {
    all.tcb_info_signature = pck.sign(bytes_of(all.tcb_info));
  };
  EXPECT_EQ(judge(evidence), "tcb_info_signature_invalid");
  // A platform's own certificate chain instead of the TCB signing certificate's.
  const std::string platform_chain = EmulatorPki(testing::emulation_allowed(), evidence.options).qe().pck_chain;
  evidence.change_collateral = [&](EmulatedCollateral& all) {
    all.qe_identity_issuer_chain = platform_chain;
    all.qe_identity_signature = pck.sign(bytes_of(all.qe_identity));
  };
  EXPECT_EQ(judge(evidence), "qe_identity_signature_invalid");
  evidence.change_collateral = [&](EmulatedCollateral& all) { all.tcb_info_issuer_chain.clear(); };
  EXPECT_EQ(judge(evidence), "tcb_info_signature_invalid");
  // One document in the place of the other: both are Intel's.
  evidence.change_collateral = [&](EmulatedCollateral& all) {
    all.tcb_info = all.qe_identity;
    all.tcb_info_signature = all.qe_identity_signature;
  };
  EXPECT_EQ(judge(evidence), "tcb_info_mismatch");
  evidence.change_collateral = [&](EmulatedCollateral& all) {
    all.qe_identity = all.tcb_info;
    all.qe_identity_signature = all.tcb_info_signature;
  };
  EXPECT_EQ(judge(evidence), "qe_identity_mismatch");
}

TEST(DcapVerifier, RefusesTcbInfoOfAnotherPlatform) {
  EmulatedEvidence evidence;
  evidence.change_tcb_info = [](std::string& json) { json = replaced(json, "EE0000000001", "EE0000000002"); };
  EXPECT_EQ(judge(evidence), "tcb_info_mismatch");
  evidence.change_tcb_info = [](std::string& json) {
    json = replaced(json, "\"pceId\":\"0000\"", "\"pceId\":\"0001\"");
  };
  EXPECT_EQ(judge(evidence), "tcb_info_mismatch");
  evidence.change_tcb_info = [](std::string& json) { json = replaced(json, "EE0000000001", "ee0000000001"); };
  EXPECT_EQ(judge(evidence), "UpToDate") << "case does not matter";
}

TEST(DcapVerifier, RevokesWhatItRemembersAsSoonAsTheCrlSays) {
  const DcapVerifier verifier;
  EmulatedEvidence evidence;
  ASSERT_EQ(text_of_result(verifier.verify(evidence.quote(), evidence.collateral(), kDev, kNow)), "UpToDate");
  Collateral collateral = evidence.collateral();
  ASSERT_EQ(text_of_result(verifier.verify(evidence.quote(), collateral, kDev, kNow)), "UpToDate");
  EmulatedEvidence revoked;
  revoked.options.revoke_pck = true;
  collateral.pck_crl = revoked.collateral().pck_crl;
  EXPECT_EQ(text_of_result(verifier.verify(evidence.quote(), collateral, kDev, kNow)), "pck_revoked");
  revoked.options.revoke_pck = false;
  revoked.options.revoke_tcb_signer = true;
  collateral = evidence.collateral();
  collateral.root_crl = revoked.collateral().root_crl;
  EXPECT_EQ(text_of_result(verifier.verify(evidence.quote(), collateral, kDev, kNow)), "pck_revoked");
}

}  // namespace
}  // namespace ee::attestation
