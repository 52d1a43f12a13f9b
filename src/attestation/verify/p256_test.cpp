#include "attestation/verify/p256.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include "common/crypto.h"
#include "tests/support/test_pki.h"

namespace ee::attestation {
namespace {

ByteArray<64> bytes64(std::string_view hex) { return from_hex_exact<64>(hex).value(); }

// Wycheproof-style facts by an independent source: RFC 6979 appendix A.2.5, P-256 with SHA-256, message "sample".
constexpr std::string_view kPoint =
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
constexpr std::string_view kSignature =
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
constexpr std::string_view kOrder = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
constexpr std::string_view kZero = "0000000000000000000000000000000000000000000000000000000000000000";

TEST(P256PublicKey, VerifiesThePublishedVector) {
  const auto key = P256PublicKey::from_point(bytes64(kPoint));
  ASSERT_TRUE(key);
  EXPECT_TRUE(key->verify(bytes_of("sample"), bytes64(kSignature)));
  EXPECT_FALSE(key->verify(bytes_of("sampl"), bytes64(kSignature)));
  EXPECT_EQ(to_hex(key->point()), kPoint);
}

TEST(P256PublicKey, RefusesScalarsThatAreZeroOrNotBelowTheOrder) {
  const auto key = P256PublicKey::from_point(bytes64(kPoint));
  const std::string r(kSignature.substr(0, 64));
  const std::string s(kSignature.substr(64));
  for (const std::string& wrong :
       {std::string(kZero) + s, r + std::string(kZero), std::string(kZero) + std::string(kZero),
        std::string(kOrder) + s, r + std::string(kOrder), std::string(64, 'f') + s, r + std::string(64, 'f')})
    EXPECT_FALSE(key->verify(bytes_of("sample"), bytes64(wrong))) << wrong;
}

TEST(P256PublicKey, RefusesWhatIsNoPointOfTheCurve) {
  ByteArray<64> point = bytes64(kPoint);
  EXPECT_FALSE(P256PublicKey::from_point(ByteArray<64>{}));
  for (std::size_t i = 0; i < point.size(); ++i) {
    ByteArray<64> changed = point;
    changed[i] ^= 1;
    EXPECT_FALSE(P256PublicKey::from_point(changed)) << i;
  }
  // Coordinates that are not reduced modulo the field's prime.
  EXPECT_FALSE(P256PublicKey::from_point(bytes64(std::string(128, 'f'))));
}

TEST(P256PublicKey, AgreesWithOpenSslOnManySignatures) {
  const auto key = testing::TestKey::p256();
  const auto verifier = P256PublicKey::from_point(key.point());
  ASSERT_TRUE(verifier);
  // Enough that scalars with leading zeros and with the top bit set both occur.
  for (int i = 0; i < 600; ++i) {
    const std::string message = "message " + std::to_string(i);
    auto signature = key.sign(bytes_of(message));
    ASSERT_TRUE(verifier->verify(bytes_of(message), signature)) << i;
    signature[static_cast<std::size_t>(i) % 64] ^= 0x10;
    ASSERT_FALSE(verifier->verify(bytes_of(message), signature)) << i;
  }
}

TEST(P256PublicKey, LeavesNothingInOpenSslsErrorQueue) {
  const auto key = P256PublicKey::from_point(bytes64(kPoint));
  EXPECT_FALSE(key->verify(bytes_of("other"), bytes64(kSignature)));
  EXPECT_FALSE(P256PublicKey::from_point(ByteArray<64>{}));
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(OpensslSha256, IsSha256) {
  for (const std::string_view text :
       {"", "abc", "a longer text that has more than one block of sixty-four bytes in it...."})
    EXPECT_EQ(openssl_sha256(bytes_of(text)), sha256(bytes_of(text)));
}

}  // namespace
}  // namespace ee::attestation
