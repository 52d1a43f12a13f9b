#include "attestation/verify/chain.h"

#include <gtest/gtest.h>

#include <functional>

#include "attestation/tsm/emulator_keys.h"
#include "common/time.h"
#include "tests/support/recorded_collateral.h"
#include "tests/support/test_pki.h"

namespace ee::attestation {
namespace {

using testing::at;
using testing::make_certificate_der;
using testing::TestCertificate;
using testing::TestKey;
using testing::to_pem;

constexpr const char* kRoot = "Intel SGX Root CA";
constexpr const char* kPlatformCa = "Intel SGX PCK Platform CA";
constexpr const char* kProcessorCa = "Intel SGX PCK Processor CA";
constexpr const char* kPck = "Intel SGX PCK Certificate";
constexpr const char* kTcbSigning = "Intel SGX TCB Signing";
constexpr const char* kCaConstraints = "critical,CA:TRUE,pathlen:0";
constexpr const char* kCaUsage = "critical,keyCertSign,cRLSign";
const UtcTime kNow = at("2026-01-01T00:00:00Z");

/// A PKI with Intel's names and keys of the test's own; each certificate can be changed before it is signed.
class Chain : public ::testing::Test {
 protected:
  Chain()
      : anchor_{.root_key = P256PublicKey::from_point(root_key_.point()).value(),
                .root_name = kRoot,
                .platform_ca_name = kPlatformCa,
                .processor_ca_name = kProcessorCa,
                .pck_name = kPck,
                .tcb_signing_name = kTcbSigning,
                .known_root_der = {}} {
    pck_.extensions = {{.oid = "1.2.840.113741.1.13.1", .value = sgx_extension()}};
  }

  static ByteVector sgx_extension() {
    return emulator::make_sgx_extension({.component_svns = {1, 2, 3}, .pcesvn = 7, .fmspc = {0xaa, 0xbb}});
  }
  std::string pem() const {
    return to_pem({make_certificate_der(pck_), make_certificate_der(ca_), make_certificate_der(root_)});
  }
  ErrorCode outcome(UtcTime now = kNow) const {
    const auto chain = verify_pck_chain(pem(), anchor_, now);
    return chain ? ErrorCode::internal_error : chain.error().code;
  }
  static constexpr ErrorCode kAccepted = ErrorCode::internal_error;

  const TestKey root_key_ = TestKey::p256();
  const TestKey ca_key_ = TestKey::p256();
  const TestKey pck_key_ = TestKey::p256();
  const TestKey other_key_ = TestKey::p256();
  TestCertificate root_{.common_name = kRoot,
                        .issuer = kRoot,
                        .key = root_key_,
                        .issuer_key = root_key_,
                        .serial = {0x01},
                        .basic_constraints = "critical,CA:TRUE,pathlen:1",
                        .key_usage = kCaUsage};
  TestCertificate ca_{.common_name = kPlatformCa,
                      .issuer = kRoot,
                      .key = ca_key_,
                      .issuer_key = root_key_,
                      .serial = {0x02},
                      .basic_constraints = kCaConstraints,
                      .key_usage = kCaUsage};
  TestCertificate pck_{
      .common_name = kPck, .issuer = kPlatformCa, .key = pck_key_, .issuer_key = ca_key_, .serial = {0x03}};
  const TrustAnchor anchor_;
};

TEST_F(Chain, TellsWhatTheVerifierNeeds) {
  const auto chain = verify_pck_chain(pem(), anchor_, kNow);
  ASSERT_TRUE(chain) << chain.error().detail;
  EXPECT_EQ(chain->ca_kind, CaKind::platform);
  EXPECT_EQ(to_hex(chain->platform.fmspc), "aabb00000000");
  EXPECT_EQ(chain->leaf_key.point(), pck_key_.point());
  EXPECT_EQ(chain->ca_key.point(), ca_key_.point());
  EXPECT_EQ(to_hex(chain->leaf_serial), "03");
  EXPECT_EQ(to_hex(chain->ca_serial), "02");
}

TEST_F(Chain, KnowsBothCas) {
  ca_.common_name = kProcessorCa;
  pck_.issuer = kProcessorCa;
  const auto chain = verify_pck_chain(pem(), anchor_, kNow);
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->ca_kind, CaKind::processor);
}

// covers: S01_DCAP_004
TEST_F(Chain, RefusesAForeignRoot) {
  const auto foreign = verify_pck_chain(pem(), intel_anchor(), kNow);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::pck_chain_untrusted);
}

// covers: S01_DCAP_004
TEST_F(Chain, RefusesARealRootAboveAForeignCa) {
  EE_NEED_VECTORS();
  const Quote quote = testing::read_recorded_quote("dcap-qvl/tdx_quote");
  const auto real = split_pem_certificates(quote.pck_chain_pem(), 3).value();
  const std::string mixed = to_pem({make_certificate_der(pck_), make_certificate_der(ca_), real[2]});
  EXPECT_EQ(verify_pck_chain(mixed, intel_anchor(), kNow).error().code, ErrorCode::pck_chain_invalid);
  const std::string real_ca = to_pem({make_certificate_der(pck_), real[1], real[2]});
  EXPECT_EQ(verify_pck_chain(real_ca, intel_anchor(), kNow).error().code, ErrorCode::pck_chain_invalid);
}

