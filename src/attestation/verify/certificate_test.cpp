#include "attestation/verify/certificate.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>

#include "attestation/verify/intel_root.h"
#include "attestation/verify/trust_anchor.h"
#include "common/crypto.h"
#include "tests/support/recorded_collateral.h"
#include "tests/support/test_pki.h"

namespace ee::attestation {
namespace {

using testing::make_certificate_der;
using testing::TestCertificate;
using testing::TestKey;
using testing::to_pem;

// covers: S01_DCAP_017
TEST(IntelRoot, IsTheCertificateThatTheSpecificationPins) {
  EXPECT_EQ(to_hex(sha256(intel_root_der())), "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3");
  const auto root = read_certificate(intel_root_der());
  ASSERT_TRUE(root);
  constexpr std::string_view kKey =
      "0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
      "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394";
  EXPECT_EQ(to_hex(root->key.point()), kKey);
  EXPECT_EQ(to_hex(intel_anchor().root_key.point()), kKey);
  EXPECT_EQ(to_hex(root->serial), "22650cd65a9d3489f383b49552bf501b392706ac");
  EXPECT_EQ(root->common_name, "Intel SGX Root CA");
  EXPECT_EQ(intel_anchor().root_name, "Intel SGX Root CA");
  // The chain check takes this very certificate as it is, so it is checked here.
  EXPECT_TRUE(root->is_signed_by(*root));
  EXPECT_TRUE(root->is_ca);
  EXPECT_EQ(root->path_length, 1U);
  EXPECT_TRUE(root->may_sign_certificates);
  EXPECT_EQ(root->validity.from, testing::at("2018-05-21T10:45:10Z"));
  EXPECT_EQ(root->validity.until, testing::at("2049-12-31T23:59:59Z"));
}

// covers: S01_DCAP_017
TEST(IntelRoot, IsTheOneInARealQuote) {
  EE_NEED_VECTORS();
  const Quote quote = testing::read_recorded_quote("dcap-qvl/tdx_quote");
  const auto ders = split_pem_certificates(quote.pck_chain_pem(), 3);
  ASSERT_TRUE(ders);
  EXPECT_TRUE(std::ranges::equal((*ders)[2], intel_root_der()));
}

// The fields of the certificate are cut apart here; OpenSSL's own reader must find the same in real ones.
TEST(RecordedCertificates, ReadAsOpenSslReadsThem) {
  EE_NEED_VECTORS();
  const Quote quote = testing::read_recorded_quote("dcap-qvl/tdx_quote");
  auto ders = split_pem_certificates(quote.pck_chain_pem(), 3).value();
  const auto collateral = testing::read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json");
  ders.push_back(split_pem_certificates(collateral.tcb_info_issuer_chain, 2)->front());
  for (const ByteVector& der : ders) {
    const auto ours = read_certificate(der);
    ASSERT_TRUE(ours) << ours.error();
    const unsigned char* at = der.data();
    const std::unique_ptr<X509, decltype(&X509_free)> theirs(d2i_X509(nullptr, &at, static_cast<long>(der.size())),
                                                             X509_free);
    ASSERT_TRUE(theirs);
    std::array<char, 128> name{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(theirs.get()), NID_commonName, name.data(), name.size());
    EXPECT_EQ(ours->common_name, name.data());
    const unsigned char* subject = nullptr;
    std::size_t size = 0;
    X509_NAME_get0_der(X509_get_subject_name(theirs.get()), &subject, &size);
    EXPECT_TRUE(std::ranges::equal(ours->subject, Bytes(subject, size)));
    const ASN1_INTEGER* serial = X509_get0_serialNumber(theirs.get());
    EXPECT_TRUE(std::ranges::equal(ours->serial, Bytes(serial->data, static_cast<std::size_t>(serial->length))));
    EXPECT_EQ(ours->is_ca, (X509_get_extension_flags(theirs.get()) & EXFLAG_CA) != 0);
    EXPECT_EQ(ours->path_length ? static_cast<long>(*ours->path_length) : -1L, X509_get_pathlen(theirs.get()));
    const std::uint32_t usage = X509_get_key_usage(theirs.get());
    EXPECT_EQ(ours->may_sign_data, (usage & KU_DIGITAL_SIGNATURE) != 0);
    EXPECT_EQ(ours->may_sign_certificates, (usage & KU_KEY_CERT_SIGN) != 0);
    const ASN1_BIT_STRING* key = X509_get0_pubkey_bitstr(theirs.get());
    EXPECT_TRUE(std::ranges::equal(ours->key.point(), Bytes(key->data + 1, 64)));
    std::tm until{};
    ASN1_TIME_to_tm(X509_get0_notAfter(theirs.get()), &until);
    EXPECT_EQ(unix_ms(ours->validity.until) / 1000, timegm(&until));
  }
}

class ReadCertificate : public ::testing::Test {
 protected:
  TestCertificate leaf() const { return {.common_name = "Leaf", .issuer = "CA", .key = key_, .issuer_key = ca_key_}; }
  static bool reads(const TestCertificate& wanted) {
    return read_certificate(make_certificate_der(wanted)).has_value();
  }
  const TestKey key_ = TestKey::p256();
  const TestKey ca_key_ = TestKey::p256();
};

TEST_F(ReadCertificate, TakesOverWhatTheChainCheckNeeds) {
  TestCertificate wanted = leaf();
  wanted.basic_constraints = "critical,CA:TRUE,pathlen:0";
  wanted.key_usage = "critical,keyCertSign,cRLSign";
  wanted.serial = {0x81, 0x02, 0x03};
  const auto read = read_certificate(make_certificate_der(wanted));
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->common_name, "Leaf");
  EXPECT_EQ(to_hex(read->serial), "810203");
  EXPECT_EQ(read->key.point(), key_.point());
  EXPECT_TRUE(read->is_ca);
  EXPECT_EQ(read->path_length, 0U);
  EXPECT_TRUE(read->may_sign_certificates);
  EXPECT_FALSE(read->may_sign_data);
  EXPECT_EQ(read->validity.from, testing::at("2020-01-01T00:00:00Z"));
  EXPECT_EQ(read->validity.until, testing::at("2049-12-31T23:59:59Z"));
  EXPECT_FALSE(read->sgx_extension);
}

TEST_F(ReadCertificate, ReadsDatesAfter2049) {
  TestCertificate wanted = leaf();
  wanted.not_after = "20550101000000Z";  // GeneralizedTime
  const auto read = read_certificate(make_certificate_der(wanted));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->validity.until, testing::at("2055-01-01T00:00:00Z"));
}

