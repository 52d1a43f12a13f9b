#include "attestation/verify/crl.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "tests/support/recorded_collateral.h"
#include "tests/support/test_pki.h"

namespace ee::attestation {
namespace {

using testing::at;
using testing::make_crl_der;
using testing::TestCrl;
using testing::TestKey;
using testing::to_pem;

class ReadCrl : public ::testing::Test {
 protected:
  TestCrl list() const { return {.issuer = "CA", .issuer_key = key_, .revoked = {{0x30}, {0x02, 0x01}, {0x81}}}; }
  const TestKey key_ = TestKey::p256();
};

TEST_F(ReadCrl, TakesOverWhatCounts) {
  const auto crl = read_crl(make_crl_der(list()));
  ASSERT_TRUE(crl);
  EXPECT_EQ(crl->issuer_common_name, "CA");
  EXPECT_EQ(crl->this_update, at("2026-01-01T00:00:00Z"));
  EXPECT_EQ(crl->next_update, at("2026-02-01T00:00:00Z"));
  EXPECT_TRUE(crl->revokes({0x30}));
  EXPECT_TRUE(crl->revokes({0x02, 0x01}));
  EXPECT_TRUE(crl->revokes({0x81}));
  EXPECT_FALSE(crl->revokes({0x02}));
  EXPECT_FALSE(crl->revokes({0x00, 0x30}));
  EXPECT_FALSE(crl->revokes({}));
  EXPECT_TRUE(crl->is_signed_by(P256PublicKey::from_point(key_.point()).value()));
  EXPECT_FALSE(crl->is_signed_by(P256PublicKey::from_point(TestKey::p256().point()).value()));
}

TEST_F(ReadCrl, RefusesOtherKinds) {
  EXPECT_TRUE(read_crl(make_crl_der({.issuer = "CA", .issuer_key = key_})));
  TestCrl wanted = list();
  wanted.version = 0;
  EXPECT_FALSE(read_crl(make_crl_der(wanted))) << "version 1";
  wanted = list();
  wanted.next_update = "";
  EXPECT_FALSE(read_crl(make_crl_der(wanted))) << "no next update";
  wanted = list();
  wanted.digest = "SHA384";
  EXPECT_FALSE(read_crl(make_crl_der(wanted))) << "SHA-384";
  const TestKey rsa = TestKey::rsa();
  EXPECT_FALSE(read_crl(make_crl_der({.issuer = "CA", .issuer_key = rsa}))) << "RSA";
  wanted = list();
  wanted.extensions = {{.oid = "2.5.29.27", .value = {0x02, 0x01, 0x01}, .critical = true}};
  EXPECT_FALSE(read_crl(make_crl_der(wanted))) << "delta list";
  wanted.extensions = {{.oid = "1.2.3.4", .value = {0x05, 0x00}}};
  EXPECT_TRUE(read_crl(make_crl_der(wanted))) << "an unknown extension that is not critical";
  wanted = list();
  wanted.entry_extensions = {{.oid = "1.2.3.4", .value = {0x05, 0x00}, .critical = true}};
  EXPECT_FALSE(read_crl(make_crl_der(wanted))) << "critical extension of an entry";
}

TEST_F(ReadCrl, RefusesTruncationAndWhatIsLeftOver) {
  const ByteVector der = make_crl_der(list());
  for (std::size_t size = 0; size < der.size(); ++size) EXPECT_FALSE(read_crl(Bytes(der).first(size))) << size;
  ByteVector longer = der;
  longer.push_back(0);
  EXPECT_FALSE(read_crl(longer));
}

// covers: S01_DCAP_015
TEST_F(ReadCrl, ComesAsDerPemOrHex) {
  const ByteVector der = make_crl_der(list());
  const std::string hex = to_hex(der);
  std::string upper = hex;
  std::ranges::transform(upper, upper.begin(), [](char c) { return static_cast<char>(std::toupper(c)); });
  for (const std::string& body : {std::string(text_of(der)), to_pem(der, "X509 CRL"), hex, upper, hex + "\n"})
    EXPECT_EQ(crl_der(body), der) << body.substr(0, 30);
  // What begins like DER is taken for DER, and then cannot be read.
  for (const std::string& body : {std::string(), std::string("{}"), to_pem(der), hex.substr(1), "0x" + hex, " " + hex,
                                  std::string("<html>"), std::string("0000"), std::string(3UL * 1024 * 1024, '3')}) {
    const auto taken = crl_der(body);
    EXPECT_FALSE(taken && read_crl(*taken)) << body.substr(0, 30);
  }
}

// covers: S01_DCAP_015
TEST(RecordedCrl, ReadsTheSameInEveryForm) {
  EE_NEED_VECTORS();
  const auto recorded = testing::read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json");
  const ByteVector der = from_hex(recorded.pck_crl).value();
  for (const std::string& body : {recorded.pck_crl, std::string(text_of(der)), to_pem(der, "X509 CRL")}) {
    const auto crl = read_crl(crl_der(body).value());
    ASSERT_TRUE(crl);
    EXPECT_EQ(crl->issuer_common_name, "Intel SGX PCK Platform CA");
    EXPECT_EQ(crl->this_update, at("2025-06-19T10:00:35Z"));
    EXPECT_EQ(crl->next_update, at("2025-07-19T10:00:35Z"));
    EXPECT_TRUE(crl->revokes(from_hex("74FEA614A972BE0E2843F2059835811ED872F9B3").value()));
  }
}

}  // namespace
}  // namespace ee::attestation