TEST_F(Chain, RefusesEachSignatureByAnotherKey) {
  TestCertificate pck = {.common_name = kPck,
                         .issuer = kPlatformCa,
                         .key = pck_key_,
                         .issuer_key = other_key_,
                         .extensions = pck_.extensions};
  TestCertificate ca = {.common_name = kPlatformCa,
                        .issuer = kRoot,
                        .key = ca_key_,
                        .issuer_key = other_key_,
                        .basic_constraints = kCaConstraints,
                        .key_usage = kCaUsage};
  TestCertificate root = {.common_name = kRoot,
                          .issuer = kRoot,
                          .key = root_key_,
                          .issuer_key = other_key_,
                          .basic_constraints = "critical,CA:TRUE,pathlen:1",
                          .key_usage = kCaUsage};
  const auto code = [&](const TestCertificate& a, const TestCertificate& b, const TestCertificate& c) {
    return verify_pck_chain(to_pem({make_certificate_der(a), make_certificate_der(b), make_certificate_der(c)}),
                            anchor_, kNow)
        .error()
        .code;
  };
  EXPECT_EQ(code(pck, ca_, root_), ErrorCode::pck_chain_invalid);
  EXPECT_EQ(code(pck_, ca, root_), ErrorCode::pck_chain_invalid);
  EXPECT_EQ(code(pck_, ca_, root), ErrorCode::pck_chain_invalid);
}

/// One thing wrong in an otherwise good chain.
struct WrongChain {
  const char* what;
  std::function<void(TestCertificate& pck, TestCertificate& ca, TestCertificate& root)> change;
  ErrorCode code = ErrorCode::pck_chain_invalid;
};
TEST_F(Chain, RefusesEachThingThatMustNotBe) {
  const std::vector<WrongChain> rows = {
      {"leaf is a CA",
       [](auto& pck, auto&, auto&) {
         pck.basic_constraints = "critical,CA:TRUE";
         pck.key_usage = "critical,digitalSignature,keyCertSign,cRLSign";
       }},
      {"leaf may sign certificates",
       [](auto& pck, auto&, auto&) { pck.key_usage = "critical,digitalSignature,keyCertSign,cRLSign"; }},
      {"leaf may not sign", [](auto& pck, auto&, auto&) { pck.key_usage = "critical,keyAgreement"; }},
      {"CA is none", [](auto&, auto& ca, auto&) { ca.basic_constraints = "critical,CA:FALSE"; }},
      {"CA without path length", [](auto&, auto& ca, auto&) { ca.basic_constraints = "critical,CA:TRUE"; }},
      {"CA with path length 1", [](auto&, auto& ca, auto&) { ca.basic_constraints = "critical,CA:TRUE,pathlen:1"; }},
      {"CA may not sign certificates", [](auto&, auto& ca, auto&) { ca.key_usage = "critical,digitalSignature"; }},
      {"root with path length 0", [](auto&, auto&, auto& root) { root.basic_constraints = kCaConstraints; }},
      {"root without path length", [](auto&, auto&, auto& root) { root.basic_constraints = "critical,CA:TRUE"; }},
      {"root may not sign certificates",
       [](auto&, auto&, auto& root) { root.key_usage = "critical,digitalSignature"; }},
      {"leaf of another name", [](auto& pck, auto&, auto&) { pck.common_name = "Intel SGX PCK Certificate "; }},
      {"a TCB signing certificate as leaf", [](auto& pck, auto&, auto&) { pck.common_name = kTcbSigning; }},
      {"CA of another name",
       [](auto& pck, auto& ca, auto&) {
         ca.common_name = "Intel SGX PCK CA";
         pck.issuer = "Intel SGX PCK CA";
       }},
      {"root of another name",
       [](auto&, auto& ca, auto& root) {
         root.common_name = "Intel SGX Root";
         root.issuer = "Intel SGX Root";
         ca.issuer = "Intel SGX Root";
       }},
      {"leaf names another issuer", [](auto& pck, auto&, auto&) { pck.issuer = kProcessorCa; }},
      {"CA names another issuer", [](auto&, auto& ca, auto&) { ca.issuer = "Somebody"; }},
      {"root names another issuer", [](auto&, auto&, auto& root) { root.issuer = "Somebody"; }},
      {"leaf signed with SHA-384", [](auto& pck, auto&, auto&) { pck.digest = "SHA384"; }},
      {"leaf expired", [](auto& pck, auto&, auto&) { pck.not_after = "20251231235959Z"; },
       ErrorCode::pck_certificate_expired},
      {"leaf not yet valid", [](auto& pck, auto&, auto&) { pck.not_before = "20260101000001Z"; },
       ErrorCode::pck_certificate_expired},
      {"CA expired", [](auto&, auto& ca, auto&) { ca.not_after = "20251231235959Z"; },
       ErrorCode::pck_certificate_expired},
      {"CA not yet valid", [](auto&, auto& ca, auto&) { ca.not_before = "20260101000001Z"; },
       ErrorCode::pck_certificate_expired},
      {"root expired", [](auto&, auto&, auto& root) { root.not_after = "20251231235959Z"; },
       ErrorCode::pck_certificate_expired},
      {"root not yet valid", [](auto&, auto&, auto& root) { root.not_before = "20260101000001Z"; },
       ErrorCode::pck_certificate_expired},
      {"no SGX extension", [](auto& pck, auto&, auto&) { pck.extensions.clear(); }, ErrorCode::pck_extension_invalid},
      {"empty SGX extension", [](auto& pck, auto&, auto&) { pck.extensions[0].value = {0x30, 0x00}; },
       ErrorCode::pck_extension_invalid},
  };
  EXPECT_EQ(outcome(), kAccepted);
  for (const WrongChain& row : rows) {
    TestCertificate pck = pck_, ca = ca_, root = root_;
    row.change(pck, ca, root);
    const auto chain = verify_pck_chain(
        to_pem({make_certificate_der(pck), make_certificate_der(ca), make_certificate_der(root)}), anchor_, kNow);
    ASSERT_FALSE(chain) << row.what;
    EXPECT_EQ(chain.error().code, row.code) << row.what << ": " << chain.error().detail;
  }
}