TEST_F(ReadCertificate, RefusesOtherKeysAndSignatures) {
  const TestKey p384 = TestKey::p384();
  const TestKey rsa = TestKey::rsa();
  EXPECT_TRUE(reads(leaf()));
  EXPECT_FALSE(reads({.common_name = "Leaf", .issuer = "CA", .key = p384, .issuer_key = ca_key_}));
  EXPECT_FALSE(reads({.common_name = "Leaf", .issuer = "CA", .key = rsa, .issuer_key = ca_key_}));
  EXPECT_FALSE(reads({.common_name = "Leaf", .issuer = "CA", .key = key_, .issuer_key = rsa}));
  TestCertificate sha384 = leaf();
  sha384.digest = "SHA384";
  EXPECT_FALSE(reads(sha384));
  TestCertificate sha1 = leaf();
  sha1.digest = "SHA1";
  EXPECT_FALSE(reads(sha1));
}

TEST_F(ReadCertificate, RefusesWrongShapes) {
  TestCertificate old = leaf();
  old.version = 1;
  EXPECT_FALSE(reads(old));
  TestCertificate without_constraints = leaf();
  without_constraints.basic_constraints = "";
  EXPECT_FALSE(reads(without_constraints));
  TestCertificate without_usage = leaf();
  without_usage.key_usage = "";
  EXPECT_FALSE(reads(without_usage));
  TestCertificate half_a_ca = leaf();
  half_a_ca.key_usage = "critical,keyCertSign";
  EXPECT_FALSE(reads(half_a_ca));
  TestCertificate path_of_a_leaf = leaf();
  path_of_a_leaf.basic_constraints = "critical,CA:FALSE,pathlen:0";
  EXPECT_FALSE(reads(path_of_a_leaf));
  TestCertificate two_names = leaf();
  two_names.second_common_name = true;
  EXPECT_FALSE(reads(two_names));
  TestCertificate serial_zero = leaf();
  serial_zero.serial = {0};
  EXPECT_FALSE(reads(serial_zero));
  TestCertificate long_serial = leaf();
  long_serial.serial = ByteVector(21, 0x11);
  EXPECT_FALSE(reads(long_serial));
}

TEST_F(ReadCertificate, RefusesExtensionsThatAreCriticalAndUnknownOrDoubled) {
  const testing::TestExtension unknown{.oid = "1.2.3.4", .value = {0x05, 0x00}};
  TestCertificate wanted = leaf();
  wanted.extensions = {unknown};
  EXPECT_TRUE(reads(wanted));
  wanted.extensions = {unknown, unknown};
  EXPECT_FALSE(reads(wanted));
  wanted.extensions = {{.oid = "1.2.3.4", .value = {0x05, 0x00}, .critical = true}};
  EXPECT_FALSE(reads(wanted));
  // Known to OpenSSL, and not understood here: constraints that nobody would enforce.
  wanted.extensions = {{.oid = "2.5.29.30", .value = {0x30, 0x00}, .critical = true}};
  EXPECT_FALSE(reads(wanted));
  wanted.extensions = {{.oid = "1.2.840.113741.1.13.1", .value = {0x30, 0x00}}};
  const auto read = read_certificate(make_certificate_der(wanted));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->sgx_extension, ByteVector({0x30, 0x00}));
  wanted.extensions.push_back(wanted.extensions.front());
  EXPECT_FALSE(reads(wanted));
}

TEST_F(ReadCertificate, RefusesTruncationAndWhatIsLeftOver) {
  const ByteVector der = make_certificate_der(leaf());
  for (std::size_t size = 0; size < der.size(); ++size) EXPECT_FALSE(read_certificate(Bytes(der).first(size))) << size;
  ByteVector longer = der;
  longer.push_back(0);
  EXPECT_FALSE(read_certificate(longer));
  ByteVector huge = der;
  huge.resize(10000);
  EXPECT_FALSE(read_certificate(huge));
}

TEST(SplitPem, CutsExactlyTheNumberOfCertificates) {
  const std::string one = to_pem(Bytes(bytes_of("one")));
  const std::string two = to_pem(Bytes(bytes_of("two")));
  EXPECT_EQ(split_pem_certificates(one + two, 2)->size(), 2U);
  EXPECT_FALSE(split_pem_certificates(one, 2));
  EXPECT_FALSE(split_pem_certificates(one + two, 1));
  EXPECT_FALSE(split_pem_certificates("", 1));
  EXPECT_EQ(text_of(split_pem_certificates(one + two, 2)->at(1)), "two");
}

TEST(SplitPem, AllowsSpaceBetweenAndPaddingBehindAndNothingElse) {
  const std::string good = to_pem(Bytes(bytes_of("certificate")));
  for (const std::string& trailing : {std::string("\n \r\n"), std::string("\0", 1), std::string("\n\0\0 ", 4)})
    EXPECT_TRUE(split_pem_certificates(good + trailing, 1)) << trailing.size();
  EXPECT_TRUE(split_pem_certificates(good + "\r\n " + good, 2));
  EXPECT_FALSE(split_pem_certificates(good + std::string("\0", 1) + good, 2));
  for (const std::string& wrong : {" " + good, "x" + good, good + "x", good + "\v", "subject=CN\n" + good})
    EXPECT_FALSE(split_pem_certificates(wrong, 1)) << wrong;
}

TEST(SplitPem, ReadsTheBase64Strictly) {
  const auto reads = [](const std::string& body) {
    return split_pem_certificates("-----BEGIN CERTIFICATE-----" + body + "-----END CERTIFICATE-----", 1).has_value();
  };
  EXPECT_TRUE(reads("\nAAAA\n"));
  EXPECT_TRUE(reads("\r\nAA\r\nAA\r\n"));
  for (const char* wrong : {"AAAA", "\nAAAA", "AAAA\n", "\nAAA\n", "\nAA==AA\n", "\nAA A\n", "\nAB==\n", "\n AAAA\n",
                            "\nProc-Type: 4\nAAAA\n", "\nAA-A\n", "\nAAAA=\n"})
    EXPECT_FALSE(reads(wrong)) << wrong;
  EXPECT_FALSE(reads("\n" + std::string(80, 'A') + "\n"));  // no writer makes such lines
  EXPECT_FALSE(split_pem_certificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END X509 CRL-----\n", 1));
}

}  // namespace
}  // namespace ee::attestation