TEST_F(Chain, RefusesAnotherOrderOrNumber) {
  const ByteVector pck = make_certificate_der(pck_), ca = make_certificate_der(ca_), root = make_certificate_der(root_);
  const auto code = [&](const std::vector<ByteVector>& chain) {
    const auto result = verify_pck_chain(to_pem(chain), anchor_, kNow);
    return result ? kAccepted : result.error().code;
  };
  EXPECT_EQ(code({pck, ca, root}), kAccepted);
  EXPECT_EQ(code({ca, pck, root}), ErrorCode::pck_chain_invalid);
  EXPECT_EQ(code({root, ca, pck}), ErrorCode::pck_chain_untrusted);
  EXPECT_EQ(code({pck, ca}), ErrorCode::pck_chain_invalid);
  EXPECT_EQ(code({pck, ca, root, root}), ErrorCode::pck_chain_invalid);
  EXPECT_EQ(code({pck, root, root}), ErrorCode::pck_chain_invalid);
}

// Two faults at once: the one that is checked first gives the code.
TEST_F(Chain, ChecksInTheFixedOrder) {
  pck_.extensions.clear();
  EXPECT_EQ(outcome(), ErrorCode::pck_extension_invalid);
  ca_.not_after = "20251231235959Z";
  EXPECT_EQ(outcome(), ErrorCode::pck_certificate_expired);
  pck_.issuer = "Somebody";
  EXPECT_EQ(outcome(), ErrorCode::pck_chain_invalid);
  EXPECT_EQ(verify_pck_chain(pem(), intel_anchor(), kNow).error().code, ErrorCode::pck_chain_untrusted);
}

TEST_F(Chain, BelievesAnotherRootCertificateOfTheSameKey) {
  root_.serial = {0x77};
  root_.not_after = "20600101000000Z";
  EXPECT_EQ(outcome(), kAccepted);
}

TEST_F(Chain, VerifiesIssuerChainsOfCollateral) {
  TestCertificate signer{.common_name = kTcbSigning, .issuer = kRoot, .key = pck_key_, .issuer_key = root_key_};
  const auto verify = [&](const TestCertificate& certificate, SignerRole role) {
    return verify_issuer_chain(to_pem({make_certificate_der(certificate), make_certificate_der(root_)}), anchor_, role)
        .has_value();
  };
  EXPECT_TRUE(verify(signer, SignerRole::tcb_signing));
  EXPECT_TRUE(verify(ca_, SignerRole::pck_ca));
  EXPECT_FALSE(verify(signer, SignerRole::pck_ca));
  EXPECT_FALSE(verify(ca_, SignerRole::tcb_signing));
  EXPECT_FALSE(verify(pck_, SignerRole::tcb_signing));  // a platform must not speak for Intel
  signer.common_name = "Intel SGX TCB Signing 2";
  EXPECT_FALSE(verify(signer, SignerRole::tcb_signing));
  signer.common_name = kTcbSigning;
  signer.key_usage = "critical,keyAgreement";
  EXPECT_FALSE(verify(signer, SignerRole::tcb_signing));
  EXPECT_FALSE(verify_issuer_chain("", anchor_, SignerRole::tcb_signing));
  EXPECT_FALSE(verify_issuer_chain(pem(), anchor_, SignerRole::pck_ca));
  EXPECT_FALSE(verify_issuer_chain(to_pem({make_certificate_der(ca_), make_certificate_der(root_)}), intel_anchor(),
                                   SignerRole::pck_ca));
}

}  // namespace
}  // namespace ee::attestation
